"""Names that strangers typed, in messages that we sign. Pure.

Whoever fills in a form writes the name of an account, and the message reaches a mailbox in our name, signed by us: a
name must not be able to carry a link, an address, a telephone number or a sentence to it (OWASP, content spoofing).
"""

import re
import unicodedata
from typing import Final

LONGEST_GREETED: Final = 40
"""The maximum length of a name in a message, in characters."""
_MOST_DIGITS: Final = 4
# Dots between letters or digits, because mail programs make links of `evil.example` and `192.0.2.1`.
_CARRIES_SOMETHING = re.compile(r"[:@/\\]|\bwww\b|(?<=\w)\.+(?=\w)", re.IGNORECASE)
# IDNA reads the ideographic full stops as dots (RFC 3490, 3.1), and so do mail programs.
_DOTS = str.maketrans({"\u3002": ".", "\uff61": ".", "\uff0e": "."})


def name_for_message(name: str | None) -> str | None:
    """Return a name as a message may contain it; None if there is none, or if it could be more than a name.

    Look-alike characters count as what they look like, and invisible ones as nothing.
    """
    if name is None or len(name) > LONGEST_GREETED or not name.strip():
        return None
    plain = as_seen(name)
    if _CARRIES_SOMETHING.search(plain) or sum(map(str.isdigit, plain)) > _MOST_DIGITS or not plain.isprintable():
        return None
    return name


def as_seen(text: str) -> str:
    """Return text without what nobody sees, and with look-alike forms as what they look like."""
    visible = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Mn", "Me"))
    return unicodedata.normalize("NFKC", visible).translate(_DOTS)
