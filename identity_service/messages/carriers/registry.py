"""Every interface, by the name that the settings have for it. Pure."""

from collections.abc import Mapping
from typing import Final

from identity_service.carriers import Carrier
from identity_service.messages.carriers.generic import Generic
from identity_service.messages.carriers.interface import CarrierInterface
from identity_service.messages.carriers.sinch import Sinch
from identity_service.messages.carriers.twilio import Twilio

INTERFACES: Final[Mapping[str, type[CarrierInterface]]] = {"generic": Generic, "sinch": Sinch, "twilio": Twilio}


def interface_of(carrier: Carrier) -> CarrierInterface:
    """Return the interface of a carrier."""
    return INTERFACES[carrier.api](carrier)
