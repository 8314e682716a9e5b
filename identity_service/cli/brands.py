"""`brand check|prove|words|used|preview`: look at the brands before customers do."""

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

import typer

from identity_service import clock, translations
from identity_service.brand_records import flows as brand_records
from identity_service.brand_records import proofs as brand_proofs
from identity_service.brand_records import words as brand_words
from identity_service.brand_records.tables import BrandProof
from identity_service.brands import files, proofs
from identity_service.brands.rules import BrandError
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.dev import previews
from identity_service.messages import words
from identity_service.messages.copy import COPY
from identity_service.settings import Settings

brand_app = typer.Typer(no_args_is_help=True, help="Names, logos, colours, senders and words of pages and emails.")


@brand_app.command("check")
def check_brands(as_json: AsJson = False) -> None:
    """Read every brand, its logo and its words. Exit status 1: they have mistakes, and the service would not start.

    Every mistake of every file is told at once.
    """
    settings = connections.load_settings()
    words.check_brands(settings)
    warnings = files.warnings(settings.brands)
    rows = [
        {
            "brand": brand.key,
            "name": brand.name,
            "host": brand.host,
            "sender": brand.mail and brand.mail.from_address,
            "languages": list(brand.offered),
            "words": {language: words.version(brand, language) for language in brand.words},
        }
        for brand in settings.brands.by_key.values()
    ]
    if as_json:
        output.print_json({"brands": rows, "warnings": warnings})
        return
    output.print_rows(rows, as_json=False)
    for warning in warnings:
        print("warning:", warning)


@brand_app.command("prove")
def prove_brands(
    name: Annotated[str, typer.Argument(help="The brand's folder; without one, all of them.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what DNS must have before a brand's host serves and its sender writes, look it up, and store what was seen.

    Exit status 1: something is not proven. Running processes learn it within 10 s; development needs no proof.
    """
    settings = connections.load_settings()
    words.check_brands(settings)
    if name and name not in settings.brands.by_key:
        raise BrandError(f"There is no brand {name!r}; there are {', '.join(settings.brands.by_key)}.")
    rows = asyncio.run(_prove(settings, name))
    if as_json:
        output.print_json(rows)
    else:
        for row in rows:
            _print_proof(row)
        if settings.development:
            print("Development needs no proof: every host is served, and every sender writes.")
    raise typer.Exit(0 if all(row["state"] == "proven" for row in rows) else 1)


async def _prove(settings: Settings, name: str) -> list[dict[str, Any]]:
    wanted = {
        subject: [brand.key for brand in users]
        for subject, users in proofs.needed(settings.brands).items()
        if not name or name in {brand.key for brand in users}
    }
    async with connections.open_at_head(settings) as database:
        for subject in wanted:
            await brand_records.prove(database, subject, actor=clients.OPERATOR)
        known = await database.in_transaction(brand_proofs.rows)
    now = clock.utc_now()
    return [_proof_row(subject, keys, known[subject], settings, now) for subject, keys in wanted.items()]


def _proof_row(
    subject: proofs.Subject, brands: list[str], row: BrandProof, settings: Settings, now: datetime
) -> dict[str, Any]:
    is_host = subject.what == "host"
    needs = (
        [f"{proofs.record_name(subject.name)} TXT {proofs.record_value(settings.issuer, subject.name)}"]
        if is_host
        else ["SPF, DKIM and DMARC of the sender, each without a warning in `mail doctor`"]
    )
    return {
        **subject._asdict(), "brands": brands, "state": brand_proofs.state_of(row, now), "needs": needs,
        "proven_at": row.proven_at and row.proven_at.isoformat(timespec="seconds"),
        "lost_at": row.lost_at and row.lost_at.isoformat(timespec="seconds"), "seen": row.seen,
    }  # fmt: skip


def _print_proof(row: dict[str, Any]) -> None:
    print(f"{row['state']:<8} {row['what']} {row['name']} of {', '.join(row['brands'])}")
    for part in ("needs", "seen"):
        for line in row[part]:
            print(f"    {part}: {line}")


@brand_app.command("words")
def list_words(
    kind: Annotated[str, typer.Argument(help="The email, like `reset`; without one, all of them.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the sentences that a brand may word itself, in English, with their places in braces."""
    if kind and kind not in COPY:
        raise typer.BadParameter(f"There is no email {kind!r}; there are {', '.join(COPY)}.")
    found = {one: words.wordable(one) for one in ([kind] if kind else COPY)}
    if as_json:
        output.print_json(found)
        return
    for one, sentences in found.items():
        print(f"[{one}]")
        for name, text in sentences.items():
            print(f"{name} = {json.dumps(text, ensure_ascii=False)}")
        print()


@brand_app.command("used")
def list_used_words(
    version: Annotated[str, typer.Argument(help="A version that an attempt names; without one, all of them.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the sentences that brands have worded themselves, also those that their files have no longer.

    Exit status 1: some do not have the hash that their event pinned.
    """
    found = connections.run_in_transaction(lambda session: brand_words.list_pinned(session, version or None))
    rows = [{**one._asdict(), "loaded_at": one.loaded_at.isoformat(timespec="seconds")} for one in found]
    output.print_rows(rows, as_json=as_json)
    raise typer.Exit(0 if all(one.is_intact for one in found) else 1)


@brand_app.command("preview")
def preview_email(
    kind: Annotated[str, typer.Argument(help="The email, like `reset`; another word lists them all.")],
    brand: Annotated[str, typer.Option(help="The brand's folder.")] = "default",
    language: Annotated[str, typer.Option(help="Its language, like de.")] = translations.SOURCE,
    as_json: AsJson = False,
) -> None:
    """Print an email with sample values, as the brand words it; with --json also its HTML."""
    settings = connections.load_settings()
    words.check_brands(settings)
    if kind not in COPY:
        raise typer.BadParameter(f"There is no email {kind!r}; there are {', '.join(COPY)}.")
    if brand not in settings.brands.by_key:
        raise BrandError(f"There is no brand {brand!r}; there are {', '.join(settings.brands.by_key)}.")
    email = previews.sample(kind, language, settings.brands.find(brand))
    if as_json:
        output.print_json({"subject": email.subject, "text": email.text, "html": email.html})
    else:
        print(f"{email.subject}\n\n{email.text}")
