"""Lines: what a name, a reference or a note may consist of, wherever it comes in. Pure.

C0 and C1 controls, line and paragraph separators, bidirectional overrides, halves of characters and `=?` (an encoded
word becomes a header on old Pythons, FACT-1) have no place in a name (ATT-38, ATT-40).
"""

from typing import Final

LONGEST: Final = 200
"""Characters of a line."""


def is_printable(text: str) -> bool:
    """Tell whether every character can be printed, and no letter reads them as something else."""
    hidden = any(
        ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029\ufeff" or "\u202a" <= c <= "\u202e" for c in text
    )
    return not (hidden or "=?" in text or any("\u2066" <= c <= "\u2069" or "\ud800" <= c <= "\udfff" for c in text))
