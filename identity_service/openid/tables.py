"""Stored requests, client sessions, grants with their families of refresh tokens, and logout tokens to deliver."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, PROVING, TablePrivacy
from identity_service.database.types import Base, UtcDateTime


class AuthorizationRequest(Base):
    """A request from first sight to its answer. `browser_hash` is of the cookie that it is bound to; a pushed one
    (RFC 9126) has none until a browser brings its `request_uri`."""

    __tablename__ = "authorization_request"
    privacy = TablePrivacy()
    __table_args__ = (Index("ix_authorization_request_expires_at", "expires_at"),)

    id_hash: Mapped[bytes] = mapped_column(primary_key=True, info=PROVING)
    client_id: Mapped[str] = mapped_column(ForeignKey("openid_client.client_id"), info=IDENTIFIER)
    browser_hash: Mapped[bytes | None] = mapped_column(info=PROVING)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB, info=PERSONAL)
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class ClientSession(Base):
    """A customer's session at one client: `sid` of its ID and logout tokens. It moves when the customer signs in again
    in the same browser, and ends with the browser's session."""

    __tablename__ = "client_session"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        Index("uq_client_session_open", "session_id", "client_id", unique=True,
              postgresql_where=text("ended_at IS NULL")),
    )  # fmt: skip

    sid: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    session_id: Mapped[uuid.UUID] = mapped_column(info=IDENTIFIER)
    client_id: Mapped[str] = mapped_column(ForeignKey("openid_client.client_id"), info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)


class OauthGrant(Base):
    """One answer to a client: its code, and the family of refresh tokens that came of it. Neither is stored: the code
    as SHA-256, a refresh token as its number in the family, from which it is derived (OID-11, 16)."""

    __tablename__ = "oauth_grant"
    privacy = TablePrivacy(owner="user_id", erase="delete")
    __table_args__ = (
        CheckConstraint("generation >= 0", name="generation"),
        CheckConstraint("(ended_at IS NULL) = (ended_why IS NULL)", name="ended"),
        Index("ix_oauth_grant_expires_at", "expires_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    client_id: Mapped[str] = mapped_column(ForeignKey("openid_client.client_id"), index=True, info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    sid: Mapped[uuid.UUID] = mapped_column(index=True, info=IDENTIFIER)
    scope: Mapped[list[str]] = mapped_column(ARRAY(TEXT), info=FACT)
    method: Mapped[str] = mapped_column(info=FACT)
    second_factor: Mapped[str | None] = mapped_column(info=FACT)
    signed_in_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    nonce: Mapped[str | None] = mapped_column(info=FACT)
    redirect_uri: Mapped[str] = mapped_column(info=FACT)
    code_challenge: Mapped[str | None] = mapped_column(info=FACT)
    code_hash: Mapped[bytes] = mapped_column(unique=True, info=PROVING)
    code_expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    code_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    key_id: Mapped[str] = mapped_column(info=FACT)
    generation: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    granted_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    ended_why: Mapped[str | None] = mapped_column(info=FACT)


class GrantedScope(Base):
    """What a customer allowed a client on a page, or an approved change allows a first-party client in silence."""

    __tablename__ = "granted_scope"
    privacy = TablePrivacy(owner="user_id", erase="delete")

    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), primary_key=True, info=IDENTIFIER)
    client_id: Mapped[str] = mapped_column(ForeignKey("openid_client.client_id"), primary_key=True, info=IDENTIFIER)
    scope: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    granted_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)


class LogoutDelivery(Base):
    """A logout token that a client must get (OpenID Connect Back-Channel Logout 1.0); it is signed when it is sent."""

    __tablename__ = "logout_delivery"
    privacy = TablePrivacy(owner="user_id")
    __table_args__ = (Index("ix_logout_delivery_due", "next_attempt_at", postgresql_where=text("done_at IS NULL")),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    client_id: Mapped[str] = mapped_column(ForeignKey("openid_client.client_id"), info=IDENTIFIER)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True, info=IDENTIFIER)
    sid: Mapped[uuid.UUID] = mapped_column(info=IDENTIFIER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime, info=FACT)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"), info=FACT)
    last_answer: Mapped[str | None] = mapped_column(info=FACT)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=FACT)
    outcome: Mapped[str | None] = mapped_column(info=FACT)
