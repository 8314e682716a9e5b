"""`mail doctor|send-test|find|suppressions|lift`."""

import asyncio
import uuid
from typing import Annotated

import typer

from identity_service import clock
from identity_service.accounts import ownership
from identity_service.cli import connections, output
from identity_service.cli.output import AsJson
from identity_service.clients import actions as clients
from identity_service.clients import rules as client_rules
from identity_service.database.transactions import DatabaseSession
from identity_service.dev import previews
from identity_service.keys import ring
from identity_service.messages import actions as messages
from identity_service.messages import descriptions, doctor, rendering, send_test, suppressions
from identity_service.messages.copy import COPY
from identity_service.messages.sender_records import MailFinding
from identity_service.values import email_addresses, user_ids

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
    address: Annotated[str, typer.Argument(help="Where to send it: an address of your own.")],
    kind: Annotated[str, typer.Option(help="The email to send, with sample values, like `reset`.")] = "test",
    brand: Annotated[str | None, typer.Option(help="The brand that sends it; default: `default`.")] = None,
    language: Annotated[str, typer.Option(help="Its language, like de.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Send a test message through the outbox, and print the SMTP transcript."""
    if kind not in COPY:
        raise typer.BadParameter(f"There is no email {kind!r}; there are {', '.join(COPY)}.")

    async def send() -> list[str]:
        lines = []
        async with connections.open_with_keys(connections.load_settings()) as database:
            client_rules.check_brand(brand, database.settings.brands.by_key)
            to = email_addresses.parse_pasted(address, special_use=database.settings.development)
            worn = database.settings.brands.find(brand)
            facts = {"words": kind, **previews.sample_facts(kind, language, worn)} if kind != "test" else None
            async for line in send_test.send_test_message(
                database,
                rendering.load_builders(),
                to,
                brand=brand,
                locale=language,
                facts=facts,
                client=clients.OPERATOR,
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


@mail_app.command("find")
def find_messages(
    who: Annotated[str, typer.Argument(help="An email address, or a User ID.")],
    limit: Annotated[int, typer.Option(help="The most messages, newest first.", min=1, max=200)] = 10,
    as_json: AsJson = False,
) -> None:
    """Find the newest messages of a person, and say where each is."""
    special_use = connections.load_settings().development

    async def find(session: DatabaseSession) -> list[dict[str, object]]:
        if "@" in who:
            address = email_addresses.parse_pasted(who, special_use=special_use)
            recipient = session.keys.address_hash(address.key)
            found = await messages.list_messages(session, recipient_hash=recipient, limit=limit)
        else:
            ids = await ownership.user_ids_or_self(session, user_ids.parse(who))
            found = await messages.list_messages(session, user_ids=ids, limit=limit)
        return [_where_it_is(await messages.load_timeline(session, message.id)) for message in found]

    rows = connections.run_with_keys(find)
    if as_json:
        output.print_json(rows)
        return
    for row in rows:
        print(f"{row['created_at']}  {row['kind']}  {row['state']}  {row['message_id']}\n    {row['sentence']}")
        if row["reply"]:
            print(f"    The mail server said: {row['reply']}")
    if not rows:
        print("There is no message of this person.")


def _where_it_is(found: messages.MessageTimeline) -> dict[str, object]:
    message, last = found.message, found.attempts[-1] if found.attempts else None
    return {
        "message_id": str(message.id),
        "kind": message.kind,
        "created_at": message.created_at.isoformat(timespec="seconds"),
        "state": message.state,
        "sentence": descriptions.describe_message(
            message.state, last and last.reply_class, message.next_attempt_at, channel=message.channel
        ),
        "reply": last and last.reply,
    }


@mail_app.command("suppressions")
def list_suppressions(as_json: AsJson = False) -> None:
    """List the newest 200 suppressions: addresses that get no messages because one came back."""
    found = connections.run_in_transaction(
        lambda session: suppressions.list_suppressions(session, before=None, now=clock.utc_now(), limit=200)
    )
    rows = [
        {
            "suppression_id": str(one.id), "scope": one.scope, "reason": one.reason, "domain": domain,
            "message_id": one.message_id and str(one.message_id), "until": one.suppressed_until.isoformat(),
        }
        for one, domain in found
    ]  # fmt: skip
    output.print_rows(rows, as_json=as_json)


@mail_app.command("lift")
def lift_suppression(
    suppression_id: Annotated[uuid.UUID, typer.Argument(help="Its id, as `mail suppressions` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Lift a suppression: messages are sent to its address again."""
    _, domain = connections.run_in_transaction(
        lambda session: suppressions.lift_suppression(session, suppression_id, by=clients.OPERATOR, now=clock.utc_now())
    )
    if as_json:
        output.print_json({"suppression_id": str(suppression_id), "domain": domain, "lifted": True})
    else:
        print(f"Lifted: messages are sent to this address at {domain or 'its domain'} again.")
