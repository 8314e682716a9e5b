"""What `identity-service run` decides where no variable does; its data folder keeps it for every other command."""

import os
import secrets
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from identity_service.database.engine import url_of
from identity_service.keys import encoding
from identity_service.settings import Relay, Settings


def plain_defaults(settings: Settings) -> dict[str, str]:
    """Return the development defaults that are no secret and need no file, of the settings that are not set."""
    defaults = {
        "environment": "development",
        "public_url": f"http://localhost:{settings.port}",
        "log_format": "console",
        "mail_from": "service@identity.example",
    }
    return {name: value for name, value in defaults.items() if name not in settings.model_fields_set}


def with_dev_defaults(settings: Settings) -> Settings:
    """Return the settings with development defaults for what production must set itself; create the data folder."""
    data = settings.data_dir.resolve()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    defaults: dict[str, Callable[[], Any]] = {
        "master_key": lambda: SecretStr(
            stored_secret(data / "master.key", lambda: encoding.base64url_encode(secrets.token_bytes(32)))
        ),
        "relays": lambda: _mailbox_relay(data),
        "outbound_networks": lambda: (ip_network("127.0.0.0/8"),),
    }
    missing = {name: make() for name, make in defaults.items() if name not in settings.model_fields_set}
    port = _stored_port(data, "public") if "port" not in settings.model_fields_set else None
    if port is not None:
        settings = settings.model_copy(update={"port": port})
    return settings.model_copy(update={**plain_defaults(settings), **missing, "data_dir": data})


def keep_ports(data_dir: Path, **ports: int) -> None:
    """Keep the ports of `run`, so that commands of other shells use the same addresses."""
    for name, port in ports.items():
        (data_dir / f"{name}.port").write_text(str(port), encoding="utf-8")


def _stored_port(data_dir: Path, name: str) -> int | None:
    """Return a port of the service as it last ran here, None if it never did."""
    path = data_dir / f"{name}.port"
    return int(path.read_text(encoding="utf-8")) if path.exists() else None


def _mailbox_relay(data_dir: Path) -> tuple[Relay, ...]:
    """Return the mailbox of the running service, so that commands send to the same one; none if it never ran."""
    port = _stored_port(data_dir, "mailbox")
    return () if port is None else (Relay(name="mailbox", host="127.0.0.1", port=port, tls="none"),)


def stored_secret(path: Path, make: Callable[[], str]) -> str:
    """Return what the file holds; made once, and readable by its owner alone."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make())
    return path.read_text(encoding="utf-8").strip()


async def application_url(settings: Settings) -> str:
    """Return the application's database URL: DATABASE_URL, or that of the embedded server, which is started."""
    if settings.database_url is not None:
        return url_of(settings, "database_url")
    from identity_service.dev import postgres  # noqa: PLC0415 (never in production: the extra is not installed)

    return (await postgres.start(settings.data_dir)).application
