"""What commands print: rows, JSON, and the reason of a failure."""

import sys
from typing import Annotated, Any, NoReturn

import orjson
import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print one line of name=value pairs per row, or the rows as JSON."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(
            "  ".join(f"{name}={' '.join(value) if isinstance(value, list) else value}" for name, value in row.items())
        )


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print a value as indented JSON."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def fail(sentence: str) -> NoReturn:
    """Print the sentence to standard error, and exit with status 1."""
    print(sentence, file=sys.stderr)
    raise SystemExit(1)
