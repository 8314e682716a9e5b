"""Printable text, mostly one line: a name, a reference, a note. Pure.

Refused are C0 and C1 controls, line and paragraph separators, bidirectional overrides, lone surrogates, and `=?` (old
Pythons turn an encoded word into a header, FACT-1); ATT-38, ATT-40.
"""

from typing import Final

LONGEST: Final = 200
"""The default maximum length of a line, in characters."""


def is_line(text: str, *, longest: int = LONGEST) -> bool:
    """Return whether `text` is one printable line of 1 to `longest` characters, without blanks at its ends."""
    return 1 <= len(text) <= longest and is_printable(text) and text == text.strip()


def is_printable(text: str) -> bool:
    """Return whether `text` has no hidden characters, line breaks or encoded words (`=?`)."""
    return "=?" not in text and (text.isprintable() or not any(map(_is_deceptive, text)))


def is_text(text: str) -> bool:
    """Return whether `text` has no hidden characters except line breaks and tabs."""
    flat = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return flat.isprintable() or not any(map(_is_deceptive, flat))


def _is_deceptive(c: str) -> bool:
    return (
        ord(c) < 32
        or 127 <= ord(c) < 160
        or c in "\u2028\u2029\ufeff"
        or "\u202a" <= c <= "\u202e"
        or "\u2066" <= c <= "\u2069"
        or "\ud800" <= c <= "\udfff"
    )
