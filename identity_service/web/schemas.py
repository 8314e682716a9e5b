"""Base classes of request and response models, and the types of their fields."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from identity_service.values import text

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def values_of(values: Iterable[str]) -> Any:  # noqa: ANN401
    """Return the `Field` of a text in an answer that is one of `values`; the contract lists them."""
    return Field(json_schema_extra={"enum": [str(value) for value in values]})


class RequestModel(BaseModel):
    """A request body: types are exact, unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ResponseModel(BaseModel):
    """A response body; every field is always present."""

    model_config = ConfigDict(frozen=True)


def _read_line(value: object) -> object:
    # What is far too long is left to the check of the length.
    return text.read_line(value) if isinstance(value, str) and len(value) <= 4 * text.LONGEST else value


def _check_single_line(value: str) -> str:
    fault = text.find_line_fault(value)
    if fault is not None:
        raise ValueError(fault)
    return value


SingleLineText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=text.LONGEST),
    BeforeValidator(_read_line),
    AfterValidator(_check_single_line),
]
"""One printable line of at most 200 characters, as NFC; blanks and invisible signs at its ends do not count."""


def _check_lines(value: str) -> str:
    fault = text.find_text_fault(value)
    if fault is not None:
        raise ValueError(fault)
    return value


MultiLineText = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_check_lines)]
"""Printable lines, at most 2,000 characters together."""


def _check_rfc3339(value: object) -> object:
    # pydantic also accepts a number, and a date without a time; the OpenAPI document promises neither.
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("is not a date-time with a time zone, like 2026-03-01T12:00:00Z (RFC 3339)")
    return value


def _to_utc(value: datetime) -> datetime:
    # Near both ends of its range, Python's datetime overflows when the zone changes.
    if not 1000 <= value.year <= 9998:
        raise ValueError("is not between the years 1000 and 9998")
    return value.astimezone(UTC)


Timestamp = Annotated[datetime, Field(strict=False), BeforeValidator(_check_rfc3339), AfterValidator(_to_utc)]
"""An RFC 3339 date-time with its time zone, converted to UTC."""
