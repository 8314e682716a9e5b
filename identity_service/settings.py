"""Every setting, with its reason. Environment variables only; a secret may also come from a file named by `…_FILE`.

The defaults are those of production, and a production start that lacks something is refused by name (`refusals`).
`identity-service run` is the one command that says `development`.
"""

import base64
import binascii
import os
import re
import sys
from datetime import date
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SAMPLES = ("changeme", "secret", "password", "example", "master", "identity")
_FIXED_EMAIL_PACKAGE = {10: 20, 11: 15, 12: 13, 13: 12, 14: 3}


class Relay(BaseModel):
    """An SMTP server we hand mail to. `none` sends in clear, to loopback only; nothing is opportunistic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: Literal["implicit", "starttls", "none"]
    username: str | None = None
    password: SecretStr | None = None
    connections: Annotated[int, Field(ge=1, le=64)] = 8
    ca_file: Path | None = None
    headers: dict[Annotated[str, Field(pattern=r"^X-[A-Za-z0-9-]{1,60}$")], Annotated[str, Field(max_length=200)]] = {}
    """Headers this relay wants to see; `{id}` is the message's id (SES: X-SES-MESSAGE-TAGS: msg={id})."""

    @model_validator(mode="after")
    def _clear_text_stays_here(self) -> Self:
        if self.tls == "none" and self.host not in LOOPBACK:
            raise ValueError(f"relay {self.name}: tls may be none only for a relay on loopback")
        if (self.username is None) != (self.password is None):
            raise ValueError(f"relay {self.name}: username and password go together")
        return self


class Settings(BaseSettings):
    """The service's settings, read once at start."""

    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["production", "development"] = Field(
        "production",
        description="development allows http, reserved domains, /dev pages and a key kept in the data folder",
    )
    database_url: SecretStr | None = Field(
        None, validation_alias="DATABASE_URL", description="the application's role; unset: the embedded PostgreSQL"
    )
    database_owner_url: SecretStr | None = Field(
        None, validation_alias="DATABASE_OWNER_URL", description="the role that migrates; only `migrate` uses it"
    )
    database_read_url: SecretStr | None = Field(
        None, validation_alias="DATABASE_READ_URL", description="a replica for verify and the feed; unset: DATABASE_URL"
    )
    database_connections: int = Field(16, ge=2, le=200, description="connections for writing, per process")
    read_connections: int = Field(
        8, ge=1, le=200, description="connections for verify, per process; as many again for the feed, to a replica"
    )
    data_dir: Path = Field(Path(".data"), description="embedded database, development key and client")
    master_key: SecretStr | None = Field(
        None, description="32 bytes in base64url; wraps the key ring and does nothing else"
    )
    public_url: str = Field(
        "", description="what links, issuer and audience are built from, never the request (https://id.example.com)"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="further Host names that are answered, for calls from inside"
    )
    host: str = Field("127.0.0.1", description="the address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="the public port")
    inner_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="the port of /docs, /openapi.json and /metrics; unset: not served in production",
    )
    trusted_proxies: int = Field(
        0, ge=0, le=8, description="how many proxies stand before us; X-Forwarded-For is counted from the right"
    )
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for people")
    relays: tuple[Relay, ...] = Field((), description="SMTP relays in order of preference, as JSON")
    mail_from: str = Field("", description="the sender of every letter; its own subdomain is best")
    mail_from_name: str = Field("Customer Identity", description="the sender's name, and who signs the letters")
    bounce_domain: str = Field("", description="domain of the signed return address; unset: the sender's")
    hook_secret: SecretStr | None = Field(
        None,
        description="what unsigned hooks must bring, as X-Hook-Secret or as password; unset: they are closed",
    )
    ses_topic: str = Field("", description="the SNS topic whose SES events are believed; unset: the hook is closed")
    dkim_selector: str = Field("", description="the relay's DKIM selector, for `mail doctor` to look up")
    bounce_host: str = Field("127.0.0.1", description="where `bounces` listens for returned mail")
    bounce_port: int = Field(2526, ge=0, le=65535, description="the port of `bounces`")
    mail_notify: bool = Field(
        True, description="wake workers by NOTIFY; false behind a transaction pooler, where polling does it (0.5 s)"
    )
    password_minimum: int = Field(
        15, ge=8, le=64, description="characters a password needs at least (NIST SP 800-63B-4: 15 for a single factor)"
    )
    cheap_passwords: bool = Field(False, description="hash passwords at no cost; for tests, in development alone")
    breached_passwords_url: str = Field(
        "", description="a k-anonymity range service (…/range/) that new passwords are looked up in; unset: none"
    )
    reset_link_minutes: int = Field(30, ge=5, le=120, description="how long a reset link works, from hand-over")
    reset_code_minutes: int = Field(10, ge=5, le=60, description="how long the code in a reset letter works")
    sign_in_by_mail: bool = Field(
        True, description="customers may sign in by a mailed code, which is below AAL1 (NIST SP 800-63B-4, 3.1.3.1)"
    )
    session_hours: int = Field(12, ge=1, le=24, description="how long a customer stays signed in")
    consent_purposes: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")], ...] = Field(
        (), description="further purposes that customers may be asked for, beside email, phone and post"
    )
    business_orders: int = Field(10, ge=1, description="orders from which a consumer looks like a business")
    business_amount: int = Field(
        5000, ge=1, description="amount (orders less refunds, of one currency) from which a consumer looks like one"
    )
    desks: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")], ...] = Field(
        ("consumer", "business", "technical"), description="the desks between which contacts are handed over"
    )
    security_contact: str = Field(
        "",
        pattern=r"^((mailto:|https://)[!-~]+)?$",
        description="who is told of a weakness, as mailto: or https: URL; with the next one, security.txt is served",
    )
    security_expires: date | None = Field(
        None, description="the day until which security_contact surely holds, less than a year ahead (RFC 9116)"
    )
    throttle_store: str = Field(
        "database", description="database, or a URL that the limits library knows (async+redis://…)"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the environment, and files that it names; a `.env` file would be a third place to look."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, _Files(settings_cls)

    @field_validator("public_url")
    @classmethod
    def _no_trailing_slash(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (
            parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query
        ):
            raise ValueError("must be a scheme and a host, like https://id.example.com")
        return url.rstrip("/")

    @field_validator("breached_passwords_url")
    @classmethod
    def _over_tls(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
            raise ValueError("must be an https URL: what is asked there tells of passwords")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _relay_names_differ(self) -> Self:
        names = [relay.name for relay in self.relays]
        if len(names) != len(set(names)):
            raise ValueError("two relays have the same name")
        return self

    @property
    def development(self) -> bool:
        """Tell whether this is somebody's own machine."""
        return self.environment == "development"

    @property
    def issuer(self) -> str:
        """Return the `iss` of everything we sign (RFC 8414: exactly this URL)."""
        return self.public_url

    @property
    def audience(self) -> str:
        """Return the `aud` of access tokens for this API."""
        return f"{self.public_url}/v1"

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Return the Host names (without port) that are answered."""
        own = {urlsplit(self.public_url).hostname or "", *self.allowed_hosts}
        return frozenset(own | set(LOOPBACK) if self.development else own)

    @property
    def sender_domain(self) -> str:
        """Return the domain of the sender, which also names our messages."""
        return self.mail_from.rpartition("@")[2]

    def key(self) -> bytes:
        """Return the 32 bytes of the master key; ValueError says what is wrong with it."""
        return read_master_key(self.master_key.get_secret_value() if self.master_key else "")


class _Files(EnvSettingsSource):
    """The value of `X` as the content of the file that `X_FILE` names, so that no secret stands in the environment."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self.env_vars = {
            name.lower(): _content(name)
            for name in map(variable, Settings.model_fields)
            if f"{name}_FILE" in os.environ and name not in os.environ
        }


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    field = Settings.model_fields.get(name)
    return str(field.validation_alias or f"IDENTITY_{name.upper()}") if field else name


def _content(name: str) -> str:
    path = os.environ[f"{name}_FILE"]
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8"
        raise SettingsError(f"{name}_FILE names {path}, which cannot be read: {reason}") from problem


def read() -> Settings:
    """Read the environment, and the files it names.

    Raises:
        SettingsError: a file cannot be read, or a value is not the JSON it must be.
        ValidationError: a value is out of range or of the wrong kind.
    """
    try:
        return Settings()
    except SettingsError as problem:
        field = re.search(r'for field "(\w+)"', str(problem))
        if field is None:
            raise
        raise SettingsError(f"{variable(field[1])} is not the JSON it must be.") from problem


def refusals(settings: Settings) -> list[str]:
    """Return why this may not start in production: each a sentence with the variable's name. Empty: it may."""
    if settings.development:
        return []
    found: list[str] = []
    if not settings.public_url.startswith("https://"):
        found.append("IDENTITY_PUBLIC_URL must be an https URL: links and tokens are built from it alone.")
    try:
        settings.key()
    except ValueError as problem:
        found.append(f"IDENTITY_MASTER_KEY {problem}")
    if not settings.relays:
        found.append("IDENTITY_RELAYS must name at least one relay with TLS: without one no letter leaves.")
    if "@" not in settings.mail_from:
        found.append("IDENTITY_MAIL_FROM must be the sender's address: receivers check it with SPF, DKIM and DMARC.")
    if settings.cheap_passwords:
        found.append("IDENTITY_CHEAP_PASSWORDS is for tests: passwords would stand there as good as open.")
    if settings.database_url is None:
        found.append("DATABASE_URL must be set: the embedded PostgreSQL is for development.")
    for name in ("database_url", "database_owner_url", "database_read_url"):
        secret = getattr(settings, name)
        wrong = None if secret is None else _database_problem(secret.get_secret_value())
        if wrong is not None:
            found.append(f"{name.upper()} {wrong}")
    return found


def warnings(python: tuple[int, int, int] = sys.version_info[:3]) -> list[str]:
    """Return what is not refused but should be known at start (FACT-1)."""
    major, minor, micro = python
    fixed = _FIXED_EMAIL_PACKAGE.get(minor)
    if major == 3 and fixed is not None and micro < fixed:
        better = f"3.{minor}.{fixed}"
        return [f"This Python's email package lets an encoded word inject a header; {better} does not."]
    return []


def read_master_key(text: str) -> bytes:
    """Return the 32 bytes that `text` spells in base64url, or raise ValueError with half a sentence."""
    if not text:
        raise ValueError("must be set: 32 random bytes in base64url.")
    if any(sample in text.lower() for sample in _SAMPLES):
        raise ValueError("is a sample value: anybody could open the key ring.")
    try:
        # Strictly: what is lenient drops every symbol it does not know, and reads a key that nobody wrote.
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64url.") from None
    if len(key) != 32:
        raise ValueError(f"must be 32 bytes; this has {len(key)}.")
    if len(set(key)) < 8 or key in key[1:] + key[:-1] or len({(b - a) % 256 for a, b in pairwise(key)}) == 1:
        raise ValueError("repeats itself: it must be random.")
    return key


def _database_problem(text: str) -> str | None:
    """Return what is wrong with a database's URL; None where it is on this machine, or its certificate is checked."""
    try:
        url = make_url(text)
    except ArgumentError:
        return "is not a URL like postgresql://user:password@host/name."
    if all(host.startswith("/") or host in ("", *LOOPBACK) for host in hosts_of(url)):
        return None
    if url.query.get("sslmode") != "verify-full":
        return "must say sslmode=verify-full: this database is not on this machine."
    return None


def hosts_of(url: URL) -> list[str]:
    """Return every host of a database's URL: `?host=` wins over the one before the path, and may name several."""
    given = url.query.get("host") or url.host or ""
    several = [given] if isinstance(given, str) else given
    return [
        host.rpartition(":")[0] or host if host.count(":") == 1 else host
        for names in several
        for host in names.split(",")
    ]


def explained(settings: Settings) -> list[dict[str, str]]:
    """Return every variable with its value (secrets hidden), where it comes from, and its reason."""
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
    # A URL of another kind of server may carry its password too.
    return "" if value is None else re.sub(r"(?<=://)[^/@\s]*@", "hidden@", str(value))


def _source(name: str) -> str:
    if name in os.environ:
        return "environment"
    return f"file {os.environ[f'{name}_FILE']}" if f"{name}_FILE" in os.environ else "default"
