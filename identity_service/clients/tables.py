"""Sources and their clients, how clients sign customers in, secrets, used assertions and revoked tokens."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.clients import rules
from identity_service.database.privacy import FACT, IDENTIFIER, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of


class Source(Base):
    """The name under which a service's external references and history are kept; it outlives every client of it.

    Rows of references and history hold the name without a foreign key, whose check would lock this one row for every
    entry that the service writes.
    """

    __tablename__ = "source"
    privacy = TablePrivacy()
    __table_args__ = (CheckConstraint("name ~ '^[a-z][a-z0-9_]{0,39}$'", name="name"),)

    name: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class Client(Base):
    """A service that acts for customers it has signed in, or a desk tool that acts for staff.

    Its public keys are registered, or fetched from `jwks_uri` and kept for an hour (OID-40).
    """

    __tablename__ = "client"
    privacy = TablePrivacy()
    __table_args__ = (
        CheckConstraint("id LIKE 'cli\\_%'", name="id"),
        CheckConstraint("jwks_uri ~ '^(https://|http://127\\.0\\.0\\.1)'", name="jwks_uri"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    name: Mapped[str] = mapped_column(info=FACT)
    source: Mapped[str] = mapped_column(ForeignKey("source.name"), index=True, info=IDENTIFIER)
    desk: Mapped[bool] = mapped_column(server_default=text("false"), info=FACT)
    brand: Mapped[str | None] = mapped_column(info=FACT)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(TEXT), info=FACT)
    jwks: Mapped[dict[str, Any] | None] = mapped_column(JSONB, info=FACT)
    jwks_uri: Mapped[str | None] = mapped_column(info=FACT)
    jwks_tried_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    jwks_fetched_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class OpenidClient(Base):
    """How a client signs customers in. `public` and `native` ones have no secret; `scopes` is what it may ask for."""

    __tablename__ = "openid_client"
    privacy = TablePrivacy()
    __table_args__ = (
        CheckConstraint(one_of("kind", rules.KINDS), name="kind"),
        CheckConstraint(one_of("id_token_alg", rules.ID_TOKEN_ALGORITHMS), name="id_token_alg"),
        CheckConstraint(one_of("response_mode", rules.RESPONSE_MODES), name="response_mode"),
        CheckConstraint("needs_pkce OR kind = 'confidential'", name="pkce"),
        CheckConstraint("backchannel_logout_uri ~ '^(https://|http://127\\.0\\.0\\.1)'", name="logout_uri"),
    )

    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"), primary_key=True, info=IDENTIFIER)
    kind: Mapped[str] = mapped_column(info=FACT)
    first_party: Mapped[bool] = mapped_column(server_default=text("false"), info=FACT)
    id_token_alg: Mapped[str] = mapped_column(server_default=text("'ES256'"), info=FACT)
    response_mode: Mapped[str] = mapped_column(server_default=text("'query'"), info=FACT)
    needs_pkce: Mapped[bool] = mapped_column(server_default=text("true"), info=FACT)
    needs_par: Mapped[bool] = mapped_column(server_default=text("false"), info=FACT)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(TEXT), info=FACT)
    backchannel_logout_uri: Mapped[str | None] = mapped_column(info=FACT)


class RedirectUri(Base):
    """A registered URI: `redirect` after a sign-in, `logout` after signing out. Compared as a string (OID-01)."""

    __tablename__ = "redirect_uri"
    privacy = TablePrivacy()
    __table_args__ = (
        CheckConstraint(one_of("use", ("redirect", "logout")), name="use"),
        CheckConstraint(
            "uri ~ '^(https://|http://(127\\.0\\.0\\.1|\\[::1\\])|[a-z][a-z0-9+-]*(\\.[a-z0-9+-]+)+:/)' "
            "AND uri !~ '[[:space:][:cntrl:]#*\\\\]'",
            name="uri",
        ),
    )

    client_id: Mapped[str] = mapped_column(ForeignKey("openid_client.client_id"), primary_key=True, info=IDENTIFIER)
    use: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    uri: Mapped[str] = mapped_column(primary_key=True, info=FACT)


class ResourceServer(Base):
    """An API of another service that takes our access tokens; the client `client_id` introspects them (RFC 8707)."""

    __tablename__ = "resource_server"
    privacy = TablePrivacy()

    audience: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    name: Mapped[str] = mapped_column(info=FACT)
    client_id: Mapped[str | None] = mapped_column(ForeignKey("client.id"), info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class ResourceScope(Base):
    """A scope of an API, and what it allows in the operator's words."""

    __tablename__ = "resource_scope"
    privacy = TablePrivacy()

    scope: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    audience: Mapped[str] = mapped_column(ForeignKey("resource_server.audience"), index=True, info=IDENTIFIER)
    description: Mapped[str] = mapped_column(info=FACT)


class ClientSecret(Base):
    """SHA-256 of a random secret of 256 bits; it cannot be guessed, so no slow hash is needed (OAU-08)."""

    __tablename__ = "client_secret"
    privacy = TablePrivacy()

    secret_hash: Mapped[bytes] = mapped_column(primary_key=True, info=PROVING)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"), index=True, info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class UsedAssertion(Base):
    """The `jti` of a used client assertion, kept until the assertion expires (OAU-19)."""

    __tablename__ = "used_assertion"
    privacy = TablePrivacy()

    client_id: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    jti: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)


class RevokedToken(Base):
    """The `jti` of a revoked access token, kept until the token expires."""

    __tablename__ = "revoked_token"
    privacy = TablePrivacy()

    jti: Mapped[str] = mapped_column(primary_key=True, info=IDENTIFIER)
    client_id: Mapped[str] = mapped_column(info=IDENTIFIER)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=FACT)
