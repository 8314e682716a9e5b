"""A file is read line by line: whatever one line is, it is told with its number, and the others come over."""

import csv
import io
import json

import pytest
import typer

from identity_service.imports import files
from identity_service.imports.rows import UNREADABLE, CannotImport
from tests.accounts.given import an_account
from tests.life.imported import left

CUSTOMERS = ("email,display_name", "anna@example.com,Anna", "ben@example.com,Ben")
BOTH = [
    (2, {"email": "anna@example.com", "display_name": "Anna"}),
    (3, {"email": "ben@example.com", "display_name": "Ben"}),
]


async def read(tmp_path, content: str | bytes, *mapping: str, name: str = "old.csv") -> list:
    """Read a file; a line that cannot be read is its reason."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = [row async for row in files.read_rows(file, files.read_names(list(mapping)))]
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
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_file_is_read_however_it_was_written(tmp_path, form):
    assert await read(tmp_path, FORMS[form]) == BOTH


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
    "a byte of Latin-1": (b"b\xfcrger@example.com,B", "not text in UTF-8"),
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
    "with semicolons": ("email;display_name", "The heading has an unknown column 'email;display_name'"),
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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
async def test_another_encoding_is_refused_whole(tmp_path, encoding):
    with pytest.raises(CannotImport, match="in UTF-8"):
        await read(tmp_path, "\n".join(CUSTOMERS).encode(encoding))


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


CANARY = "canary.address@example.com"


async def test_the_command_tells_counts_and_lines_and_ends_with_one(service, caller, command, tmp_path):
    """For people, for programs, and every line in a file of its own; nothing of what stood in them."""
    await an_account(caller, email="known@example.com")
    bad = ["canary.address@", 'x,"', CANARY + ",a,b", "known@example.com,K", *(f"canary.{n}@,B" for n in range(30))]
    file, told = tmp_path / "old.csv", tmp_path / "told.jsonl"
    file.write_text("\n".join([*CUSTOMERS, *bad, CANARY, ""]), encoding="utf-8")
    dry = await command("import", str(file), "--dry-run")
    assert (dry.status, dry.out.splitlines()[0]) == (1, "Would add 3 of 37; 1 already exist, 33 refused.")
    assert (await left(service))["events"] == 0
    done = await command("import", str(file), "--report", str(told))
    first, *lines = done.out.splitlines()
    assert (done.status, first) == (1, "Added 3 of 37; 1 already exist, 33 refused.")
    assert lines[3] == "  line 7: An account already has this address."
    assert len(lines) == 20
    reported = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    assert [(line["line"], line["kind"]) for line in reported] == [
        (n, "duplicates" if n == 7 else "refused") for n in range(4, 38)
    ]
    again = await command("import", str(file), "--json")
    assert again.json == {"lines": 37, "added": 3, "duplicates": 1, "refused": 33, "told": reported}
    for said in (dry, done, again):
        assert "canary" not in said.out + said.err
    assert "canary" not in told.read_text(encoding="utf-8")


async def test_where_nothing_was_refused_it_ends_with_zero(service, command, tmp_path):
    file = tmp_path / "old.csv"
    file.write_text("\n".join([*CUSTOMERS, CUSTOMERS[1]]), encoding="utf-8")
    done = await command("import", str(file))
    assert (done.status, done.out.splitlines()[0]) == (0, "Added 2 of 3; 1 already exist, 0 refused.")


@pytest.mark.parametrize("mapping", [["phone=Phone"], ["email=A", "email=B"], ["email"]], ids=" ".join)
def test_a_mapping_that_cannot_be_is_wrong_usage(mapping):
    """A field that there is not, a field twice, no pair."""
    with pytest.raises(typer.BadParameter, match="--map needs OURS=THEIRS, each of ours once and one of: email, "):
        files.read_names(mapping)


async def test_a_file_of_another_kind_is_wrong_usage(command, tmp_path):
    file = tmp_path / "old.xlsx"
    file.write_bytes(b"PK")
    ended = await command("import", str(file))
    assert (ended.status, ended.out) == (2, "")
    assert "must end in .csv or .jsonl" in ended.err


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
