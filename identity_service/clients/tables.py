"""Clients, their secrets, and what has been used up or taken back."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import Base, UtcDateTime


class Client(Base):
    """A service that acts for customers it has signed in, or a desk tool that acts for staff."""

    __tablename__ = "client"
    __table_args__ = (CheckConstraint("id LIKE 'cli\\_%'", name="id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    desk: Mapped[bool] = mapped_column(server_default=text("false"))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    jwks: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ClientSecret(Base):
    """SHA-256 of a random secret of 256 bits; nothing slower is needed for what cannot be guessed (OAU-08)."""

    __tablename__ = "client_secret"

    secret_hash: Mapped[bytes] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class UsedAssertion(Base):
    """The `jti` of a client assertion, until it would have expired anyway (OAU-19)."""

    __tablename__ = "used_assertion"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    jti: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class RevokedToken(Base):
    """The `jti` of an access token that was taken back, until it would have expired anyway."""

    __tablename__ = "revoked_token"

    jti: Mapped[str] = mapped_column(primary_key=True)
    client_id: Mapped[str]
    until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
