"""`audit` and `receipt check`: prove that nothing was altered."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from identity_service import doors
from identity_service.commands import running
from identity_service.commands.running import AsJson
from identity_service.consents import audit as consent_audit
from identity_service.consents import receipts
from identity_service.consents.receipts import Checked
from identity_service.events import audit as event_audit
from identity_service.events import looks
from identity_service.events.audit import Finding
from identity_service.tokens import PublicKey

receipt_app = typer.Typer(no_args_is_help=True, help="Signed receipts.")


def audit(
    heads: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoints that were kept elsewhere: a file with one statement a line.", exists=True, dir_okay=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Walk every event and consent, recompute every seal, and name the first row that does not hold."""
    kept = [] if heads is None else _read(heads).split()
    walked, entries, finding = asyncio.run(_audit(kept, quiet=as_json))
    if as_json:
        found = None if finding is None else finding._asdict()
        running.print_json(
            {
                "events": walked.events,
                "checkpoints": walked.checkpoints,
                "consents": entries,
                "finding": found,
                "explained": walked.explained,
            }
        )
    elif finding is None:
        print(f"{walked.events} events, {walked.checkpoints} checkpoints, {entries} consent entries: nothing altered.")
    else:
        print(finding.sentence)
    if not as_json:
        print(*walked.explained, sep="\n", end="\n" if walked.explained else "")
    raise typer.Exit(0 if finding is None else 1)


async def _audit(kept: list[str], *, quiet: bool) -> tuple[event_audit.Walked, int, Finding | None]:
    bar = Progress(
        TextColumn("events"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), disable=quiet,
        transient=True,
    )  # fmt: skip
    async with running.with_keys(running.local()) as database:
        with bar:
            task = bar.add_task("events", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            async with database.transaction() as session:
                walked = await event_audit.walk(session, kept=kept, progress=progress)
        async with database.transaction() as session:
            entries, finding = await consent_audit.check(session)
            altered = await looks.first_altered(session)
            if finding is None and altered is not None:
                finding = Finding(0, f"The look at an account that event {altered} tells of was altered.")
    return walked, entries, walked.finding or finding


@receipt_app.command("check")
def check_receipt(
    file: Annotated[
        Path, typer.Argument(help="The receipt, as it was attached to the letter.", exists=True, dir_okay=False)
    ],
    jwks: Annotated[
        str | None, typer.Option(help="Our published keys: a file, or their URL. Unset: those of this service.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="Whose receipt it should be. Unset: this service's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a receipt; with --jwks and --issuer it needs no service and no database."""
    wanted = issuer or running.local().issuer
    if jwks is None:
        checked, superseded = asyncio.run(_check_here(_read(file), wanted))
    else:
        checked = receipts.check(_read(file), _read_keys(jwks), issuer=wanted, now=doors.utc_now())
        superseded = False
    if as_json:
        running.print_json({**checked.claims, "superseded": superseded} if jwks is None else checked.claims)
        return
    print(
        f"This receipt is ours, and nothing in it was changed. User ID {checked.user_id}, {checked.issued_at:%Y-%m-%d}."
    )
    for purpose in checked.purposes:
        print(f"  {purpose['description']}: {purpose['permission']} ({purpose['decision']})")
    if superseded:
        print("The customer has spoken again since: a newer receipt stands in its place.")


async def _check_here(text: str, issuer: str) -> tuple[Checked, bool]:
    """Check a receipt with this service's keys, and tell whether it is superseded."""
    async with running.with_keys(running.local()) as database:
        keys: dict[str, PublicKey] = database.info["keyring"].published()
        checked = receipts.check(text, keys, issuer=issuer, now=doors.utc_now())
        return checked, await database.short(lambda session: receipts.is_superseded(session, checked))


def _read(file: Path) -> str:
    """Return what a file says; what is no text becomes a receipt or a checkpoint that does not hold."""
    return file.read_text(encoding="utf-8", errors="replace")


def _read_keys(where: str) -> dict[str, PublicKey]:
    try:
        if where.startswith(("https://", "http://localhost", "http://127.0.0.1")):
            text = httpx.get(where, timeout=10, follow_redirects=False).raise_for_status().text
        else:
            text = _read(Path(where))
        keys: list[dict[str, Any]] = json.loads(text)["keys"]
        return {key["kid"]: (ECKey if key["kty"] == "EC" else OKPKey).import_key(key) for key in keys}
    except (OSError, httpx.HTTPError):
        running.fail(f"The keys cannot be read from {where}.")
    except (ValueError, KeyError, TypeError, JoseError):
        running.fail(f"There are no keys in {where}: it should be a JSON Web Key Set.")
