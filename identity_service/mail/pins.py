"""The letters' texts, pinned: what leaves is word for word what was reviewed (NOM-01).

`templates/mail/pinned.sha256` names every template with a hash over its source and over its words in every language,
and every text that customers are asked to agree to. A letter whose template has another hash is not made, and a test
fails; both name the command that renews the file, so that a changed letter shows in the change itself.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from jinja2 import Environment
from jinja2.ext import extract_from_ast

from identity_service import languages

HERE: Final = Path(__file__).parent.parent
FOLDERS: Final = ("templates/mail", "wordings")
FILE: Final = HERE / "templates" / "mail" / "pinned.sha256"
RENEW: Final = "make letters"


class LetterNotPinned(Exception):
    """A letter's text is not the pinned one."""

    def __init__(self, name: str) -> None:
        """Take the file that differs."""
        super().__init__(f"{name} differs from its pinned hash; where that is meant, `{RENEW}` pins it anew.")


def check(template: str) -> None:
    """Refuse a letter's template, named like `mail/welcome.txt`, that is not the pinned one.

    Raises:
        LetterNotPinned
    """
    name = f"templates/{template}"
    if pinned().get(name) != _hash((HERE / name).read_text(encoding="utf-8")):
        raise LetterNotPinned(name)


def current() -> dict[str, str]:
    """Return the hash of every letter and wording as it stands in the files now, by name."""
    paths = [path for folder in FOLDERS for path in sorted((HERE / folder).iterdir()) if path != FILE]
    return {path.relative_to(HERE).as_posix(): _hash(path.read_text(encoding="utf-8")) for path in paths}


@cache
def pinned() -> Mapping[str, str]:
    """Return the pinned hashes, by name."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return {name: hashed for hashed, _, name in (line.partition("  ") for line in lines)}


def shown(hashes: Mapping[str, str]) -> str:
    """Return hashes as the file has them, in the form of `sha256sum`."""
    return "".join(f"{hashed}  {name}\n" for name, hashed in sorted(hashes.items()))


@lru_cache(maxsize=256)
def _hash(source: str) -> str:
    """Return SHA-256 over a text and, for a template, what it says in each language."""
    parsed = Environment(autoescape=True).parse(source)
    said = [message for _, _, message in extract_from_ast(parsed, ("_", "ngettext"))]
    words = {
        path.stem: [_translated(path.stem, message) for message in said]
        for path in sorted(languages.LOCALES.glob("*.po"))
    }
    return hashlib.sha256(json.dumps([source, words if said else {}], ensure_ascii=False).encode()).hexdigest()


def _translated(locale: str, message: str | tuple[str | None, ...] | None) -> list[str]:
    catalogue = languages.catalogue(locale)
    if isinstance(message, tuple):
        return [catalogue.ngettext(str(message[0]), str(message[1]), number) for number in (1, 2)]
    return [catalogue.gettext(str(message))]
