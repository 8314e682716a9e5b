"""Read the brands of an installation: once, at start; a mistake stops the start with the file and the remedy."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from identity_service.brands import logos, rules, words
from identity_service.brands.rules import Brand, Mistakes

_NO_ENTRIES = ("key", "logo", "words")
_FILES = {"brand.toml", "logo.svg", "logo.png", "words"}


class Brands(NamedTuple):
    """Every brand by its key; `default` is always among them. `own_sender` is the one of the settings."""

    by_key: Mapping[str, Brand]
    own_sender: rules.Mail | None = None

    def find(self, key: str | None) -> Brand:
        """Return a brand; the default one for a key that no folder has any more."""
        return self.by_key.get(key or rules.DEFAULT) or self.by_key[rules.DEFAULT]

    def of_host(self, host: str) -> Brand | None:
        """Return the brand whose pages this host serves."""
        return next((brand for brand in self.by_key.values() if brand.host == host), None)


@cache
def read_brands(
    folder: Path | None, name: str, sender: str, bounce_domain: str, dkim_selector: str, time_zone: str
) -> Brands:
    """Return every brand below `folder`, with the default one, whose values come from the settings.

    Raises:
        BrandError: it has every mistake of every brand's files.
    """
    settings: dict[str, Any] = {"name": name, "time_zone": time_zone}
    if sender:
        settings["mail"] = {
            "from_address": sender, "bounce_domain": bounce_domain or None,
            "dkim_selector": dkim_selector or None,
        }  # fmt: skip
    own = Brand.model_construct(**_default_values(settings))
    found = {rules.DEFAULT: own}
    mistakes = Mistakes()
    for path in sorted(folder.iterdir()) if folder is not None else ():
        if path.is_dir() and not path.name.startswith("."):
            found[path.name] = _read_brand(path, settings if path.name == rules.DEFAULT else {}, mistakes)
    mistakes += _two_with_one_host(found.values())
    mistakes.tell(*found.values())
    return Brands(found, own.mail)


def _default_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the default brand, which the settings have checked by their own rules."""
    mail = settings.get("mail")
    made = rules.Mail.model_construct(**mail) if mail else None
    return {**settings, "mail": made, "key": rules.DEFAULT}


def _read_brand(folder: Path, inherited: Mapping[str, Any], mistakes: Mistakes) -> Brand:
    """Return a brand; what is wrong is told in `mistakes`, and then only its words can be relied on."""
    file = folder / "brand.toml"
    strange = sorted(path.name for path in folder.iterdir() if path.name not in _FILES)
    mistakes += [f"{folder / name}: is not read; a brand has {', '.join(sorted(_FILES))}." for name in strange]
    given = _read_values(file, mistakes)
    read: dict[str, Any] = {"key": folder.name, "words": words.read_words(folder / "words", mistakes)}
    images = [path for path in (folder / "logo.svg", folder / "logo.png") if path.is_file()]
    if len(images) > 1:
        mistakes.append(f"{folder}: has two logos; remove one.")
    for image in images:
        with mistakes.collecting():
            read["logo"] = logos.read_logo(image)
    if given is not None:
        try:
            return Brand.model_validate({**inherited, **given, **read})
        except ValidationError as problem:
            mistakes += [f"{file}: {wrong}." for wrong in describe(problem)]
    return Brand.model_construct(**read)


def _read_values(file: Path, mistakes: Mistakes) -> dict[str, Any] | None:
    """Return what `brand.toml` has; None if it cannot be read at all."""
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        mistakes.append(f'{file}: is missing; the folder needs it, at least with name = "…".')
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        mistakes.append(f"{file}: is not TOML ({problem}).")
        return None
    beside = [name for name in _NO_ENTRIES if name in given]
    mistakes += [
        f"{file}: {name} is no entry of this file; it is the folder's name or a file beside it." for name in beside
    ]
    return {name: value for name, value in given.items() if name not in beside}


def describe(problem: ValidationError) -> list[str]:
    """Return what is wrong: each place, and what it needs."""
    return [
        ": ".join(filter(None, [".".join(map(str, one["loc"])), _said(one["type"], one["loc"], one["msg"])]))
        for one in problem.errors(include_url=False)
    ]


def _said(kind: str, place: tuple[int | str, ...], message: str) -> str:
    if kind != "extra_forbidden":
        return message.removeprefix("Value error, ")
    tables: dict[int | str, type[BaseModel]] = {"colors": rules.Colors, "links": rules.Links, "mail": rules.Mail}
    fields = (tables[place[0]] if len(place) > 1 else Brand).model_fields
    names = [field.alias or name for name, field in fields.items() if name not in _NO_ENTRIES]
    return f"is unknown here; known: {', '.join(names)}"


def _two_with_one_host(brands: Iterable[Brand]) -> Iterator[str]:
    """Yield the brands whose host another one has: a reader could not tell whose page it is."""
    hosts: dict[str, str] = {}
    for brand in brands:
        if brand.host is not None and brand.key != hosts.setdefault(brand.host, brand.key):
            yield f"brands/{brand.key}: {hosts[brand.host]} has the host {brand.host} already."


def warnings(brands: Brands) -> list[str]:
    """Return what an operator should look at: names that are read for each other, and brands without a sender."""
    found, seen = [], dict[str, str]()
    for brand in brands.by_key.values():
        names = {rules.skeleton(name) for name in (brand.name, brand.mail and brand.mail.from_name) if name}
        others = {seen.setdefault(name, brand.key) for name in names} - {brand.key}
        found += [
            f"{brand.key}: its name looks like that of {other}; customers may mistake one for the other."
            for other in sorted(others)
        ]
        if brand.legal_name is None or brand.links.imprint is None:
            found.append(f"{brand.key}: has no legal name or no imprint; many countries require both.")
    return found
