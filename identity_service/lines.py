"""Text that people read, mostly one line: a name, a reference, a note. Pure.

C0 and C1 controls, line and paragraph separators, bidirectional overrides, halves of a symbol, and `=?` (an encoded
word becomes a header on old Pythons, FACT-1) have no place in it; ATT-38, ATT-40.
"""

from typing import Final

LONGEST: Final = 200
"""Characters of a line, unless it says otherwise."""


def is_line(text: str, *, longest: int = LONGEST) -> bool:
    """Tell whether `text` is one printable line of 1 to `longest` characters, without blanks at its ends."""
    return 1 <= len(text) <= longest and is_printable(text) and text == text.strip()


def is_printable(text: str) -> bool:
    """Tell whether nothing hides in `text`."""
    return "=?" not in text and (text.isprintable() or not any(map(_hides, text)))


def is_text(text: str) -> bool:
    """Tell whether nothing hides in `text`, which may have several lines, and tabs."""
    flat = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return flat.isprintable() or not any(map(_hides, flat))


def _hides(c: str) -> bool:
    return (
        ord(c) < 32
        or 127 <= ord(c) < 160
        or c in "\u2028\u2029\ufeff"
        or "\u202a" <= c <= "\u202e"
        or "\u2066" <= c <= "\u2069"
        or "\ud800" <= c <= "\udfff"
    )
