"""Printable text, mostly one line: a name, a reference, a note. Pure.

Refused are C0 and C1 controls, line and paragraph separators, bidirectional overrides, tags that are no flag, lone
surrogates, and `=?` (old Pythons turn an encoded word into a header, FACT-1); ATT-38, ATT-40. In one line signs that
nobody sees and that no script or emoji needs are refused too: two names that read the same would differ.
"""

import re
import unicodedata
from typing import Final

from identity_service.values import pasted

LONGEST: Final = 200
"""The default maximum length of a line, in characters."""
_MARKS: Final = 30
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
_DECEPTIVE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e00ff]"
)
# Joiners and the marks of direction are part of Persian, Indic and mixed text, and of emoji; selectors choose a form.
_NEEDED = re.compile("[\u061c\u180b-\u180d\u180f\u200c-\u200f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def read_line(text: str) -> str:
    """Return a line as it is stored and compared: NFC (UAX 15), without blanks and invisible signs at its ends.

    What heaps marks on one letter is not composed, and refused by what checks the line.
    """
    return compose(pasted.trim_ends(text))


def compose(text: str) -> str:
    """Return text in NFC, or as it is if it heaps marks on one letter: to sort thousands of them takes seconds."""
    return text if _heaps_marks(text) else unicodedata.normalize("NFC", text)


def is_line(text: str, *, longest: int = LONGEST) -> bool:
    """Return whether `text` is one printable line of 1 to `longest` characters, without blanks at its ends."""
    return 1 <= len(text) <= longest and find_line_fault(text) is None and text == text.strip()


def is_printable(text: str) -> bool:
    """Return whether `text` has no hidden characters, line breaks or encoded words (`=?`)."""
    return find_line_fault(text) is None


def is_text(text: str) -> bool:
    """Return whether `text` has no hidden characters except line breaks and tabs."""
    return find_text_fault(text) is None


def find_line_fault(text: str) -> str | None:
    """Return why `text` cannot be one printable line, as the end of a sentence that names the sign, else None."""
    sign = find_bad_sign(text)
    if sign is not None:
        return f"contains {sign}, which is not allowed here; type it anew instead of pasting it"
    if _heaps_marks(text):
        return f"has more than {_MARKS} marks on one letter"
    return None if text.isascii() or any(map(_is_visible, text)) else "contains nothing that can be seen"


def _heaps_marks(text: str) -> bool:
    """Return whether more than 30 combining marks follow each other (UAX 15, "Stream-Safe Text Format")."""
    found = 0
    for sign in "" if text.isascii() else text:
        found = found + 1 if unicodedata.combining(sign) else 0
        if found > _MARKS:
            return True
    return False


def find_bad_sign(text: str) -> str | None:
    """Return how the first sign is called that one printable line must not have, else None."""
    if "=?" in text:
        return "=? (which begins an encoded word)"
    if text.isascii() and text.isprintable():
        return None
    seen = _FLAG.sub("\U0001f3f4", text)
    deceptive = _DECEPTIVE.search(seen)
    sign = deceptive[0] if deceptive else pasted.find_invisible(_NEEDED.sub("", seen))
    return None if sign is None else pasted.name_sign(sign)


def find_text_fault(text: str) -> str | None:
    """Return why `text` cannot be printed, line breaks and tabs aside, as the end of a sentence, else None."""
    flat = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    found = None if flat.isprintable() else _DECEPTIVE.search(_FLAG.sub("", flat))
    return None if found is None else f"contains {pasted.name_sign(found[0])}, which cannot be printed"


def _is_visible(sign: str) -> bool:
    return unicodedata.category(sign)[0] not in "ZMC" and pasted.find_invisible(sign) is None
