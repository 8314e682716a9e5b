"""The tables of the README that the code knows better. `make tables` writes them; a test compares them."""

import re
from collections.abc import Mapping

from pydantic import SecretStr

from identity_service import cli, problems, settings
from identity_service.clients import rules as clients
from identity_service.errors import Problem
from identity_service.events import rules as events
from identity_service.settings import Settings
from tests import asvs, protection
from tests.source import PACKAGE, ROOT

_FIELDS = Settings.model_fields.items()
README = ROOT / "README.md"
LOADED = cli.__name__
"""The command line knows every concept, so every error is known once it is loaded."""


def of_code() -> Mapping[str, list[str]]:
    """Return the rows that belong under each heading."""
    return {
        "Settings": [_row(f"`{settings.variable(n)}`", _default(n), f.description) for n, f in _FIELDS],
        "Scopes": [_row(f"`{name}`", allows) for name, allows in sorted(clients.SCOPES.items())],
        "Events": [_row(f"`{name}`", what) for name, what in events.NAMES.items()],
        "Errors": [_row(f"`{p.code()}`", str(p.status), p.title()) for p in errors()],
        "Proofs": asvs.counts(asvs.rows()),
    }  # fmt: skip


def errors() -> list[type[Problem]]:
    """Return every error that a caller can meet; the roots they stand on are none."""
    return [p for p in problems.every() if p.__module__.startswith(PACKAGE) and p.__module__ != Problem.__module__]


def of_readme(heading: str, text: str) -> list[str]:
    """Return the rows of the table under a heading."""
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("|")][2:]


def renewed(text: str, tables: Mapping[str, list[str]] | None = None) -> str:
    """Return the README, or another page, with the code's rows in place of its own."""
    for heading, rows in (of_code() if tables is None else tables).items():
        table = re.compile(rf"(\n## {heading}\n.*?\n\|-[-|]*\n)(?:\|[^\n]*\n)*", re.DOTALL)
        text = table.sub(lambda found, rows=rows: found[1] + "".join(f"{row}\n" for row in rows), text, count=1)
    return text


def _row(*cells: str | None) -> str:
    return f"| {' | '.join((cell or '').replace('|', chr(92) + '|') for cell in cells)} |"


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    if value is None or value in ("", ()) or isinstance(value, SecretStr):
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    README.write_text(renewed(README.read_text("utf-8")), "utf-8")
    protection.PAGE.write_text(renewed(protection.PAGE.read_text("utf-8"), protection.of_code()), "utf-8")
    asvs.PAGE.write_text(asvs.page(), "utf-8")
