"""A file is read line by line: whatever one line is, it is told with its number, and the others come over."""

import csv
import io
import json
from datetime import UTC

import pytest
import typer

from identity_service.cli import imports as command_line
from identity_service.imports import files
from identity_service.imports.rows import UNREADABLE, CannotImport
from tests.accounts.given import an_account
from tests.life.imported import left

CUSTOMERS = ("email,display_name", "anna@example.com,Anna", "ben@example.com,Ben")
BOTH = [
    (2, {"email": "anna@example.com", "display_name": "Anna"}),
    (3, {"email": "ben@example.com", "display_name": "Ben"}),
]


async def read(tmp_path, content: str | bytes, *mapping: str, name: str = "old.csv", **options) -> list:
    """Read a file; a line that cannot be read is its reason."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    names = command_line.read_pairs("--map", list(mapping))
    rows = [row async for row in files.read_rows(file, files.FileOptions(names=names, **options))]
    return [(line, row.get(UNREADABLE, row)) for line, row in rows]


FORMS = {
    "as Unix writes it": "\n".join(CUSTOMERS) + "\n",
    "as Windows writes it": "\r\n".join(CUSTOMERS) + "\r\n",
    "as old Macs wrote it": "\r".join(CUSTOMERS) + "\r",
    "without an end": "\n".join(CUSTOMERS),
    "with a BOM": "\ufeff" + "\n".join(CUSTOMERS),
    "with everything quoted": "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in CUSTOMERS),
    "with empty cells behind": "\n".join(f"{line},," for line in CUSTOMERS[1:]).join([CUSTOMERS[0] + "\n", ""]),
    "with blanks in the heading": "\n".join([" email , display_name ", *CUSTOMERS[1:]]),
    "with capitals in the heading": "\n".join(["Email,DISPLAY_NAME", *CUSTOMERS[1:]]),
    "as a German spreadsheet writes it": "\ufeff" + "\r\n".join(CUSTOMERS).replace(",", ";"),
    "with tabs": "\n".join(CUSTOMERS).replace(",", "\t"),
    "with bars": "\n".join(CUSTOMERS).replace(",", "|"),
    "with quotes and semicolons": "\n".join(f'"{line}"'.replace(",", '";"') for line in CUSTOMERS),
}
ENCODED = {
    "UTF-16 that says so": ("utf-16", None), "UTF-16, little end": ("utf-16-le", None),
    "UTF-16, big end": ("utf-16-be", None), "UTF-32": ("utf-32", None), "UTF-16 by name": ("utf-16-le", "utf-16-le"),
    "Windows-1252 by name": ("windows-1252", "windows-1252"), "Latin-9 by name": ("iso-8859-15", "iso-8859-15"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
async def test_a_file_is_read_however_it_was_written(tmp_path, form):
    assert await read(tmp_path, FORMS[form]) == BOTH


@pytest.mark.parametrize("name", ENCODED)
async def test_another_encoding_is_read_where_it_is_told(tmp_path, name):
    written, told = ENCODED[name]
    table = "email;display_name\r\nanna@example.com;Anna Müller €\r\n"
    assert await read(tmp_path, table.encode(written), encoding=told) == [
        (2, {"email": "anna@example.com", "display_name": "Anna Müller €"})
    ]


async def test_a_separator_that_a_spreadsheet_tells_is_believed(tmp_path):
    assert await read(tmp_path, "sep=|\r\nemail|display_name\r\nanna@example.com|A, B; C") == [
        (3, {"email": "anna@example.com", "display_name": "A, B; C"})
    ]


async def test_empty_lines_are_no_rows_and_count_as_lines(tmp_path):
    heading, anna, ben = CUSTOMERS
    assert [line for line, _ in await read(tmp_path, f"{heading}\n\n\n{anna}\n\n{ben}\n\n")] == [4, 6]


async def test_quotes_hold_commas_quotes_and_lines(tmp_path):
    """A row has the number of the line it begins in."""
    cells = (
        'email,display_name\nanna@example.com,"Berg, ""Anna"""\nben@example.com,"two\nlines"\ncleo@example.com,Cleo\n'
    )
    assert await read(tmp_path, cells) == [
        (2, {"email": "anna@example.com", "display_name": 'Berg, "Anna"'}),
        (3, {"email": "ben@example.com", "display_name": "two\nlines"}),
        (5, {"email": "cleo@example.com", "display_name": "Cleo"}),
    ]


@pytest.mark.parametrize("cell", ["=1+1", "+49 30", "-2", "@SUM(A1)", "=cmd|' /C calc'!A0", "'=x", "0017", "1e5"])
async def test_a_cell_is_text_and_nothing_else(tmp_path, cell):
    """No formula, no number: what stands there is what is taken over."""
    ((_, row),) = await read(tmp_path, f"email,display_name\nanna@example.com,{cell}\n")
    assert row["display_name"] == cell


BROKEN = {
    "a byte of Latin-1": (b"b\xfcrger@example.com,B", "add --encoding windows-1252"),
    "half a symbol": (b"b@example.com,\xf0\x9f\x8f", "not text in UTF-8"),
    "a NUL": (b"b\0@example.com,B", "has a NUL"),
    "a cell too many": (b"b@example.com,Berg, Ben", "more cells than the heading"),
    "a quote that is never closed": (b'b@example.com,"Ben', "not valid CSV"),
    "something behind a quote": (b'"b@example.com"x,Ben', "not valid CSV"),
    "a cell without end": (b"b@example.com," + b"x" * 1_000_000, "not valid CSV"),
    "a quoted cell without end": (b'b@example.com,"' + b"x" * 1_000_000 + b'"', "not valid CSV"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("behind", [0, 1, 500], ids=lambda n: f"{n} lines behind")
async def test_a_broken_line_is_told_and_the_lines_around_it_are_read(tmp_path, name, behind):
    """An open quote would swallow everything behind it: those lines are read again."""
    line, words = BROKEN[name]
    lines = [b"email,display_name", b"a@example.com,A", line, *(f"c{n}@example.com,C".encode() for n in range(behind))]
    (first, told, *others) = await read(tmp_path, b"\n".join([*lines, b""]))
    assert first == (2, {"email": "a@example.com", "display_name": "A"})
    assert told[0] == 3
    assert words in told[1]
    assert others == [(4 + n, {"email": f"c{n}@example.com", "display_name": "C"}) for n in range(behind)]


HEADINGS = {
    "of another file": ("email,phone", "The heading has an unknown column 'phone'"),
    "of no product": ("email;Telefon", "name the product that wrote the file with --format: keycloak"),
    "with a name twice": ("email,email", "must be a heading"),
    "of blanks": (" , ", "must be a heading"),
    "that is missing": ("anna@example.com,Anna", "must be a heading"),
    "with an open quote": ('"email,display_name', "must be a heading"),
}


@pytest.mark.parametrize("name", HEADINGS)
async def test_a_heading_that_does_not_fit_is_refused_whole(tmp_path, name):
    heading, words = HEADINGS[name]
    with pytest.raises(CannotImport) as refused:
        await read(tmp_path, f"{heading}\nben@example.com,Ben\n")
    assert words in refused.value.sentence()


@pytest.mark.parametrize(
    ("content", "encoding"), [("\n".join(CUSTOMERS).encode("utf-16") + b"x", None), (b"email\n+/\n", "utf-7")]
)
async def test_a_file_that_is_not_in_its_encoding_is_refused(tmp_path, content, encoding):
    """Whole: nothing of it comes over with other letters than were meant."""
    with pytest.raises(CannotImport, match="name its encoding with --encoding"):
        await read(tmp_path, content, encoding=encoding)


async def test_columns_are_mapped_and_the_others_left_out(tmp_path):
    """One column may be said twice: an address that is also the number customers were known by."""
    table = "Nr,,E-Mail,Phone\n17,x,anna@example.com,canary\n"
    assert await read(tmp_path, table, "email=E-Mail", "reference=Nr", "display_name=E-Mail") == [
        (2, {"email": "anna@example.com", "reference": "17", "display_name": "anna@example.com"})
    ]


async def test_a_column_that_is_not_there_is_said_at_once(tmp_path):
    """A slip in its name would make accounts without addresses of the whole file."""
    with pytest.raises(CannotImport, match="has no column 'Email'"):
        await read(tmp_path, "E-Mail\nanna@example.com\n", "email=Email")


async def test_json_lines_say_what_cells_say(tmp_path):
    objects = [
        {"email": "anna@example.com", "reference": 17, "display_name": None},
        {"email": "ben@example.com", "password_hash": {"secretData": "{}"}},
    ]
    content = "\ufeff" + "\r\n\r\n".join(map(json.dumps, objects))
    assert await read(tmp_path, content, name="old.JSONL") == [
        (1, {"email": "anna@example.com", "reference": "17", "display_name": ""}),
        (3, {"email": "ben@example.com", "password_hash": '{"secretData": "{}"}'}),
    ]
    assert await read(tmp_path, '{"Mail": "a@b.c", "x": 1}\n{"x": 2}', "email=Mail", name="x.jsonl") == [
        (1, {"email": "a@b.c"}),
        (2, {}),
    ]


OBJECTS = {
    "no JSON": (b"{email: 1}", "not a JSON object"),
    "half an object": (b'{"email": "a@exam', "not a JSON object"),
    "a list": (b'["a@example.com"]', "not a JSON object"),
    "a text": (b'"a@example.com"', "not a JSON object"),
    "nothing by name": (b'{"": "canary"}', "not a JSON object"),
    "a well without ground": (b'{"email":' * 100_000, "not a JSON object"),
    "an endless number": (b'{"reference": ' + b"7" * 10_000 + b"}", "not a JSON object"),
    "a key twice": (b'{"email": "a@example.com", "email": "canary@example.com"}', "has the key 'email' twice"),
    "a key twice inside": (b'{"password_hash": {"salt": "canary", "salt": ""}}', "has the key 'salt' twice"),
    "no number": (b'{"email": "canary@example.com", "customer_since": NaN}', "NaN is not a number"),
    "infinity": (b'{"customer_since": -Infinity}', "Infinity is not a number"),
    "a number out of range": (b'{"reference": 1e400}', "out of range"),
    "a broken number": (b'{"reference": 17.5}', "reference: is a number, and must be text"),
    "a number as a name": (b'{"display_name": 17}', "display_name: is a number, and must be text"),
    "a truth as an address": (b'{"email": true}', "email: is true or false, and must be text"),
    "a list as a name": (b'{"display_name": ["canary", "D."]}', "display_name: is a list, and must be text"),
    "an object as a number": (b'{"reference": {"$oid": "canary"}}', "reference: is an object, and must be text"),
    "a truth as a moment": (b'{"customer_since": false}', "customer_since: is true or false"),
    "a NUL": (b'{"email": "a\0"}', "has a NUL"),
    "a NUL by its number": (rb'{"email": "a\u0000"}', "has a NUL"),
    "half a symbol by its number": (rb'{"display_name": "\ud83c"}', "not text"),
    "half a symbol as a name": (rb'{"\ud83c": "x"}', "not text"),
    "another encoding": (b'{"display_name": "\xfc"}', "not text"),
    "a line without end": (b'{"display_name": "' + b"x" * 1_000_000 + b'"}', "more than 1,000,000 characters"),
}


@pytest.mark.parametrize("name", OBJECTS)
async def test_a_broken_object_is_told_and_the_others_are_read(tmp_path, name):
    line, words = OBJECTS[name]
    good = b'{"email": "a@example.com"}'
    (first, told, last) = await read(tmp_path, b"\n".join([good, line, good]), name="old.jsonl")
    assert (first[0], told[0], last[0]) == (1, 2, 3)
    assert words in told[1]
    assert "canary" not in told[1]


ARRAYS = {
    "over several lines": ('[\n{"email": "a@example.com"},\n{"email": "b@example.com"}\n]\n', [2, 3]),
    "in one line": ('[{"email": "a@example.com"}, {"email": "b@example.com"}]', [1, 2]),
    "with its brackets at the lines' ends": ('\n[{"email": "a@example.com"},\n\n{"email":\n"b@example.com"}]', [2, 4]),
    "inside an object": ('{"total": 2, "users": [\n{"email": "a@example.com"},\n{"email": "b@example.com"}]}', [2, 3]),
    "indented": ('{\n  "x": {"users": [1]},\n  "customers": [\n    {\n      "email": "a@example.com"\n    },'
                 '\n    {"email": "b@example.com"}\n  ]\n}\n', [4, 7]),
}  # fmt: skip


@pytest.mark.parametrize("name", ["old.json", "old.jsonl", "old.ndjson"])
@pytest.mark.parametrize("form", ARRAYS)
async def test_an_array_is_read_whole(tmp_path, form, name):
    """Not its last object alone; each with the line it begins in."""
    content, lines = ARRAYS[form]
    found = await read(tmp_path, content, name=name)
    assert [(line, row["email"]) for line, row in found] == list(
        zip(lines, ["a@example.com", "b@example.com"], strict=True)
    )


async def test_a_broken_object_of_an_array_is_told_and_the_others_are_read(tmp_path):
    content = '[\n{"email": "a@example.com", "email": ""},\n{"reference": NaN},\n7,\n{"email": "b@example.com"}]'
    (twice, nan, number, good) = await read(tmp_path, content, name="old.json")
    assert (twice[0], nan[0], number[0], good) == (2, 3, 4, (5, {"email": "b@example.com"}))
    for (_, told), words in zip((twice, nan, number), ("twice", "NaN", "not a JSON object"), strict=True):
        assert words in told


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[\n{"email": "a@example.com"},\n{"email": "b@exam', "not valid JSON behind line 3"),
        ('[{"email": "a@example.com"}]\n[{"email": "b@example.com"}]', "not valid JSON behind line 2"),
        ('{\n"email": "a@example.com"\n}', "one JSON object without a list of rows"),
        ('{\n"users": [],\n"users": [{"email": "a@example.com"}]}', "the key 'users' twice"),
    ],
)
async def test_an_array_that_breaks_off_is_refused_whole_with_its_line(tmp_path, content, words):
    with pytest.raises(CannotImport) as refused:
        await read(tmp_path, content, name="old.json")
    assert words in refused.value.sentence()


CANARY = "canary.address@example.com"


COUNTED = "Added 3 of 37; 0 add to an account, 1 already exist, 33 refused; values left out of 0."


async def test_the_command_tells_counts_and_lines_and_ends_with_one(service, caller, command, tmp_path):
    """For people, for programs, and every line in a file of its own; nothing of what stood in them."""
    await an_account(caller, email="known@example.com")
    bad = ["canary.address@", 'x,"', CANARY + ",a,b", "known@example.com,K", *(f"canary.{n}@,B" for n in range(30))]
    file, told = tmp_path / "old.csv", tmp_path / "told.jsonl"
    file.write_text("\n".join([*CUSTOMERS, *bad, CANARY, ""]), encoding="utf-8")
    dry = await command("import", str(file), "--dry-run")
    assert (dry.status, dry.out.splitlines()[0]) == (1, "Would" + COUNTED.replace("Added", " add"))
    assert (await left(service))["events"] == 0
    done = await command("import", str(file), "--report", str(told))
    first, *lines = done.out.splitlines()
    assert (done.status, first) == (1, COUNTED)
    assert lines[0].startswith("  line 4: Enter an email address")
    assert len(lines) == 21
    assert lines[-1] == "  … and 14 more; --report FILE writes them all."
    reported = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    assert [(line["line"], line["kind"]) for line in reported] == [
        (n, "duplicates" if n == 7 else "refused") for n in range(4, 38)
    ]
    again = await command("import", str(file), "--json")
    counts = {"lines": 37, "added": 3, "extended": 0, "duplicates": 1, "refused": 33, "left_out": 0}
    assert again.json == {**counts, "told": reported}
    for said in (dry, done, again):
        assert "canary" not in said.out + said.err
    assert "canary" not in told.read_text(encoding="utf-8")


async def test_where_nothing_was_refused_it_ends_with_zero(service, command, tmp_path):
    file = tmp_path / "old.csv"
    file.write_text("\n".join([*CUSTOMERS, CUSTOMERS[1]]), encoding="utf-8")
    done = await command("import", str(file))
    assert (done.status, done.out.splitlines()[0]) == (
        0, "Added 2 of 3; 0 add to an account, 1 already exist, 0 refused; values left out of 0.",
    )  # fmt: skip


@pytest.mark.parametrize("mapping", [["phone=Phone"], ["email=A", "email=B"], ["email"]], ids=" ".join)
def test_a_mapping_that_cannot_be_is_wrong_usage(mapping):
    """A field that there is not, a field twice, no pair."""
    with pytest.raises(typer.BadParameter, match="--map needs OURS=THEIRS, each of ours once and one of: email, "):
        command_line.read_pairs("--map", mapping)


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "phone=1"),
        ("--set", "locale"),
        ("--format", "excel"),
        ("--encoding", "cp999"),
        ("--encoding", "rot13"),
    ],
    ids=" ".join,
)
async def test_an_option_that_cannot_be_is_wrong_usage(command, tmp_path, options):
    file = tmp_path / "old.csv"
    file.write_text("email\na@example.com\n", encoding="utf-8")
    ended = await command("import", str(file), *options)
    assert (ended.status, ended.out) == (2, "")
    assert options[0] in ended.err


async def test_what_every_row_has_is_set_by_an_option(service, command, tmp_path):
    """A value of the row counts more."""
    file = tmp_path / "old.csv"
    file.write_text("email,locale\na@example.com,\nb@example.com,en\n", encoding="utf-8")
    done = await command("import", str(file), "--set", "locale=de", "--set", "customer_since=2009-05-17")
    assert done.status == 0
    assert await service.rows("SELECT locale, customer_since::date::text FROM account ORDER BY email") == [
        ("de", "2009-05-17"), ("en", "2009-05-17"),
    ]  # fmt: skip


async def test_a_file_of_another_kind_is_wrong_usage(command, tmp_path):
    file = tmp_path / "old.xlsx"
    file.write_bytes(b"PK")
    ended = await command("import", str(file))
    assert (ended.status, ended.out) == (2, "")
    assert "must end in one of" in ended.err


async def test_a_heading_that_does_not_fit_stages_nothing(service, command, tmp_path):
    file = tmp_path / "old.csv"
    file.write_text("E-Mail\nanna@example.com\n", encoding="utf-8")
    ended = await command("import", str(file))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("The heading has an unknown column 'E-Mail'")
    assert await service.rows("SELECT 1 FROM import_job") == []


async def test_what_a_spreadsheet_writes_comes_back_as_it_was(tmp_path):
    """Python's own writer, with everything that needs quotes."""
    rows = [["a@example.com", 'He said "no", twice'], ["b@example.com", ", ,"], ["c@example.com", "ü🏗=+"]]
    made = io.StringIO(newline="")
    csv.writer(made).writerows([["email", "display_name"], *rows])
    assert [list(row.values()) for _, row in await read(tmp_path, made.getvalue())] == rows


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("2009-05-17 12:00:00", "2009-05-17 12:00:00+00:00"),
        ("17.05.2009", "2009-05-17 00:00:00+00:00"),
        ("2009-05-17T12:00:00+02:00", "2009-05-17 10:00:00+00:00"),
        ("1242561600000", "2009-05-17 12:00:00+00:00"),
    ],
)
async def test_a_time_without_a_zone_is_utc_and_the_help_says_so(service, command, tmp_path, written, stored):
    """Case 43 (J07): nobody has to find out by a difference of hours."""
    file = tmp_path / "old.csv"
    file.write_text(f"email,customer_since\nanna@example.com,{written}\n")
    assert (await command("import", str(file))).status == 0
    ((since,),) = await service.rows("SELECT customer_since FROM account")
    assert str(since.astimezone(UTC)) == stored
    told = await command("import", "--help")
    assert "without a zone are UTC" in " ".join(told.out.replace("│", " ").split())
