"""Whether an access token still holds after its client was changed or closed. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from identity_service.keys.signing import AccessToken


class Registration(NamedTuple):
    """What an open client may do now, and when that last changed; `None` if never."""

    scopes: frozenset[str]
    source: str
    brand: str | None
    changed_at: datetime | None

    def outdates(self, token: AccessToken) -> bool:
        """Return whether a token is from before a change, and says what is no longer so: a scope or the source.

        A token that is newer than what was loaded holds; so does an older one from which the change took nothing.
        """
        is_older = self.changed_at is not None and token.issued_at <= self.changed_at.timestamp()
        return is_older and (token.source != self.source or not token.scopes <= self.scopes)


class ClientStates(NamedTuple):
    """What every process reloads: open clients, the ids of closed ones, the `jti` of revoked tokens, and the origins of
    applications in a browser."""

    open: Mapping[str, Registration]
    closed: frozenset[str]
    revoked: frozenset[str]
    origins: frozenset[str] = frozenset()
