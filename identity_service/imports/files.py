"""Read CSV and JSON Lines files, with the number of each line."""

import csv
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import typer

from identity_service.imports.actions import Row
from identity_service.imports.rows import FIELDS, UNREADABLE, CannotImport

LONGEST: Final = 1_000_000
"""Characters in one line of JSON; a longer one is refused."""
_NO_HEADING: Final = "The first line must be a heading in UTF-8 that names each column once."
_NOT_TEXT: Final = "This line is not text in UTF-8, or has a NUL in it."
_TOO_LONG: Final = f"This line has more than {LONGEST:,} characters."


def read_names(mapping: list[str]) -> dict[str, str]:
    """Return the file's column name for each of our fields, from options like `OURS=THEIRS`.

    Raises:
        typer.BadParameter: no pair, an unknown field of ours, or one of ours twice.
    """
    found: dict[str, str] = {}
    for text in mapping:
        ours, sign, theirs = text.partition("=")
        if not sign or ours not in FIELDS or ours in found:
            raise typer.BadParameter(f"--map needs OURS=THEIRS, each of ours once and one of: {', '.join(FIELDS)}")
        found[ours] = theirs
    return found


async def read_rows(file: Path, named: Mapping[str, str]) -> AsyncIterator[Row]:
    """Yield the rows of a file by our field names, each with the number of its first line.

    Raises:
        CannotImport: the CSV heading is missing, or has a missing or unknown column.
    """
    # `surrogateescape` turns invalid UTF-8 into lone surrogates, so that `_is_text` refuses the line, not the file.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        for line, row in _csv(text, named) if file.suffix.lower() == ".csv" else _objects(text):
            if isinstance(row, str):
                yield line, {UNREADABLE: row}
            else:
                yield line, {ours: row[theirs] for ours, theirs in named.items() if theirs in row} if named else row


def _csv(text: TextIO, named: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield line numbers with rows; a text instead of a row is the reason why the line cannot be read."""
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
            # An unclosed quote has consumed the following lines too: read them again as records of their own.
            lines.unread()
            if heading is None:
                raise CannotImport(_NO_HEADING) from broken
            yield line, f"This line is not valid CSV: {broken}."
            continue
        if heading is None:
            heading = _heading(cells, named)
        elif cells:
            yield line, _row(heading, cells)


def _heading(cells: list[str], named: Mapping[str, str]) -> list[str]:
    found = [cell.strip() for cell in cells]
    # Without a heading this is the first customer (an "@"): the error must not print their data.
    if not _is_text(*found) or len(set(found)) < len(found) or not any(found) or "@" in "".join(found):
        raise CannotImport(_NO_HEADING)
    missing = sorted(set(named.values()) - set(found))
    if missing:
        raise CannotImport(f"The heading has no column {missing[0]!r}.")
    unknown = [name for name in found if name not in FIELDS]
    if unknown and not named:
        raise CannotImport(f"The heading has an unknown column {unknown[0][:40]!r}; map it to a field with --map.")
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
        return "This line is not a JSON object with named fields."
    row = {name: _text(given) for name, given in value.items()}
    return row if _is_text(*row, *row.values()) else _NOT_TEXT


def _text(value: Any) -> str:  # noqa: ANN401
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _is_text(*parts: str) -> bool:
    """Return whether PostgreSQL can store the texts: no NUL and no lone surrogate."""
    joined = "".join(parts)
    return "\0" not in joined and (joined.isascii() or not any("\ud800" <= c <= "\udfff" for c in joined))


class _Lines:
    """Iterate over the lines of a file; all lines of a record but its first can be unread."""

    def __init__(self, text: TextIO) -> None:
        self._text = iter(text)
        self._unread: deque[str] = deque()
        self._record: list[str] = []
        self._number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._unread.popleft() if self._unread else next(self._text)
        self._record.append(line)
        self._number += 1
        return line

    def begin(self) -> int:
        """Begin a record; return the number of its first line."""
        self._record.clear()
        return self._number + 1

    def unread(self) -> None:
        """Return all lines of the record but its first to the front of the iterator."""
        self._unread.extendleft(reversed(self._record[1:]))
        self._number -= len(self._record) - 1
