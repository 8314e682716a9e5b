"""OWASP ASVS 5.0.0, requirement by requirement: what a test proves, what is open, what is somebody else's.

`asvs.toml` holds what no test can say: our words for each requirement, which ids of ours cover it, what is written down
where, what is the operator's, and what does not apply, with the reason. *Proven* comes from ids in the docstrings of
tests and from nowhere else, and where no skip is allowed each of those tests must have passed (`tests/ran.py`).
`make tables` writes `docs/asvs.md` (META-2).
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/asvs.md"
STATES = ("proven", "written down", "open", "the operator's", "not applicable")
CHAPTERS = (
    "Encoding", "Validation and business logic", "Web front end", "API", "Files", "Authentication", "Sessions",
    "Authorisation", "Self-contained tokens", "OAuth and OIDC", "Cryptography", "Secure communication",
    "Configuration", "Data protection", "Architecture and dependencies", "Logging and errors", "WebRTC",
)  # fmt: skip

_OURS = re.compile(r"\b([A-Z]{3,4})-(\d{1,2})(?:(?:…| … | to )(?:\1-)?(\d{1,2}))?\b")
_LIST = re.compile(r"\bASVS ((?:\d+\.\d+\.\d+(?:,\s+|\s+and\s+)?)+)")
_NUMBER = re.compile(r"\d+\.\d+\.\d+")
_NO_IDS = {"UTF", "SHA"}


HEAD = """\
# ASVS 5.0.0, requirement by requirement

Written by `make tables` from the ids in the docstrings of the tests and from `tests/asvs.toml`. The numbers are those
of the OWASP Application Security Verification Standard 5.0.0 (CC BY-SA 4.0); the words are ours, and shorter: what a
requirement demands stands there. *Proven*: a test names the number, or there is one for each id of ours that covers it,
and it has run. *Written down*: it asks for a document, and this is the place. *Open*: nothing proves it yet. The rest
is the operator's, or does not apply, with the reason."""


class Row(NamedTuple):
    """A requirement, its state, and what says so."""

    number: str
    level: int
    words: str
    state: str
    why: str


@cache
def facts() -> dict[str, Any]:
    """Return what is written down by hand."""
    return tomllib.loads((ROOT / "tests/asvs.toml").read_text("utf-8"))


def ids(docstring: str) -> Iterator[str]:
    """Yield the ids that a docstring names: ours, also as a range (REL-01…06), and ASVS' numbers."""
    for prefix, first, last in _OURS.findall(docstring):
        if prefix not in _NO_IDS:
            width = max(len(first), 1)
            yield from (f"{prefix}-{number:0{width}}" for number in range(int(first), int(last or first) + 1))
    for numbers in _LIST.findall(docstring):
        yield from _NUMBER.findall(numbers)


def claims(tests: Path) -> dict[str, set[str]]:
    """Return which ids each test names, by its node id; a test that is always skipped names none."""
    found = {}
    for path in sorted(tests.rglob("test_*.py")):
        for function in ast.parse(path.read_text("utf-8")).body:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test"):
                marks = {ast.unparse(decorator).split("(")[0] for decorator in function.decorator_list}
                if named := set(ids(ast.get_docstring(function) or "")):
                    name = f"{path.relative_to(tests.parent)}::{function.name}"
                    found[name] = set() if marks & {"pytest.mark.skip", "pytest.mark.xfail"} else named
    return found


@cache
def proofs() -> dict[str, tuple[str, ...]]:
    """Return the tests of each id."""
    found: dict[str, list[str]] = {}
    for test, named in claims(ROOT / "tests").items():
        for name in named:
            found.setdefault(name, []).append(test)
    return {name: tuple(tests) for name, tests in found.items()}


def unknown(named: Mapping[str, Any]) -> set[str]:
    """Return the ids that neither ASVS nor we have."""
    ours = {f"{prefix}-{number}" for prefix, spans in facts()["ours"].items() for number in _numbers(prefix, spans)}
    return set(named) - ours - set(facts()["requirement"])


def _numbers(prefix: str, spans: int | str) -> list[str]:
    """Return the numbers of a prefix: up to the last one, or those of spans like "1-8 20-30"."""
    parts = [one.partition("-") for one in (f"1-{spans}" if isinstance(spans, int) else spans).split()]
    found = [number for first, _, last in parts for number in range(int(first), int(last or first) + 1)]
    return [str(number) if prefix in ("FACT", "META") else f"{number:02}" for number in found]


def rows(proven: Mapping[str, tuple[str, ...]] | None = None) -> list[Row]:
    """Return every requirement with its state."""
    proven = proofs() if proven is None else proven
    return [Row(n, level, words, *_state(n, proven)) for n, (level, words) in facts()["requirement"].items()]


def _state(number: str, proven: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    given = facts()
    cover = given["covered"].get(number, "").split()
    if number in proven or (cover and all(name in proven for name in cover)):
        named = [f"`{name}`" for name in cover if name in proven]
        return STATES[0], ", ".join([*named, *_files(proven.get(number, ()))])
    for state, table in zip(STATES[1:2] + STATES[3:], ("written", "operator", "not_applicable"), strict=True):
        if number in given[table]:
            why = given[table][number]
            return state, f"[{why}](../{why})" if table == "written" else why
    lacking = ", ".join(f"`{name}`" for name in cover if name not in proven)
    return STATES[2], given["open"].get(number) or (f"no test names {lacking}" if lacking else "no test names it")


def _files(tests: tuple[str, ...]) -> list[str]:
    return [f"`{path}`" for path in sorted({test.split("::")[0].removeprefix("tests/") for test in tests})]


def counts(found: list[Row]) -> list[str]:
    """Return the rows of the table of counts."""

    def count(state: str, *levels: int) -> int:
        return sum(row.state == state and row.level in levels for row in found)

    return [
        f"| {state} | {' | '.join(str(count(state, level)) for level in (1, 2, 3))} | {count(state, 1, 2, 3)} |"
        for state in STATES
    ]  # fmt: skip


def decisive(proven: Mapping[str, tuple[str, ...]] | None = None) -> Iterator[tuple[int, str, dict[str, list[str]]]]:
    """Yield the 25: number, words, and the files with the tests of each of its ids."""
    proven = proofs() if proven is None else proven
    for number, entry in enumerate(facts()["decide"], 1):
        yield number, entry["words"], {name: _files(proven.get(name, ())) for name in ids(entry["ids"])}


def page() -> str:
    """Return `docs/asvs.md`."""
    found = rows()
    lines = [
        *HEAD.splitlines(), "",
        "| state | level 1 | level 2 | level 3 | all |", "|-|-|-|-|-|", *counts(found), "",
        "## The 25 that decide", "",
        "Each of these ids has a test, or the build is red.", "",
        "| number | what | proven by |", "|-|-|-|",
    ]  # fmt: skip
    for number, words, by in decisive():
        lines.append(f"| {number} | {words} | {'; '.join(f'`{name}` {_short(files)}' for name, files in by.items())} |")
    for chapter, title in enumerate(CHAPTERS, 1):
        mine = [row for row in found if row.number.split(".")[0] == str(chapter)]
        lines += ["", f"## {chapter}. {title}", "", "| number | level | what | state | by, or why |", "|-|-|-|-|-|"]
        lines += [f"| {row.number} | {row.level} | {row.words} | {row.state} | {row.why} |" for row in mine]
    lines += ["", "## Ids of our own", "", "| id | tests |", "|-|-|"]
    for prefix, spans in facts()["ours"].items():
        for name in (f"{prefix}-{number}" for number in _numbers(prefix, spans)):
            lines.append(f"| {name} | {', '.join(_files(proofs().get(name, ()))) or '–'} |")
    return "\n".join(lines) + "\n"


def _short(files: list[str]) -> str:
    return ", ".join(files) or "**nothing**"
