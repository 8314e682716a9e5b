"""`audit` and `receipt check`: verify that nothing was altered."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from identity_service import clock
from identity_service.account_access import actions as account_access
from identity_service.audit import actions as audit_actions
from identity_service.audit.actions import AuditFinding
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.consents import audit as consent_audit
from identity_service.consents import receipts
from identity_service.consents.receipts import ReceiptResult
from identity_service.keys.signing import PublicKey

receipt_app = typer.Typer(no_args_is_help=True, help="Signed receipts.")


def audit(
    heads: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoints stored outside: a file with one signed statement per line.", exists=True, dir_okay=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute every seal and consent, and name the first row that does not match; exit status 1 if there is one."""
    checkpoints = [] if heads is None else _read(heads).split()
    result, entries, finding = asyncio.run(_audit(checkpoints, quiet=as_json))
    if as_json:
        shown = None if finding is None else finding._asdict()
        output.print_json(
            {
                "events": result.events,
                "checkpoints": result.checkpoints,
                "consents": entries,
                "finding": shown,
                "explained": result.explained,
            }
        )
    elif finding is None:
        print(f"{result.events} events, {result.checkpoints} checkpoints, {entries} consent entries: nothing altered.")
    else:
        print(finding.sentence)
    if not as_json:
        print(*result.explained, sep="\n", end="\n" if result.explained else "")
    raise typer.Exit(0 if finding is None else 1)


async def _audit(checkpoints: list[str], *, quiet: bool) -> tuple[audit_actions.AuditResult, int, AuditFinding | None]:
    bar = Progress(
        TextColumn("events"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), disable=quiet,
        transient=True,
    )  # fmt: skip
    async with connections.open_with_keys(connections.load_settings()) as database:
        with bar:
            task = bar.add_task("events", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            async with database.transaction() as session:
                result = await audit_actions.audit_events(session, kept=checkpoints, progress=progress)
        async with database.transaction() as session:
            entries, finding = await consent_audit.audit_consents(session)
            altered = await account_access.first_altered(session)
            if finding is None and altered is not None:
                finding = AuditFinding(0, f"The account access that event {altered} records was altered.")
    return result, entries, result.finding or finding


@receipt_app.command("check")
def check_receipt(
    file: Annotated[
        Path, typer.Argument(help="The receipt, as it was attached to the email.", exists=True, dir_okay=False)
    ],
    jwks: Annotated[
        str | None, typer.Option(help="Our published keys: a file or URL. Unset: those of this service.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="The expected issuer. Unset: this service.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a receipt; with --jwks and --issuer this needs no service and no database."""
    wanted = issuer or connections.load_settings().issuer
    if jwks is None:
        checked, superseded = asyncio.run(_check_here(_read(file), wanted))
    else:
        checked = receipts.check_receipt(_read(file), _read_keys(jwks), issuer=wanted, now=clock.utc_now())
        superseded = False
    if as_json:
        output.print_json({**checked.claims, "superseded": superseded} if jwks is None else checked.claims)
        return
    print("We issued this receipt, and nothing in it has been changed.", end=" ")
    print(f"User ID {checked.user_id}, {checked.issued_at:%Y-%m-%d}.")
    if "removed" in checked.claims:
        print("  At this time everything personal in this account was erased.")
    for purpose in checked.purposes:
        print(f"  {purpose['description']}: {purpose['permission']} ({purpose['decision']})")
    if superseded:
        print("The customer has answered again since then. A newer receipt replaces this one.")


async def _check_here(text: str, issuer: str) -> tuple[ReceiptResult, bool]:
    """Check a receipt with this service's keys; return the result and whether a newer receipt replaces it."""
    async with connections.open_with_keys(connections.load_settings()) as database:
        keys: dict[str, PublicKey] = database.keys.published()
        checked = receipts.check_receipt(text, keys, issuer=issuer, now=clock.utc_now())
        return checked, await database.in_transaction(lambda session: receipts.is_superseded(session, checked))


def _read(file: Path) -> str:
    """Return the file's text; invalid UTF-8 is replaced, so that the check fails instead of the decoding."""
    return file.read_text(encoding="utf-8", errors="replace")


def _read_keys(where: str) -> dict[str, PublicKey]:
    try:
        if where.startswith(("https://", "http://localhost", "http://127.0.0.1")):
            text = httpx2.get(where, timeout=10, follow_redirects=False).raise_for_status().text
        else:
            text = _read(Path(where))
        keys: list[dict[str, Any]] = json.loads(text)["keys"]
        return {key["kid"]: (ECKey if key["kty"] == "EC" else OKPKey).import_key(key) for key in keys}
    except (OSError, httpx2.HTTPError):
        output.fail(f"The keys cannot be read from {where}.")
    except (ValueError, KeyError, TypeError, JoseError):
        output.fail(f"There are no keys in {where}: it must be a JSON Web Key Set.")
