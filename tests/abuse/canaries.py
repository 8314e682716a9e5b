"""Secrets in every shape that they could stand somewhere in, and the places where nothing of them may stand."""

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from tests.conftest import Service

_SPOKEN = re.compile(r"\d{3} ?\d{3}")
_FRAGMENT = re.compile(r"https://\S+?#(\S+)")
_TYPED = re.compile(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", re.M)
_READ_BACK = re.compile(r"\b\d{3} \d{3}\b")


def shapes(secret: str) -> set[str]:
    """A secret as it is and without dashes, in hex, base64, a URL and JSON; and the bytes that it spells, in hex."""
    found = set()
    for text in {secret, re.sub("[- ]", "", secret)}:
        raw = text.encode()
        found |= {
            text, raw.hex(), quote(text, safe=""), json.dumps(text)[1:-1],
            base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="),
        }  # fmt: skip
    with contextlib.suppress(binascii.Error, ValueError):
        found.add(base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True).hex())
    return {shape.lower() for shape in found if len(shape) >= 8}


def stands_in(secret: str, text: str) -> bool:
    """Tell whether a text holds a secret in any shape; a code of six digits counts where it stands by itself."""
    if _SPOKEN.fullmatch(secret):
        return re.search(rf"(?<![\w.]){secret[:3]} ?{secret[-3:]}(?!\w)", text) is not None
    return any(shape in text.lower() for shape in shapes(secret))


def found_in(secrets: Mapping[str, str], text: str) -> set[str]:
    """Return the names of the secrets that a text holds."""
    return {name for name, secret in secrets.items() if stands_in(secret, text)}


def in_letters(letters: Iterable[dict]) -> dict[str, str]:
    """Return every secret of every letter: of links what follows the handle, codes to type, codes to read back."""
    found = {}
    for number, letter in enumerate(letters):
        text = letter["text"]
        links = [fragment.rpartition(".")[2] for fragment in _FRAGMENT.findall(text)]
        for kind, secrets in (("link", links), ("code", _TYPED.findall(text)), ("spoken", _READ_BACK.findall(text))):
            found |= {f"{kind} {n} of letter {number}: {letter['subject']}": one for n, one in enumerate(secrets)}
    return found


class Overheard:
    """The application, and everything that it answered: status, headers and body as one text."""

    def __init__(self, app) -> None:
        self.app, self.answers = app, []

    def __getattr__(self, name: str):
        return getattr(self.app, name)

    async def __call__(self, scope, receive, send) -> None:
        said: list[str] = []
        status = 0

        async def listen(message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said.append(" ".join(f"{k.decode()}: {v.decode('latin-1')}" for k, v in message["headers"]))
            elif message["type"] == "http.response.body":
                said.append(message.get("body", b"").decode("utf-8", "replace"))
            await send(message)

        await self.app(scope, receive, listen)
        self.answers.append((status, f"{scope['method']} {scope['path']}", "\n".join(said)))

    def refusals(self) -> list[tuple[str, str]]:
        """Return what was asked and what was said, where it was refused or failed."""
        return [(f"{status} {asked}", said) for status, asked, said in self.answers if status >= 400]


async def columns(service: Service) -> dict[str, str]:
    """Return everything that stands in each column of each table, as text; bytes as hex."""
    rows = await service.rows(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN pg_tables t "
        "ON t.tablename = c.table_name AND t.schemaname = c.table_schema WHERE c.table_schema = 'public' ORDER BY 1, 2"
    )
    return {
        f"{table}.{column}": "\n".join(
            value for (value,) in await service.rows(f'SELECT "{column}"::text FROM "{table}"') if value is not None
        )
        for table, column in rows
    }
