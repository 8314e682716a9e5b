"""Read the rows of a file by our field names, each with the number of its first line.

A file is CSV with a heading (separated by commas, semicolons, tabs or bars), JSON Lines, one JSON array, or one JSON
object that has its rows in a list. It is UTF-8, or UTF-16 or UTF-32 that says so; other encodings are named.
"""

import codecs
import csv
import itertools
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from identity_service.imports import formats, json_files
from identity_service.imports.actions import Row
from identity_service.imports.fields import CannotImport
from identity_service.imports.formats import NATIVE, Format
from identity_service.imports.json_rows import read_texts
from identity_service.imports.rows import FIELDS, LEFT_OUT, UNREADABLE
from identity_service.passwords.legacy_hashes import FirebaseParameters

SUFFIXES: Final = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
_CSV_SUFFIXES: Final = SUFFIXES[:3]
_SEPARATORS: Final = ",;\t|"
_ENCODING_REMEDY: Final = "a spreadsheet on Windows may have written Windows-1252: add --encoding windows-1252"
_NO_HEADING: Final = (
    "The first line must be a heading in UTF-8 that names each column once; "
    f"{_ENCODING_REMEDY}. A CSV file of Firebase has none: add --format firebase."
)
_NOT_TEXT: Final = f"This line is not text in UTF-8, or has a NUL in it; {_ENCODING_REMEDY}."
_NO_EVIDENCE: Final = (
    "consent_decision: the grant was left out, because it has no wording and evidence; give both with --set."
)
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file is read. `names`: the file's column for each of our fields. `constants`: the values of fields that a
    row leaves empty. `format_name` and `encoding`: None if the file tells them. `firebase`: a project's parameters."""

    names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    format_name: str | None = None
    encoding: str | None = None
    firebase: FirebaseParameters | None = None


async def read_rows(file: Path, options: FileOptions) -> AsyncIterator[Row]:
    """Yield the rows of a file by our field names, each with the number of its first line.

    Raises:
        CannotImport: the file is no text in its encoding, its CSV heading is missing or has a missing or unknown
            column, or its JSON breaks off.
    """
    encoding = options.encoding or _find_encoding(file)
    # Lone surrogates in place of invalid bytes: `_is_text` then refuses the line, not the file.
    errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    try:
        with file.open(encoding=encoding, errors=errors, newline="") as text:
            is_csv = file.suffix.lower() in _CSV_SUFFIXES
            for line, row in _csv(text, options) if is_csv else _objects(text, options):
                yield line, {UNREADABLE: row} if isinstance(row, str) else row
    except UnicodeError:
        raise CannotImport(f"The file is not text in {encoding}; name its encoding with --encoding.") from None


def _find_encoding(file: Path) -> str:
    """Return the encoding that the first bytes tell: a byte order mark, or every second byte a NUL."""
    with file.open("rb") as content:
        start = content.read(64)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    if len(start) >= 8 and not any(start[1:32:2]) and all(start[0:32:2]):
        return "utf-16-le"
    if len(start) >= 8 and not any(start[0:32:2]) and all(start[1:32:2]):
        return "utf-16-be"
    return "utf-8-sig"


def _csv(text: TextIO, options: FileOptions) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield line numbers with rows; a text instead of a row is the reason why the line cannot be read."""
    first = text.readline()
    said = re.fullmatch(r"sep=(.)\s*", first)
    lines = _Lines(text if said else itertools.chain([first], text), before=1 if said else 0)
    reader = csv.reader(lines, strict=True, delimiter=said[1] if said else _find_separator(first))
    heading = list(formats.FIREBASE_COLUMNS) if _has_no_heading(first, options) else None
    known: Format | None = formats.FORMATS.get(options.format_name or "")
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
            if any(cells):
                heading, known = _heading(cells, options)
        elif any(cells):
            row = _cells(heading, cells, is_ours=known is None and not options.names)
            yield line, row if isinstance(row, str) else _by_our_names(row, known, options)


def _has_no_heading(first: str, options: FileOptions) -> bool:
    return options.format_name == "firebase" and "localid" not in first.casefold()


def _find_separator(first: str) -> str:
    """Return the separator that makes the most columns of the heading; a comma if none makes any."""

    def count(separator: str) -> int:
        try:
            return len(next(csv.reader([first], delimiter=separator), []))
        except csv.Error:
            return 0

    return max(_SEPARATORS, key=count)


def _heading(cells: list[str], options: FileOptions) -> tuple[list[str], Format | None]:
    """Return the columns by name, and the product whose export has them, None if the names are ours or mapped."""
    found = [cell.strip() for cell in cells]
    named = [cell.casefold() for cell in found if cell]
    # Without a heading this is the first customer (an "@"): the error must not print their data.
    if not _is_text(*found) or len(set(named)) < len(named) or not named or "@" in "".join(found):
        raise CannotImport(_NO_HEADING)
    missing = sorted(set(options.names.values()) - set(found))
    if missing:
        raise CannotImport(f"The heading has no column {missing[0]!r}.")
    if options.format_name not in (None, NATIVE):
        return found, formats.FORMATS[options.format_name or ""]
    ours = [cell.casefold() if cell.casefold() in FIELDS else cell for cell in found]
    unknown = [name for name in ours if name and name not in FIELDS]
    if not unknown or options.names:
        return found if options.names else ours, None
    known = None if options.format_name == NATIVE else formats.find_format(found)
    if known is None:
        raise CannotImport(
            f"The heading has an unknown column {unknown[0][:40]!r}; map it to a field with --map, "
            f"or name the product that wrote the file with --format: {', '.join(formats.FORMATS)}."
        )
    return found, known


def _cells(heading: list[str], cells: list[str], *, is_ours: bool) -> dict[str, str] | str:
    if not _is_text(*cells):
        return _NOT_TEXT
    if any(cells[len(heading) :]):
        return "This line has more cells than the heading; a cell with a separator in it needs quotes."
    row = dict(zip(heading, cells, strict=False))
    if row.pop("", "") and is_ours:
        return "This line has a cell below a column without a name."
    return row


def _objects(text: TextIO, options: FileOptions) -> Iterator[tuple[int, dict[str, str] | str]]:
    for line, value in json_files.read_objects(text):
        yield line, value if isinstance(value, str) else _object(value, options)


def _object(value: dict[str, Any], options: FileOptions) -> dict[str, str] | str:
    if "" in value or LEFT_OUT in value:
        return json_files.NO_OBJECT
    known = formats.FORMATS.get(options.format_name or "")
    if known is None and options.format_name is None and not options.names and not value.keys() <= set(FIELDS):
        known = formats.find_format(value)
    row = _by_our_names(value, known, options)
    return row if isinstance(row, str) or _is_text(*row, *row.values()) else _NOT_TEXT


def _by_our_names(given: Mapping[str, Any], known: Format | None, options: FileOptions) -> dict[str, str] | str:
    try:
        if known is not None:
            row = formats.read_product_row(known, given, options.firebase)
        else:
            row = {} if options.names else read_texts(given)
        row |= read_texts({ours: given[theirs] for ours, theirs in options.names.items() if theirs in given})
    except CannotImport as refused:
        return refused.sentence()
    if not row.keys() - {LEFT_OUT}:
        return row
    row |= {name: value for name, value in options.constants.items() if not row.get(name, "").strip()}
    is_proven = bool(row.get("consent_wording")) and bool(row.get("consent_evidence"))
    if known is not None and row.get("consent_decision") == "granted" and not is_proven:
        row = {name: value for name, value in row.items() if not name.startswith("consent_")}
        row[LEFT_OUT] = " ".join(filter(None, (row.get(LEFT_OUT, ""), _NO_EVIDENCE)))
    return row


def _is_text(*parts: str) -> bool:
    """Return whether PostgreSQL can store the texts: no NUL and no lone surrogate."""
    joined = "".join(parts)
    return "\0" not in joined and (joined.isascii() or not any("\ud800" <= c <= "\udfff" for c in joined))


class _Lines:
    """Iterate over the lines of a file; all lines of a record but its first can be unread."""

    def __init__(self, text: Iterable[str], *, before: int) -> None:
        self._text = iter(text)
        self._unread: deque[str] = deque()
        self._record: list[str] = []
        self._number = before

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
