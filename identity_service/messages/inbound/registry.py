"""The providers whose webhooks are read: every file in `providers/`."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Final

from identity_service.messages.inbound import providers
from identity_service.messages.inbound.webhooks import Provider

PROVIDERS: Final[Mapping[str, Provider]] = {
    file.name: importlib.import_module(f"{providers.__name__}.{file.name}").PROVIDER
    for file in pkgutil.iter_modules(providers.__path__)
}
"""Every provider, by the last segment of its webhook's path."""
