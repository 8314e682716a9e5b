"""Every setting, with its reason. Environment variables only; any value may also come from a file named by `…_FILE`.

The defaults are those of production; production does not start without a required one (`start_checks`).
Only `identity-service run` sets `environment` to `development`.
"""

import base64
import binascii
import os
import re
from datetime import date
from decimal import Decimal
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from sqlalchemy.engine import URL

from identity_service.brands import files as brand_files
from identity_service.brands.rules import TimeZone
from identity_service.carriers import Carrier
from identity_service.values import phone_numbers

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SAMPLES = ("changeme", "secret", "password", "example", "master", "identity")

STANDARD_PURPOSES: Final = ("email", "phone", "post")
"""The purposes that every installation has; `consent_purposes` adds others."""


class Relay(BaseModel):
    """An SMTP server that we hand email to. `tls: none` is allowed on loopback only; TLS is never opportunistic."""

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
    """Headers added for this relay; `{id}` becomes the message's id (SES: X-SES-MESSAGE-TAGS: msg={id})."""

    @model_validator(mode="after")
    def _clear_text_on_loopback_only(self) -> Self:
        if self.tls == "none" and self.host not in LOOPBACK:
            raise ValueError(f"relay {self.name}: tls may be none only for a relay on loopback")
        if (self.username is None) != (self.password is None):
            raise ValueError(f"relay {self.name}: set both username and password, or neither")
        return self


class Settings(BaseSettings):
    """The service's settings, read once at start."""

    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["production", "development"] = Field(
        "production",
        description="development allows http, reserved domains, /dev pages and a key kept in the data folder",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="URL with the application's role; unset: the embedded PostgreSQL",
    )
    database_owner_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_OWNER_URL",
        description="URL with the role that owns the tables; only `migrate` uses it",
    )
    database_read_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_READ_URL",
        description="URL of a replica for verify and the feed; unset: DATABASE_URL",
    )
    database_pool_size: int = Field(16, ge=2, le=200, description="database connections per process")
    read_pool_size: int = Field(
        8, ge=1, le=200, description="connections for verify per process, and as many to the replica for the feed"
    )
    data_dir: Path = Field(Path(".data"), description="embedded database, development key and client")
    master_key: SecretStr | None = Field(
        None, description="32 bytes in base64url; encrypts the key ring and is used for nothing else"
    )
    public_url: str = Field(
        "", description="base of links, issuer and audience; the Host header is never used (https://id.example.com)"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="further Host names that are answered, for calls from the internal network"
    )
    outbound_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="private networks to which logout tokens may go, for applications beside us"
    )
    host: str = Field("127.0.0.1", description="the address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="the public port")
    internal_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="the port of /docs, /openapi.json and /metrics; unset: not served in production",
    )
    trusted_proxy_count: int = Field(
        0,
        ge=0,
        le=8,
        description="number of proxies in front; the client is that many from the right of X-Forwarded-For",
    )
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for people")
    relays: tuple[Relay, ...] = Field((), description="SMTP relays in order of preference, as JSON")
    mail_from: str = Field("", description="the sender address of every email; best on a subdomain of its own")
    mail_from_name: str = Field(
        "Customer Identity", description="the company's name: sender and signature of emails, and the name on pages"
    )
    brands_dir: Path | None = Field(
        None, description="folder of brands: names, logos, colours, senders, words; unset: one, with the names of here"
    )
    time_zone: TimeZone = Field("UTC", description="the zone in which pages and emails give times (Europe/Berlin)")
    text_prices: dict[str, Annotated[Decimal, Field(gt=0, le=100)]] = Field(
        {}, description='countries to which texts go, with the price of one as the carrier charges it ({"DE": 0.08})'
    )
    text_day_budget: Decimal = Field(
        Decimal(0), ge=0, le=100_000, description="what texts of 24 hours may cost, in the currency of the prices"
    )
    carriers: tuple[Carrier, ...] = Field(
        (), description="carriers of text messages in order of preference, as JSON; unset: no text is ever sent"
    )
    bounce_domain: str = Field("", description="domain of the signed return addresses (VERP); unset: the sender's")
    webhook_secret: SecretStr | None = Field(
        None, description="what unsigned webhooks must send: X-Webhook-Secret, password or bearer token; unset: refused"
    )
    webhook_keys: dict[str, SecretStr] = Field(
        {},
        description="what webhooks are checked with, as JSON by provider: its signing key or own secret",
    )
    ses_sns_topic_arn: str = Field("", description="the SNS topic whose SES events are accepted; unset: none")
    dkim_selector: str = Field("", description="the relay's DKIM selector, for `mail doctor` to look up")
    bounce_host: str = Field("127.0.0.1", description="the address that `bounce-server` listens on for returned mail")
    bounce_port: int = Field(2526, ge=0, le=65535, description="the port of `bounce-server`")
    outbox_listen: bool = Field(
        True, description="wake workers by NOTIFY; false behind a transaction pooler, where they poll (0.5 s)"
    )
    password_minimum: int = Field(
        15,
        ge=8,
        le=64,
        description="minimum length of a password in characters (NIST SP 800-63B-4: 15 for a single factor)",
    )
    insecure_fast_hashing: bool = Field(
        False, description="hash passwords with minimal cost; for tests, in development only"
    )
    breached_passwords_url: str = Field(
        "", description="k-anonymity range service (…/range/) that new passwords are checked with; unset: none"
    )
    reset_link_minutes: int = Field(
        30, ge=5, le=120, description="lifetime of a reset link, from its hand-over to the relay"
    )
    reset_code_minutes: int = Field(10, ge=5, le=60, description="lifetime of the code in a reset email")
    sign_in_by_mail: bool = Field(
        True, description="customers may sign in by an emailed code, which is below AAL1 (NIST SP 800-63B-4, 3.1.3.1)"
    )
    second_factor_required: Literal["none", "customers"] = Field(
        "none", description="who must set up a second factor before anything else; customers: everybody who signs in"
    )
    leads_need_passkey: bool = Field(
        False, description="leads sign in at the console with a passkey; without one they can only add it"
    )
    session_hours: int = Field(12, ge=1, le=24, description="lifetime of a customer's session")
    consent_purposes: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$")], ...] = Field(
        (), description="further purposes of consent, besides email, phone and post"
    )
    business_hint_orders: int = Field(
        10, ge=1, description="orders from which clerks get the hint that a consumer may be a business"
    )
    business_hint_amount: int = Field(
        5000, ge=1, description="amount (orders less refunds, one currency) from which clerks get the business hint"
    )
    desks: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")], ...] = Field(
        ("consumer", "business", "technical"), description="the desks between which contacts are handed over"
    )
    security_contact: str = Field(
        "",
        pattern=r"^((mailto:|https://)[!-~]+)?$",
        description="where to report a vulnerability (mailto: or https:); security.txt needs this and the expiry",
    )
    security_contact_expires: date | None = Field(
        None, description="expiry date of security.txt, less than a year ahead (RFC 9116)"
    )
    rate_limit_storage_url: str = Field(
        "database", description="database, or a storage URL of the limits library (async+redis://…)"
    )
    otlp_endpoint: str = Field(
        "",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=r"^(https?://[!-~]+)?$",
        description="OTLP/HTTP collector that receives traces (http://127.0.0.1:4318); unset: no traces",
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
        """Read the environment and the files it names; no `.env` file, so there is one source to check."""
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
            raise ValueError("must be an https URL: the requests contain parts of password hashes")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _relay_names_differ(self) -> Self:
        names = [relay.name for relay in self.relays]
        if len(names) != len(set(names)):
            raise ValueError("two relays have the same name")
        return self

    @field_validator("text_prices")
    @classmethod
    def _are_countries(cls, prices: dict[str, Decimal]) -> dict[str, Decimal]:
        unknown = sorted(code for code in prices if not phone_numbers.is_region(code))
        if unknown:
            raise ValueError(f"names no country: {unknown[0]}")
        return prices

    @field_validator("carriers")
    @classmethod
    def _are_bounded(cls, carriers: tuple[Carrier, ...], known: ValidationInfo) -> tuple[Carrier, ...]:
        """Refuse a carrier without countries and a day's budget: nobody could stop what strangers spend (TXT-01)."""
        names: list[str] = [one.name for one in (*known.data.get("relays", ()), *carriers)]
        if carriers and len(names) != len(set(names)):
            raise ValueError("two carriers, or a carrier and a relay, have the same name")
        if carriers and not (known.data.get("text_prices") and known.data.get("text_day_budget")):
            raise ValueError("needs IDENTITY_TEXT_PRICES (countries) and IDENTITY_TEXT_DAY_BUDGET")
        return carriers

    @property
    def text_regions(self) -> frozenset[str]:
        """Return the countries to which texts go; none without a carrier."""
        return frozenset(self.text_prices) if self.carriers else frozenset()

    @property
    def purposes(self) -> tuple[str, ...]:
        """Return every purpose that customers may be asked for."""
        return (*STANDARD_PURPOSES, *self.consent_purposes)

    @property
    def development(self) -> bool:
        """Return whether this is a development machine."""
        return self.environment == "development"

    @property
    def issuer(self) -> str:
        """Return the `iss` of everything we sign: exactly the public URL (RFC 8414)."""
        return self.public_url

    @property
    def audience(self) -> str:
        """Return the `aud` of access tokens for this API."""
        return f"{self.public_url}/v1"

    @cached_property
    def brands(self) -> brand_files.Brands:
        """Return every brand, read at first use.

        Raises:
            BrandError: a brand's file has a mistake.
        """
        return brand_files.read_brands(
            self.brands_dir,
            self.mail_from_name,
            self.mail_from,
            self.bounce_domain,
            self.dkim_selector,
            self.time_zone,
        )

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Return the Host names (without port) that are answered."""
        own = {urlsplit(self.public_url).hostname or "", *self.allowed_hosts}
        own |= {brand.host for brand in self.brands.by_key.values() if brand.host is not None}
        return frozenset(own | set(LOOPBACK) if self.development else own)

    @property
    def sender_domain(self) -> str:
        """Return the domain of the sender, which is also used in Message-IDs."""
        return self.mail_from.rpartition("@")[2]

    def key(self) -> bytes:
        """Return the 32 bytes of the master key; ValueError if they are missing or unsuitable."""
        return read_master_key(self.master_key.get_secret_value() if self.master_key else "")


class _Files(EnvSettingsSource):
    """Reads the value of `X` from the file that `X_FILE` names, so that no secret is in the environment."""

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
    """Read the environment and the files it names.

    Raises:
        SettingsError: a file cannot be read, or a value is not valid JSON.
        ValidationError: a value is out of range or of the wrong kind.
    """
    try:
        return Settings()
    except SettingsError as problem:
        field = re.search(r'for field "(\w+)"', str(problem))
        if field is None:
            raise
        raise SettingsError(f"{variable(field[1])} is not valid JSON.") from problem


def read_master_key(text: str) -> bytes:
    """Return the 32 bytes of base64url `text`; ValueError completes the sentence "IDENTITY_MASTER_KEY …"."""
    if not text:
        raise ValueError("must be set: 32 random bytes in base64url.")
    if any(sample in text.lower() for sample in _SAMPLES):
        raise ValueError("is a sample value: anybody could open the key ring.")
    try:
        # Without `validate`, unknown characters are dropped, and a mistyped key is read as a different one.
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64url.") from None
    if len(key) != 32:
        raise ValueError(f"must be 32 bytes; this has {len(key)}.")
    if len(set(key)) < 8 or key in key[1:] + key[:-1] or len({(b - a) % 256 for a, b in pairwise(key)}) == 1:
        raise ValueError("repeats itself: it must be random.")
    return key


def hosts_of(url: URL) -> list[str]:
    """Return every host of a database URL; `?host=` takes precedence over the host part, and may name several."""
    value = url.query.get("host") or url.host or ""
    values = [value] if isinstance(value, str) else value
    return [
        host.rpartition(":")[0] or host if host.count(":") == 1 else host
        for names in values
        for host in names.split(",")
    ]
