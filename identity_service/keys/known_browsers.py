"""The cookie of a browser that has signed in to an account before: a random name and a keyed hash. Pure.

The hash is over the name and the User ID, so that the cookie of one account proves nothing for another.
"""

import hmac
import secrets
from typing import NamedTuple

from identity_service.keys import encoding, hashing


class KnownBrowser(NamedTuple):
    """What a browser sent as its cookie, "" for none, and the key to check it."""

    key: bytes
    cookie: str

    def name_for(self, user_id: str | None) -> str | None:
        """Return the browser's own name if it has signed in to this account before, else `None`."""
        name, _, proof = self.cookie.partition(".")
        if hmac.compare_digest(proof.encode("utf-8", "replace"), self._proof(name, user_id or "").encode()) and user_id:
            return name
        return None

    def cookie_for(self, user_id: str) -> str:
        """Return the cookie of this browser after it has signed in to an account."""
        name = self.name_for(user_id) or secrets.token_urlsafe(12)
        return f"{name}.{self._proof(name, user_id)}"

    def _proof(self, name: str, user_id: str) -> str:
        proof = hashing.keyed_hash(self.key, "known browser", user_id.encode(), name.encode("utf-8", "replace"))
        return encoding.base64url_encode(proof)
