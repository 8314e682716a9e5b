"""Read the objects of a JSON file: JSON Lines, one array, or one object that has its rows in a list.

An array or object over several lines is read whole into memory. Its objects have the line in which they begin, or
their number in the file where several stand in one line.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, Final, TextIO

from identity_service.imports.fields import CannotImport
from identity_service.imports.formats import LISTS
from identity_service.imports.json_rows import parse_json

LONGEST: Final = 1_000_000
"""Characters in one object; a longer one is refused."""
NO_OBJECT: Final = "This line is not a JSON object with named fields."
_TOO_LONG: Final = f"This line has more than {LONGEST:,} characters."
_NOT_TEXT: Final = "This line is not text in UTF-8, or has a NUL in it."
_BLANK = re.compile(r"[ \t\r\n]*")
_WITH_LIST = re.compile(rf'\{{[^\n]*"(?:{"|".join(sorted(LISTS))})"\s*:\s*\[')
_OPEN_END = re.compile(r"[{\[,]\s*$")
_PLAIN = json.JSONDecoder(strict=False)

Found = tuple[int, dict[str, Any] | str]
Place = tuple[int, int, int]
"""Line, start and end of a value in a text."""


def read_objects(text: TextIO) -> Iterator[Found]:
    """Yield each object with its line; a text instead of an object is the reason why it cannot be read.

    Raises:
        CannotImport: an array or object over several lines breaks off, and what follows cannot be told apart.
    """
    before, line = 0, text.readline()
    while line and not line.strip():
        before, line = before + 1, text.readline()
    if _is_whole(line):
        yield from _whole(line + text.read(), before)
        return
    for number, one in enumerate(itertools.chain([line], text), start=before + 1):
        if one.strip():
            yield number, _one_line(one)


def _is_whole(line: str) -> bool:
    """Return whether a file that begins so is one JSON value, and not an object a line."""
    start = line.lstrip()
    if start.startswith("[") or _WITH_LIST.match(start):
        return True
    return start.startswith("{") and _OPEN_END.search(start) is not None


def _one_line(line: str) -> dict[str, Any] | str:
    if len(line) > LONGEST:
        return _TOO_LONG
    if "\0" in line or any("\ud800" <= c <= "\udfff" for c in line if not line.isascii()):
        return _NOT_TEXT
    return _parsed(line)


def _parsed(text: str) -> dict[str, Any] | str:
    try:
        value = parse_json(text)
    except CannotImport as refused:
        return f"{NO_OBJECT} {refused.sentence()}"
    return value if isinstance(value, dict) else NO_OBJECT


def _whole(text: str, before: int) -> Iterator[Found]:
    scanner = _Scanner(text, before)
    try:
        found = list(scanner.elements() if scanner.take("[") else scanner.members())
        scanner.end()
    except (ValueError, RecursionError):
        raise CannotImport(f"The file is not valid JSON behind line {scanner.line}; mend it there.") from None
    # A row is known by its line; where several objects stand in one line, by its number in the file.
    is_numbered = len({line for line, _, _ in found}) < len(found)
    for number, (line, start, end) in enumerate(found, start=1):
        yield number if is_numbered else line, _one_line(text[start:end].rstrip())


class _Scanner:
    """Walks through a JSON text; a ValueError says that it is not valid behind `line`."""

    def __init__(self, text: str, before: int) -> None:
        self._text, self._place, self._counted, self.line = text, 0, 0, before + 1
        self._skip()

    def take(self, sign: str) -> bool:
        """Return whether the next sign is this one, and pass it."""
        if not self._text.startswith(sign, self._place):
            return False
        self._place += 1
        self._skip()
        return True

    def elements(self) -> Iterator[Place]:
        """Yield the values of an array whose bracket was passed."""
        if self.take("]"):
            return
        while True:
            line, start = self.line, self._place
            self._value()
            yield line, start, self._place
            if not self._goes_on("]"):
                return

    def members(self) -> Iterator[Place]:
        """Yield the values of every list with a known name in an object."""
        if not self.take("{"):
            raise ValueError
        seen: set[str] = set()
        while True:
            name = self._value()
            if not isinstance(name, str) or not self.take(":"):
                raise ValueError
            if name in seen:
                raise CannotImport(f"The file has the key {name[:40]!r} twice, in line {self.line}.")
            seen.add(name)
            if name in LISTS and self.take("["):
                yield from self.elements()
            else:
                self._value()
            if not self._goes_on("}"):
                break
        if not seen & LISTS:
            raise CannotImport(f"The file is one JSON object without a list of rows ({', '.join(sorted(LISTS))}).")

    def end(self) -> None:
        """Refuse anything behind the value."""
        if self._place < len(self._text):
            raise ValueError

    def _goes_on(self, closing: str) -> bool:
        if self.take(","):
            return True
        if not self.take(closing):
            raise ValueError
        return False

    def _value(self) -> Any:  # noqa: ANN401
        value, self._place = _PLAIN.raw_decode(self._text, self._place)
        self._skip()
        return value

    def _skip(self) -> None:
        """Pass blanks, and count the lines that were passed."""
        found = _BLANK.match(self._text, self._place)
        self._place = self._place if found is None else found.end()
        self.line += self._text.count("\n", self._counted, self._place)
        self._counted = self._place
