"""`mail doctor|send-test`."""

import asyncio
from typing import Annotated

import typer

from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.keys import ring
from identity_service.messages import doctor, rendering, send_test
from identity_service.messages.sender_records import MailFinding
from identity_service.values import email_addresses

mail_app = typer.Typer(no_args_is_help=True, help="Check mail delivery.")


@mail_app.command("doctor")
def examine_mail(as_json: AsJson = False) -> None:
    """Check relays, sender DNS and the bounce address. Exit status 1: no relay accepts mail."""

    async def examine() -> list[MailFinding]:
        found = []
        async with connections.open_with_keys(connections.load_settings()) as database:
            key: ring.KeyRing = database.keys
            async for finding in doctor.examine_mail(database.settings, key.internal()):
                found.append(finding)
                if not as_json:
                    print(f"{finding.verdict:<8} {finding.what:<26} {finding.detail}", flush=True)
        return found

    findings = asyncio.run(examine())
    if as_json:
        output.print_json([finding._asdict() for finding in findings])
    raise typer.Exit(0 if doctor.will_flow(findings) else 1)


@mail_app.command("send-test")
def send_test_message(
    address: str,
    brand: Annotated[str | None, typer.Option(help="The brand that sends it; default: `default`.")] = None,
    language: Annotated[str, typer.Option(help="Its language, like de.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Send a test message through the outbox, and print the SMTP transcript."""

    async def send() -> list[str]:
        lines = []
        async with connections.open_with_keys(connections.load_settings()) as database:
            client_rules.check_brand(brand, database.settings.brands.by_key)
            to = email_addresses.parse_pasted(address, special_use=database.settings.development)
            async for line in send_test.send_test_message(
                database, rendering.load_builders(), to, brand=brand, locale=language, client=clients.OPERATOR
            ):
                lines.append(line)
                if not as_json:
                    print(line, flush=True)
        return lines

    lines = asyncio.run(send())
    accepted = send_test.was_accepted(lines[-1])
    if as_json:
        output.print_json({"taken": accepted, "said": lines})
    raise typer.Exit(0 if accepted else 1)
