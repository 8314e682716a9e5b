"""Read a file of customers line by line, CSV or JSON lines. A line that cannot be read is a row that says so.

So it is told with its number like any other, and the rest goes on. Only a heading that does not fit is refused whole:
every row would be.
"""

import csv
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import typer

from identity_service.life.importing import Row
from identity_service.life.incoming import FIELDS, UNREADABLE, CannotImport

LONGEST: Final = 1_000_000
"""Characters of a line; no customer has so many."""
_NO_HEADING: Final = "The first line is no heading: the names of the columns, each once, in UTF-8."
_NOT_TEXT: Final = "This line is not text in UTF-8, or has a NUL in it."
_TOO_LONG: Final = f"This line has more than {LONGEST:,} characters."


def names(mapping: list[str]) -> dict[str, str]:
    """Return the file's names for fields of ours, from `OURS=THEIRS`."""
    found: dict[str, str] = {}
    for text in mapping:
        ours, sign, theirs = text.partition("=")
        if not sign or ours not in FIELDS or ours in found:
            raise typer.BadParameter(f"--map wants OURS=THEIRS, ours once, and one of: {', '.join(FIELDS)}")
        found[ours] = theirs
    return found


async def rows(file: Path, named: Mapping[str, str]) -> AsyncIterator[Row]:
    """Yield the rows of a file under our names, each with the number of the line it begins in.

    Raises:
        CannotImport: the heading does not fit.
    """
    # What is no UTF-8 becomes halves of symbols, which no text has: so the line is refused, and not the file.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        for line, row in _csv(text, named) if file.suffix.lower() == ".csv" else _objects(text):
            if isinstance(row, str):
                yield line, {UNREADABLE: row}
            else:
                yield line, {ours: row[theirs] for ours, theirs in named.items() if theirs in row} if named else row


def _csv(text: TextIO, named: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield the rows with their lines; a text is why a line cannot be read."""
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    heading: list[str] | None = None
    while True:
        line = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as broken:
            # A quote that is never closed has taken the lines behind it, too: they are read again, as lines.
            lines.give_back()
            if heading is None:
                raise CannotImport(_NO_HEADING) from broken
            yield line, f"This line is no CSV: {broken}."
            continue
        if heading is None:
            heading = _heading(cells, named)
        elif cells:
            yield line, _row(heading, cells)


def _heading(cells: list[str], named: Mapping[str, str]) -> list[str]:
    found = [cell.strip() for cell in cells]
    # Where it was left out, the first customer stands in its place: he is not repeated to the terminal.
    if not _is_text(*found) or len(set(found)) < len(found) or not any(found) or "@" in "".join(found):
        raise CannotImport(_NO_HEADING)
    missing = sorted(set(named.values()) - set(found))
    if missing:
        raise CannotImport(f"The heading has no column {missing[0]!r}.")
    unknown = [name for name in found if name not in FIELDS]
    if unknown and not named:
        raise CannotImport(
            f"The heading has a column {unknown[0][:40]!r}, which is no field here; name ours with --map."
        )
    return found


def _row(heading: list[str], cells: list[str]) -> dict[str, str] | str:
    if not _is_text(*cells):
        return _NOT_TEXT
    if any(cells[len(heading) :]):
        return "This line has more cells than the heading."
    return dict(zip(heading, cells, strict=False))


def _objects(text: TextIO) -> Iterator[tuple[int, dict[str, str] | str]]:
    for number, line in enumerate(text, start=1):
        if line.strip():
            yield number, _object(line)


def _object(line: str) -> dict[str, str] | str:
    if len(line) > LONGEST:
        return _TOO_LONG
    if not _is_text(line):
        return _NOT_TEXT
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or "" in value:
        return "This line is no JSON object whose fields have names."
    row = {name: _text(given) for name, given in value.items()}
    return row if _is_text(*row, *row.values()) else _NOT_TEXT


def _text(value: Any) -> str:  # noqa: ANN401
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _is_text(*parts: str) -> bool:
    """Tell whether PostgreSQL takes it: no NUL, and no half of a symbol."""
    whole = "".join(parts)
    return "\0" not in whole and (whole.isascii() or not any("\ud800" <= c <= "\udfff" for c in whole))


class _Lines:
    """The lines of a file, of which some can be given back."""

    def __init__(self, text: TextIO) -> None:
        self._text = iter(text)
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._text)
        self._taken.append(line)
        self._number += 1
        return line

    def begin(self) -> int:
        """Begin a record; return the number of its first line."""
        self._taken.clear()
        return self._number + 1

    def give_back(self) -> None:
        """Give back what the record has taken behind its first line."""
        self._again.extendleft(reversed(self._taken[1:]))
        self._number -= len(self._taken) - 1
