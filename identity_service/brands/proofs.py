"""What must be seen in DNS before a brand's host serves and its sender writes (BRD-07). Pure.

A host is proven by a TXT record below it with a value that only this installation asks for; a sender by the SPF, DKIM
and DMARC records of its domain. A proof that is no longer found holds for `HOLDS_WITHOUT`, so that a mistake in a zone
takes nothing down before somebody has read the alarm.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from identity_service.brands.files import Brands
from identity_service.brands.rules import Brand, Mail

HOLDS_WITHOUT: Final = timedelta(days=7)
"""How long a proof holds from the first of the look-ups in a row that were answered without it."""
REPEAT_EVERY: Final = timedelta(days=1)
"""How often a proof that holds is looked up again."""
RETRY_EVERY: Final = timedelta(minutes=10)
"""How often one that is missing or lost is looked up."""


class Subject(NamedTuple):
    """What is proven: a `host` by its name, or a `sender` by its domain, its return domain and its DKIM selector."""

    what: Literal["host", "sender"]
    name: str


class Proof(NamedTuple):
    """What is known of a subject: since when it is proven, and since when it is no longer found."""

    proven_at: datetime | None
    lost_at: datetime | None

    def holds(self, now: datetime) -> bool:
        """Return whether the host may serve or the sender may write at `now`."""
        return self.proven_at is not None and (self.lost_at is None or now < self.lost_at + HOLDS_WITHOUT)


def host_subject(brand: Brand) -> Subject | None:
    """Return what must be proven of the brand's host; None if it has none."""
    return None if brand.host is None else Subject("host", brand.host)


def sender_subject(brand: Brand, brands: Brands) -> Subject | None:
    """Return what must be proven of the sender of the brand's emails.

    None for the sender of the settings: it is the installation's own, without which not even a warning could be sent.
    """
    mail = brand.mail or brands.find(None).mail
    found = None if mail is None else _sender(mail)
    return None if brands.own_sender is not None and found == _sender(brands.own_sender) else found


def _sender(mail: Mail) -> Subject:
    return Subject("sender", f"{mail.domain} return={mail.bounce_domain or mail.domain} dkim={mail.dkim_selector}")


def needed(brands: Brands) -> Mapping[Subject, tuple[Brand, ...]]:
    """Return every subject that must be proven, with the brands that use it."""
    found: dict[Subject, tuple[Brand, ...]] = {}
    for brand in brands.by_key.values():
        for subject in (host_subject(brand), sender_subject(brand, brands)):
            if subject is not None:
                found[subject] = (*found.get(subject, ()), brand)
    return found


def record_name(host: str) -> str:
    """Return the name of the TXT record that proves a host; below it, so that a CNAME of the host is no hindrance."""
    return f"_identity-service.{host}"


def record_value(issuer: str, host: str) -> str:
    """Return what the TXT record must have: the issuer and the host are in it, so it proves them for nobody else."""
    return f"identity-service={hashlib.sha256(' '.join((issuer, host)).encode()).hexdigest()[:32]}"
