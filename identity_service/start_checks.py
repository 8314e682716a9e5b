"""What a start looks at first: reasons to refuse it, warnings for the log, and where each setting comes from."""

import os
import re
import sys

from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from identity_service.settings import LOOPBACK, Settings, hosts_of, variable

_FIXED_EMAIL_PACKAGE = {10: 20, 11: 15, 12: 13, 13: 12, 14: 3}
"""By minor version of Python 3: the first micro version whose email package is not open to header injection."""


class StartRefused(Exception):
    """The process may not start with these settings or this database."""

    def __init__(self, reasons: list[str]) -> None:
        """Take the reasons, a sentence each."""
        super().__init__("\n".join(reasons))
        self.reasons = reasons


def refusals(settings: Settings) -> list[str]:
    """Return the reasons against a start in production, a sentence with the variable's name each; none if it may."""
    if settings.development:
        return []
    found: list[str] = []
    if not settings.public_url.startswith("https://"):
        found.append("IDENTITY_PUBLIC_URL must be an https URL: links and tokens are built from it.")
    try:
        settings.key()
    except ValueError as problem:
        found.append(f"IDENTITY_MASTER_KEY {problem}")
    if not settings.relays:
        found.append("IDENTITY_RELAYS must name at least one relay with TLS: no email can be sent without one.")
    if "@" not in settings.mail_from:
        found.append("IDENTITY_MAIL_FROM must be the sender's address: receivers check it with SPF, DKIM and DMARC.")
    if settings.insecure_fast_hashing:
        found.append("IDENTITY_INSECURE_FAST_HASHING is for tests: such hashes do not protect passwords.")
    if settings.database_url is None:
        found.append("DATABASE_URL must be set: the embedded PostgreSQL is for development.")
    for name in ("database_url", "database_owner_url", "database_read_url"):
        secret = getattr(settings, name)
        wrong = None if secret is None else _database_problem(secret.get_secret_value())
        if wrong is not None:
            found.append(f"{name.upper()} {wrong}")
    return found


def warnings(python: tuple[int, int, int] = sys.version_info[:3]) -> list[str]:
    """Return warnings for the start log: a Python whose email package allows header injection (FACT-1)."""
    major, minor, micro = python
    fixed = _FIXED_EMAIL_PACKAGE.get(minor)
    if major == 3 and fixed is not None and micro < fixed:
        better = f"3.{minor}.{fixed}"
        return [f"This Python's email package lets an encoded word inject a header; use Python {better} or later."]
    return []


def _database_problem(text: str) -> str | None:
    """Return what is wrong with a database URL; None if its hosts are local or its certificate is checked."""
    try:
        url = make_url(text)
    except ArgumentError:
        return "is not a URL like postgresql://user:password@host/name."
    if all(host.startswith("/") or host in ("", *LOOPBACK) for host in hosts_of(url)):
        return None
    if url.query.get("sslmode") != "verify-full":
        return "must contain sslmode=verify-full: this database is not on this machine."
    return None


def explained(settings: Settings) -> list[dict[str, str]]:
    """Return every variable with its value (secrets hidden), its source and its description."""
    return [
        {
            "variable": variable(name),
            "value": _shown(getattr(settings, name)),
            "source": _source(variable(name)),
            "reason": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "hidden"
    # URLs that are not SecretStr, such as that of Redis, may contain a password too.
    return "" if value is None else re.sub(r"(?<=://)[^/@\s]*@", "hidden@", str(value))


def _source(name: str) -> str:
    if name in os.environ:
        return "environment"
    return f"file {os.environ[f'{name}_FILE']}" if f"{name}_FILE" in os.environ else "default"
