"""JSON objects that can be read in one way only, and their values as text. Pure.

Refused are a key that is named twice, NaN and Infinity, and numbers out of range: parsers disagree about them.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from identity_service.imports.fields import CannotImport

_BOOLEANS: Final = frozenset({"email_verified"})
_NUMBERS: Final = frozenset({"reference", "customer_since", "consent_at", "email_verified_at"})
_OBJECTS: Final = frozenset({"password_hash"})
_TYPES: Final = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


def parse_json(text: str) -> Any:  # noqa: ANN401
    """Return the value of a JSON text.

    Raises:
        CannotImport: it is no JSON, or could be read in more than one way.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float, parse_int=_integer
        )
    except (ValueError, RecursionError):
        raise CannotImport("This is not valid JSON.") from None


def read_texts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of our fields as text; null is an empty text.

    Raises:
        CannotImport: a value has a type that its field does not have.
    """
    return {name: _text(name, value) for name, value in given.items()}


def _text(name: str, value: Any) -> str:  # noqa: ANN401
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        if name in _BOOLEANS:
            return "true" if value else "false"
    elif isinstance(value, int | float):
        if name in _NUMBERS and (name != "reference" or isinstance(value, int)):
            return repr(value) if isinstance(value, int) else f"{value:.6f}".rstrip("0").rstrip(".")
    elif name in _OBJECTS and isinstance(value, dict):
        return json.dumps(value)
    raise CannotImport(f"{name[:40]}: is {_TYPES[type(value)]}, and must be text.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise CannotImport(f"This object has the key {name[:40]!r} twice; remove one of them.")
        found[name] = value
    return found


def _refuse_constant(name: str) -> None:
    raise CannotImport(f"{name} is not a number in JSON; write null or a number.")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise CannotImport("A number in this object is out of range.")
    return number


def _integer(text: str) -> int:
    if len(text) > 200:
        raise CannotImport("A number in this object is out of range.")
    return int(text)
