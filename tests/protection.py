"""The tables of `docs/protection.md` that the code knows better: how often, and how long. `make tables` writes them."""

import ast
import importlib
from collections.abc import Iterator, Mapping
from datetime import timedelta

from identity_service.clients import rules as clients
from identity_service.console import rules as console
from identity_service.contacts import rules as contacts
from identity_service.keys import ring
from identity_service.merges import rules as merge_rules
from identity_service.messages import heartbeat
from identity_service.one_time_tokens import requests
from identity_service.one_time_tokens import rules as token_rules
from identity_service.passwords import rules as passwords
from identity_service.settings import Settings
from identity_service.sign_in import rules as sign_in_rules
from tests.source import PACKAGE, ROOT, called, modules

PAGE = ROOT / "docs/protection.md"
WHOSE = {
    "account-search": "a client looks accounts up by address",
    "caller-check": "a clerk starts checks of callers",
    "code": "codes tried for one address and purpose, by everybody together",
    "code-network": "one network asks for codes to sign in",
    "desk-alarm": "alarms about one person's searches",
    "desk-searches": "searches by one person before an alarm",
    "message-search": "a client looks messages up by address",
    "password-check": "a client asks whether passwords fit",
    "register-network": "one network on the public page",
    "reroute": "one message is sent by another relay",
    "mailbox-network": "one network causes resets and sign-in codes for one mailbox, in any spelling",
    "register-mailbox-network": "one network registers with one mailbox, in any spelling",
    "reset-client": "a client asks for resets",
    "reset-network": "one network asks for resets",
    "email-change": "a signed-in customer asks for another address",
    "email-change-to": "a signed-in customer asks for one and the same address",
    "further-address": "a signed-in customer adds a further address",
    "further-address-to": "a signed-in customer adds one and the same further address",
    "elsewhere": "one network has a reset or sign-in code sent to another address",
    "reset-address": "reset messages to one address, for each browser known to the account and for all others",
    "reset-renewed": "a reset message beyond that, when the newest one has expired",
    "signin-address": "messages with codes to one address, for each browser known to the account and for all others",
    "signin-renewed": "a message with a code beyond that, when the newest one has expired",
    "second-factor-removal": "removals of a lost authenticator app, asked for one account",
    "signin-network": "one network tries to sign in",
    "authorize": "one network is sent by applications",
    "recover-network": "one network enters User IDs and recovery codes",
    "recovery-code-mail": "a recovery asks for the code of its second proof",
    "recovery-code-new": "one network makes recovery codes of new accounts",
    "support-code": "one clerk types support codes",
    "support-code-client": "one desk tool types support codes",
    "passkey-options": "one network begins to sign in with, or to add, a passkey",
    "password-check-network": "one network tries passwords at a client's form",
    "wrong-access-token": "one network shows wrong access tokens",
    "staff-name": "one name tries to sign in at the console, from all networks",
    "staff-name-network": "one name tries to sign in at the console, from one network",
    "staff-network": "one network tries to sign in at the console",
    "staff-open": "a person opens accounts at the console",
    "staff-search": "a person searches at the console",
    "strength": "one network has passwords judged",
    "unknown-token": "a client asks about tokens that are not its own",
    "wrong-client-secret": "wrong secrets, for one client from one network; for one network",
}
"""What each limit counts, by its name in the code."""


def rates() -> dict[str, list[str]]:
    """Return the rates of each limit, as the code has them."""
    found: dict[str, list[str]] = {}
    for module in modules():
        for call in (
            call for call in module.calls() if called(call) in ("hit", "hit_network", "wait") and len(call.args) > 1
        ):
            name, rate = call.args[0], call.args[1]
            if isinstance(name, ast.Constant):
                scope = vars(importlib.import_module(f"{PACKAGE}.{module.name}"))
                value = eval(ast.unparse(rate), scope)
                found.setdefault(name.value, [])
                if value not in found[name.value]:
                    found[name.value].append(value)
        for call in (call for call in module.calls() if called(call) == "count_request" and len(call.args) > 4):
            scope = vars(importlib.import_module(f"{PACKAGE}.{module.name}"))
            purpose = ast.literal_eval(call.args[2])
            found[f"{purpose}-address"] = [eval(ast.unparse(call.args[4]), scope)]
            found[f"{purpose}-renewed"] = [requests.RENEWED]
    return found


def of_code() -> Mapping[str, list[str]]:
    """Return the rows that belong under each heading."""
    return {
        "Limits": [f"| {WHOSE.get(name, name)} | {'; '.join(rate)} |" for name, rate in sorted(rates().items())],
        "Times": [f"| {what} | {_said(length)} |" for what, length in _times()],
    }


def _times() -> Iterator[tuple[str, timedelta]]:
    hours = Settings.model_fields["session_hours"].default
    yield "a customer's session without use", sign_in_rules.IDLE
    yield "a customer's session in all (a setting)", timedelta(hours=hours)
    yield "a sign-in that is recent enough for what cannot be undone", sign_in_rules.FRESH
    yield "a staff member's session without use", console.IDLE
    yield "a staff member's session in all", console.SESSION
    yield "an enrolment link for the console", console.ENROLMENT
    yield "a link to set a password, from hand-over (a setting)", _minutes("reset_link_minutes")
    yield "a code in a message, from hand-over (a setting)", _minutes("reset_code_minutes")
    yield "a tracking link", token_rules.TRACKED_FOR
    yield "a verified caller", contacts.HOLDS
    yield "a merge that can be undone", merge_rules.MERGE_UNDO
    yield "an access token of a service", ring.TOKEN_LIFETIME
    yield "a client's older secret, beside the new one", clients.SECRET_OVERLAP
    yield "the count of wrong passwords, after the last", passwords.FORGET_AFTER
    yield "raw notices of returned mail", heartbeat.INBOUND_KEPT


def _minutes(setting: str) -> timedelta:
    return timedelta(minutes=Settings.model_fields[setting].default)


def _said(length: timedelta) -> str:
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        whole, rest = divmod(int(length.total_seconds()), seconds)
        if whole and not rest:
            return f"{whole} {unit}{'s' * (whole > 1)}"
    raise AssertionError(length)
