"""Find our signed return address in what other servers make of it. Pure.

A forwarder or filter wraps a return address in its own: BATV (`prvs=0123abcdef=…`), SRS (`SRS0=…`, `SRS1=…`), a quoted
local part, upper case. The id of the message with its tag stays readable inside, and only the tag proves anything.
"""

import re
from collections.abc import Set
from typing import Final

MAXIMUM_FOUND: Final = 20
_TAG = re.compile(r"\.([0-9a-f]{10})(?![0-9a-f])")
_ID = re.compile(r"[0-9a-f]{32}")
_BEFORE = re.compile(r"(?:.*[^0-9a-z]|.*[=%](?:2b|3d)|)", re.DOTALL)
"""What may stand before an id: no letter or digit, unless it belongs to an encoded `+` or `=`."""


def find_signed_ids(text: str) -> list[tuple[str, str]]:
    """Return the pairs of message id (32 hexadecimal digits) and tag (10) in a text, in lower case; at most 20.

    Nothing is proven: the caller checks each tag.
    """
    lower, found = text.lower(), {}
    # The tag is searched first: it begins with a literal, and a search for 32 digits tries at every character.
    for match in _TAG.finditer(lower):
        start = match.start() - 32
        if start >= 0 and _ID.fullmatch(lower, start, match.start()):
            if _BEFORE.fullmatch(lower[max(0, start - 3) : start]):
                found[lower[start : match.start()], match[1]] = True
            if len(found) == MAXIMUM_FOUND:
                break
    return list(found)


def is_return_address(address: str, domains: Set[str]) -> bool:
    """Return whether an envelope recipient has the form of our return addresses at one of `domains` (lower case)."""
    local, _, host = address.strip().strip("<>").rpartition("@")
    local, is_ours = local.strip().removeprefix('"').lower(), host.lower().rstrip(".") in domains
    return is_ours and (local.startswith("b+") or bool(find_signed_ids(local)))
