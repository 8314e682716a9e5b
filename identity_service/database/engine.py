"""Engines and connection arguments: timeouts, TLS, and disconnecting from a server that became a standby."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from identity_service.settings import LOOPBACK, Settings, hosts_of


def create_engine(url: str, *, size: int = 5, **options: Any) -> AsyncEngine:  # noqa: ANN401
    """Return an engine whose connections have statement, lock and idle timeouts, so that none blocks the others."""
    target, arguments = connection_arguments(url)
    made = create_async_engine(
        target,
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        hide_parameters=True,  # parameters are personal data and must not appear in a log line or traceback
        connect_args=arguments,
        **options,
    )
    event.listen(made.sync_engine, "handle_error", _disconnect_from_standby)
    return made


def url_of(settings: Settings, secret: str) -> str:
    """Return the URL in the setting named `secret`, "" if it is not set."""
    value = getattr(settings, secret)
    return value.get_secret_value() if value is not None else ""


def _disconnect_from_standby(context: ExceptionContext) -> None:
    """Reconnect after a write was refused as read-only: this server is no longer the primary (REL-07)."""
    if getattr(context.original_exception, "sqlstate", None) == "25006":
        context.is_disconnect = True


def connection_arguments(url: str) -> tuple[URL, dict[str, Any]]:
    """Return the URL for SQLAlchemy and the arguments for asyncpg: timeouts, and TLS unless every host is loopback."""
    target = make_url(url).set(drivername="postgresql+asyncpg")
    arguments: dict[str, Any] = {
        "timeout": 5,
        "server_settings": {
            "application_name": "identity-service",
            "statement_timeout": "15000",
            "lock_timeout": "5000",
            "idle_in_transaction_session_timeout": "30000",
        },
    }
    if "sslmode" in target.query:
        arguments["ssl"] = target.query["sslmode"]
        target = target.difference_update_query(["sslmode"])
    elif all(host in LOOPBACK for host in hosts_of(target)):
        arguments["ssl"] = False
    return target, arguments


def asyncpg_arguments(url: str) -> dict[str, Any]:
    """Return the same for asyncpg without SQLAlchemy."""
    target, arguments = connection_arguments(url)
    _, found = postgresql.asyncpg.dialect().create_connect_args(target)  # type: ignore[no-untyped-call]
    return {**found, **arguments}
