"""The tables of `docs/reference/` that are generated from the code. `make tables` writes them; a test compares them."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from identity_service import app, settings
from identity_service.cli import main
from identity_service.errors import Problem
from identity_service.events import rules as events
from identity_service.events.data import DATA
from identity_service.settings import Settings
from identity_service.web import problems
from identity_service.web import scopes as clients
from tests import asvs, protection
from tests.source import PACKAGE, ROOT

_FIELDS = Settings.model_fields.items()
REFERENCE = ROOT / "docs/reference"
LOADED = [main.Deferred(name).load() for name in main.COMMANDS]
"""The command line knows every concept, so every error is known once all of its commands are loaded."""


def of_code() -> Mapping[str, list[str]]:
    """Return the rows of each page."""
    return {
        "Settings": [_row(f"`{settings.variable(n)}`", _default(n), f.description) for n, f in _FIELDS],
        "Scopes": [_row(f"`{name}`", allows) for name, allows in sorted(clients.SCOPES.items())],
        "Events": [_row(f"`{name}`", what, _members(name)) for name, what in events.NAMES.items()],
        "Errors": [_row(f"`{p.code()}`", str(p.status), p.title()) for p in errors()],
    }  # fmt: skip


def errors() -> list[type[Problem]]:
    """Return every error that a caller can meet; the roots they stand on are none."""
    assert app.ROUTERS, "what is not imported has no errors"
    return [
        p for p in problems.all_problems() if p.__module__.startswith(PACKAGE) and p.__module__ != Problem.__module__
    ]


def page(heading: str) -> Path:
    """Return the page of a table."""
    return REFERENCE / f"{heading.lower()}.md"


def rows_under(heading: str, text: str) -> list[str]:
    """Return the rows of the table under a heading."""
    part = re.split(rf"(?m)^##? {heading}$", text, maxsplit=1)[1].partition("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("|")][2:]


def renewed(text: str, tables: Mapping[str, list[str]]) -> str:
    """Return a page with the code's rows in place of its own."""
    for heading, rows in tables.items():
        table = re.compile(rf"(^##? {heading}\n.*?\n\|-[-|]*\n)(?:\|[^\n]*\n)*", re.DOTALL | re.MULTILINE)
        text = table.sub(lambda found, rows=rows: found[1] + "".join(f"{row}\n" for row in rows), text, count=1)
    return text


def _row(*cells: str | None) -> str:
    return f"| {' | '.join((cell or '').replace('|', chr(92) + '|') for cell in cells)} |"


def _members(name: str) -> str:
    fields = DATA[name].model_fields.items()
    hidden = " (with `audit:read`)" if name in events.AUDIT_ONLY else ""
    return (", ".join(f"`{field.alias or member}`" for member, field in fields) or "–") + hidden


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    if value is None or value in ("", ()) or isinstance(value, SecretStr):
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    for heading, rows in of_code().items():
        page(heading).write_text(renewed(page(heading).read_text("utf-8"), {heading: rows}), "utf-8")
    protection.PAGE.write_text(renewed(protection.PAGE.read_text("utf-8"), protection.of_code()), "utf-8")
    asvs.PAGE.write_text(asvs.page(), "utf-8")
