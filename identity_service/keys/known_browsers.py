"""The cookie of a browser that has signed in to an account before: a random name, the moment and a keyed hash. Pure.

The hash is over all of them and the User ID, so that the cookie of one account proves nothing for another, and none for
an account whose sessions have ended since.
"""

import hmac
import secrets
from datetime import UTC, datetime
from typing import NamedTuple

from identity_service.keys import encoding, hashing


class KnownBrowser(NamedTuple):
    """What a browser sent as its cookie, "" for none, the key to check it, and the name that it gets if it has none."""

    key: bytes
    cookie: str
    fresh: str = ""

    def name_for(self, user_id: str | None, valid_after: datetime | None) -> str | None:
        """Return the browser's own name if it has signed in to this account since `valid_after`, else `None`."""
        name, _, rest = self.cookie.partition(".")
        since, _, proof = rest.partition(".")
        right = self._proof(name, since, user_id or "").encode()
        if not hmac.compare_digest(proof.encode("utf-8", "replace"), right) or not user_id:
            return None
        return name if valid_after is None or datetime.fromtimestamp(int(since), UTC) >= valid_after else None

    def cookie_for(self, user_id: str, *, now: datetime) -> str:
        """Return the cookie of this browser after it has signed in to an account."""
        # Rounded up: whoever signs in within the second in which all sessions were ended signed in after that.
        name, since = self.name_after(user_id), str(int(now.timestamp()) + 1)
        return f"{name}.{since}.{self._proof(name, since, user_id)}"

    def name_after(self, user_id: str) -> str:
        """Return the browser's own name once it has signed in to an account, now or before."""
        return self.name_for(user_id, None) or self.fresh or secrets.token_urlsafe(12)

    def _proof(self, name: str, since: str, user_id: str) -> str:
        parts = (part.encode("utf-8", "replace") for part in (user_id, name, since))
        return encoding.base64url_encode(hashing.keyed_hash(self.key, "known browser", *parts))
