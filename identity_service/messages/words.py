"""Check the sentences that a brand words itself, and put them in the place of ours (BRD-08, BRD-09).

A sentence replaces one sentence: the parts of an email, and what they show, stay. Its places are those of ours, so no
value that the reader needs can be left out, and nothing is a template: braces have no other meaning. Pure.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from identity_service.brands.rules import Brand, BrandError, Mistakes
from identity_service.messages.copy import COPY
from identity_service.messages.parts import PLACE
from identity_service.settings import Settings
from identity_service.values import names
from identity_service.values.text import is_line

LONGEST: Final = 600
_NOT_WORDS: Final = re.compile(r"[<>{}\\`]")
_LEADS_AWAY: Final = re.compile(
    r"https?:|://|\bwww\b|mailto:|tel:|@|(?<=\w)\.(?=[^\W\d_]{2})|\b\d+(?:\.\d+){3}\b", re.IGNORECASE
)
"""What mail programs make a link of, a dot between words as well."""
_PROMOTES: Final = re.compile(
    r"discount|offer|voucher|bargain|sales?\b|newsletter|coupon|promo|%\s*off|angebot|rabatt|gutschein|schnäppchen|"
    r"sonderpreis|aktion\b|\boffre\b|soldes|r[ée]duction|oferta|rebajas|descuento|desconto|sconto|saldi\b|aanbieding|"
    r"korting|rabat\b|zniżk|wyprzeda|خصم|تخفيض",
    re.IGNORECASE,
)
_KEPT: Final = frozenset({"safety", "promise", "not_you", "phrase"})
"""The promise and the warnings, which are ours in every email: a reader must be able to rely on them."""


def check_brands(settings: Settings) -> None:
    """Refuse brands whose files have a mistake, or whose words, relays or host cannot be used.

    Raises:
        BrandError: it has every mistake; each sentence names the file and what to change.
    """
    folder, mistakes = settings.brands_dir or Path("brands"), Mistakes()
    try:
        brands = tuple(settings.brands.by_key.values())
    except BrandError as problem:
        mistakes += problem.mistakes
        brands = problem.readable
    for brand in brands:
        mistakes += _wrong_here(brand, folder / brand.key / "brand.toml", settings)
        with mistakes.collecting():
            check_words(brand, folder)
    mistakes.tell()


def _wrong_here(brand: Brand, file: Path, settings: Settings) -> Iterator[str]:
    """Yield what a brand has that does not fit the settings."""
    known = {relay.name for relay in settings.relays}
    for missing in sorted(set(brand.mail.relays if brand.mail else ()) - known):
        yield f"{file}: mail.relays: IDENTITY_RELAYS has no {missing!r}."
    if brand.host is not None and brand.host == urlsplit(settings.public_url).hostname:
        yield (
            f"{file}: host: {brand.host} is that of IDENTITY_PUBLIC_URL, where every brand's customers sign in; "
            "name a host of the brand's own, or none."
        )


def wordable(kind: str) -> dict[str, str]:
    """Return the sentences of an email that a brand may word itself, by name, as they are in English."""
    ours = {"subject": COPY[kind].subject, **{part.name: part.text for part in COPY[kind].parts}}
    return {name: text for name, text in ours.items() if name not in _KEPT}


def check_words(brand: Brand, folder: Path) -> None:
    """Refuse sentences that leave out, hide or add something; `folder` has the brand's own.

    Raises:
        BrandError: it has every sentence that is refused.
    """
    mistakes = Mistakes()
    for language, kinds in brand.words.items():
        for kind, sentences in kinds.items():
            where = f"{folder / brand.key / 'words' / language}.toml [{kind}]"
            if kind not in COPY:
                mistakes.append(f"{where}: there is no such email; there are {', '.join(COPY)}.")
                continue
            ours = wordable(kind)
            for name, text in sentences.items():
                with mistakes.collecting():
                    _check_sentence(f"{where} {name}", name, text, ours)
    mistakes.tell()


def _check_sentence(where: str, name: str, text: str, ours: Mapping[str, str]) -> None:
    if name not in ours:
        raise BrandError(f"{where}: cannot be worded; this email has {', '.join(ours)}.")
    rest = names.as_seen(PLACE.sub("x", text))
    if not is_line(text, longest=LONGEST) or _NOT_WORDS.search(rest):
        raise BrandError(
            f"{where}: must be one line of plain text, at most {LONGEST} characters, without HTML and braces."
        )
    leads = _LEADS_AWAY.search(rest)
    if leads is not None:
        raise BrandError(f"{where}: may have no link or address, and needs a blank behind a full stop: {leads[0]!r}.")
    if _PROMOTES.search(rest):
        raise BrandError(f"{where}: promotes something; an email about an account never does.")
    fault = _fault_of_places(PLACE.findall(text), list(dict.fromkeys(PLACE.findall(ours[name]))))
    if fault is not None:
        raise BrandError(f"{where}: {fault}.")


def _fault_of_places(given: list[str], known: list[str]) -> str | None:
    """Return which place is wrong, and what to do: each of ours must be there once, and no other."""
    names = ", ".join(f"{{{place}}}" for place in known)
    strange = next((place for place in given if place not in known), None)
    if strange is not None:
        return f"{{{strange}}} is unknown here; known: {names}" if known else f"may have no place; remove {{{strange}}}"
    twice = next((place for place in known if given.count(place) > 1), None)
    missing = next((place for place in known if place not in given), None)
    if twice is not None:
        return f"has {{{twice}}} more than once; leave one"
    return None if missing is None else f"lacks {{{missing}}}; it must be there once"


def own_sentence(brand: Brand, language: str, kind: str, name: str) -> str | None:
    """Return the brand's own sentence, or None: then ours stands."""
    found = brand.words.get(language, {}).get(kind, {}).get(name)
    return None if found is None else str(found)


def version(brand: Brand, language: str) -> str | None:
    """Return the version of a brand's sentences in a language: the start of their SHA-256; None if it has none."""
    own = brand.words.get(language)
    return None if not own else hash_of(own)[:16]


def hash_of(sentences: Mapping[str, Any]) -> str:
    """Return SHA-256 of sentences, by name or by email and name, as hexadecimal digits: of their JSON, sorted."""
    return hashlib.sha256(orjson.dumps(sentences, option=orjson.OPT_SORT_KEYS)).hexdigest()
