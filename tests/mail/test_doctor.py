"""The mail doctor: real relays, a real name server and a real bounce server on loopback, and the exit status."""

import asyncio
import json
import os
from pathlib import Path

import dns.rcode
import pytest
from pydantic import SecretStr

from identity_service.messages import doctor
from identity_service.messages.inbound import bounce_server
from identity_service.settings import Relay
from tests.conftest import MASTER_KEY, QUICK
from tests.faults.conftest import certificate  # noqa: F401 (a fixture)
from tests.faults.processes import COMMAND
from tests.faults.relay import HANG, FaultRelay
from tests.mail.given import everything_read
from tests.mail.name_server import ask

KEY = bytes(range(32))
SPF, DMARC, DKIM = "v=spf1 include:relay.example -all", "v=DMARC1; p=reject", "v=DKIM1; k=rsa; p=MIIB"
ZONE = {
    ("identity.example.", "TXT"): [f'"{SPF}"', '"other=1"'],
    ("_dmarc.identity.example.", "TXT"): [f'"{DMARC}"'],
    ("identity.example.", "MX"): ["10 mx.identity.example."],
    ("s1._domainkey.identity.example.", "TXT"): [f'"{DKIM[:8]}" "{DKIM[8:]}"'],
}


@pytest.fixture
async def relay():
    found = await FaultRelay(extensions=("DSN", "SIZE 1000")).start()
    yield found
    await found.stop()


def to(relay, **options) -> Relay:
    return Relay(name="first", host="127.0.0.1", port=relay.port, **{"tls": "none", **options})


async def examine(settings, *relays: Relay, zone=ZONE, rcode=dns.rcode.NXDOMAIN, **own) -> dict[str, list]:
    """Return the findings by what they are about."""
    resolver, server = await ask(zone, rcode=rcode)
    changed = settings.model_copy(update={"relays": relays, "bounce_port": 1, **own})
    found: dict[str, list] = {}
    async for finding in doctor.examine_mail(changed, KEY, timeouts=QUICK, resolver=resolver):
        found.setdefault(finding.what, []).append(finding)
    server.close()
    found["all"] = [finding for findings in found.values() for finding in findings]
    return found


async def test_a_relay_that_is_well_is_told_with_what_it_offers(settings, relay):
    found = await examine(settings, to(relay))
    (finding,) = found["relay first"]
    assert finding.verdict == "ok"
    assert finding.detail.startswith("in clear, on this machine; offers dsn, size; ")
    assert doctor.will_flow(found["all"])
    assert not any(line.startswith("C: MAIL") for line in relay.transcript)


async def test_a_relay_without_notices_is_a_warning_and_mail_flows(settings, relay):
    relay.extensions = ("SIZE 1000",)
    found = await examine(settings, to(relay))
    assert [finding.verdict for finding in found["relay first"]] == ["ok", "warning"]
    assert doctor.will_flow(found["all"])


ILL = [
    ("connect", "421 4.3.2 too busy", "connect: 4.3.2 too busy"),
    ("connect", HANG, "connect: no answer within"),
    ("STARTTLS", "454 4.7.0 no TLS", "tls: 4.7.0 no TLS"),
    ("AUTH", "535 5.7.8 bad credentials", "auth: 5.7.8 bad credentials"),
]


@pytest.mark.parametrize(("verb", "act", "detail"), ILL)
async def test_a_relay_that_is_ill_is_told_by_phase_and_words(settings, relay, certificate, verb, act, detail):  # noqa: F811
    relay.extensions, relay.tls = ("STARTTLS", "AUTH PLAIN"), certificate
    relay.will(verb, act)
    first = to(relay, tls="starttls", ca_file=certificate.folder / "certificate.pem", username="u", password="p")
    found = await examine(settings, first)
    (finding,) = found["relay first"]
    assert (finding.verdict, finding.detail[: len(detail)]) == ("failed", detail)
    assert not doctor.will_flow(found["all"])


async def test_login_and_encryption_are_tried_for_real(settings, relay, certificate):  # noqa: F811
    relay.extensions, relay.tls = ("STARTTLS", "AUTH PLAIN", "DSN"), certificate
    first = to(relay, tls="starttls", ca_file=certificate.folder / "certificate.pem", username="u", password="p")
    (finding,) = (await examine(settings, first))["relay first"]
    assert (finding.verdict, finding.detail[:7]) == ("ok", "TLSv1.3")
    assert "C: AUTH …" in relay.transcript


async def test_one_relay_that_is_well_is_enough(settings, relay):
    found = await examine(settings, Relay(name="gone", host="127.0.0.1", port=1, tls="none"), to(relay))
    assert [finding.verdict for finding in found["all"] if finding.what.startswith("relay ")] == ["failed", "ok"]
    assert found["relay gone"][0].detail == "connect: connection refused"
    assert doctor.will_flow(found["all"])


@pytest.mark.parametrize(("name", "record", "what", "said"), [
    ("identity.example.", "v=spf1 -all", "SPF", "lets nobody send"),
    ("identity.example.", "v=spf1 ~all", "SPF", "lets nobody send"),
    ("identity.example.", "v=spf1 ip4:192.0.2.1 -all", "SPF", None),
    ("identity.example.", "v=spf1 mx -all", "SPF", None),
    ("identity.example.", "v=spf1 redirect=other.example", "SPF", None),
    ("s1._domainkey.identity.example.", "v=DKIM1; p=", "DKIM", "the key is revoked"),
    ("s1._domainkey.identity.example.", "v=DKIM1; p= ; k=rsa", "DKIM", "the key is revoked"),
    ("s1._domainkey.identity.example.", "k=rsa; p=MIIB", "DKIM", None),
])  # fmt: skip
async def test_a_record_that_allows_nothing_is_a_warning(settings, relay, name, record, what, said):
    """RFC 7208, 5; RFC 6376, 3.6.1: it is there, and receivers refuse by it."""
    found = await examine(settings, to(relay), zone={**ZONE, (name, "TXT"): [f'"{record}"']}, dkim_selector="s1")
    (finding,) = found[what]
    assert finding.verdict == ("ok" if said is None else "warning"), finding
    assert said is None or said in finding.detail


async def test_no_relay_at_all_is_a_failure(settings):
    found = await examine(settings)
    assert found["relays"][0].verdict == "failed"
    assert not doctor.will_flow(found["all"])


async def test_what_dns_says_of_the_sender_is_told(settings, relay):
    found = await examine(settings, to(relay), dkim_selector="s1")
    told = {
        name: (found[name][0].verdict, found[name][0].detail.partition(": ")[2]) for name in ("SPF", "DMARC", "DKIM")
    }
    assert told == {"SPF": ("ok", f"{SPF} (1 of 10 look-ups)"), "DMARC": ("ok", DMARC), "DKIM": ("ok", DKIM)}
    assert found["MX of the bounce domain"][0].detail == "identity.example: 10 mx.identity.example."


@pytest.mark.parametrize("name", ["SPF", "DMARC", "MX of the bounce domain", "DKIM"])
async def test_what_is_missing_in_dns_is_a_warning_that_says_why_it_matters(settings, relay, name):
    found = await examine(settings, to(relay), zone={}, dkim_selector="s1")
    (finding,) = found[name]
    assert finding.verdict == "warning"
    assert len(finding.detail.partition(": ")[2].split()) >= 5
    assert doctor.will_flow(found["all"])


async def test_another_record_at_the_same_name_is_not_taken_for_it(settings, relay):
    zone = {("identity.example.", "TXT"): ['"google-site-verification=1"']}
    assert (await examine(settings, to(relay), zone=zone))["SPF"][0].verdict == "warning"


async def test_the_bounce_domain_is_asked_for_its_own_mail_exchanger(settings, relay):
    zone = {("back.example.", "MX"): ["10 mx.back.example."]}
    found = await examine(settings, to(relay), zone=zone, bounce_domain="back.example")
    assert found["MX of the bounce domain"][0].detail == "back.example: 10 mx.back.example."


async def test_a_name_server_that_fails_is_told_as_such(settings, relay):
    found = await examine(settings, to(relay), zone={}, rcode=dns.rcode.SERVFAIL)
    assert "DNS cannot be asked from here" in found["SPF"][0].detail


@pytest.mark.parametrize("mail_from", ["", "service"])
async def test_with_a_sender_that_is_no_address_no_letter_can_be_made(settings, relay, mail_from):
    found = await examine(settings, to(relay), mail_from=mail_from)
    assert found["sender"][0].verdict == "failed"
    assert not doctor.will_flow(found["all"])


async def test_the_way_back_is_walked_and_leaves_no_trace_on_a_letter(service, caller, settings, relay):
    door = await bounce_server.listen_for_bounces(service.database, "127.0.0.1", 0)
    found = await examine(settings, to(relay), bounce_port=door.sockets[0].getsockname()[1])
    await everything_read(service)
    door.close()
    await door.wait_closed()
    assert found["bounce server"][0].verdict == "ok"
    assert await service.rows("SELECT parse_status FROM inbound_mail") == [("unmatched",)]
    assert await service.rows("SELECT message_id FROM feedback") == [(None,)]


async def test_without_a_bounce_door_there_is_a_warning(settings, relay):
    assert (await examine(settings, to(relay)))["bounce server"][0].verdict == "warning"


async def run(urls, port: int, *words: str) -> tuple[int, str]:
    """Run the command as an operator does; whatever this machine's name server says is no failure."""
    relays = [{"name": "first", "host": "127.0.0.1", "port": port, "tls": "none"}]
    environment = {
        "PATH": os.environ["PATH"], "DATABASE_URL": urls.application, "IDENTITY_ENVIRONMENT": "development",
        "IDENTITY_MASTER_KEY": MASTER_KEY, "IDENTITY_PUBLIC_URL": "http://localhost:1",
        "IDENTITY_RELAYS": json.dumps(relays), "IDENTITY_BOUNCE_PORT": "1",
        "IDENTITY_MAIL_FROM": "service@identity.example",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        Path(COMMAND), "mail", "doctor", *words, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_the_command_ends_with_0_where_mail_will_flow(database, urls, relay):
    status, out = await run(urls, relay.port)
    assert status == 0, out
    assert out.splitlines()[0].split()[:3] == ["ok", "relay", "first"]


async def test_the_command_ends_with_1_where_it_will_not(database, urls):
    status, out = await run(urls, 1, "--json")
    assert status == 1, out
    assert json.loads(out)[0] == {"what": "relay first", "verdict": "failed", "detail": "connect: connection refused"}


WEBHOOKS = [
    ({"mailgun": "key"}, {"X-Mailgun-Variables": '{"msg": "{id}"}'}, ("webhook mailgun", "ok")),
    ({"mailgun": "key"}, {}, ("webhook mailgun", "warning")),
    ({"resend": "whsec_c2VjcmV0"}, {}, ("webhook resend", "ok")),
    ({"resend": "whsec_"}, {}, ("webhook resend", "failed")),
    ({"sendgrid": "no key"}, {"x-smtpapi": "…"}, ("webhook sendgrid", "failed")),
    ({"sengrid": "typed wrongly"}, {}, ("webhook sengrid", "failed")),
]


@pytest.mark.parametrize(("keys", "headers", "finding"), WEBHOOKS)
def test_a_webhook_that_is_set_up_wrongly_is_named(settings, keys, headers, finding):
    """A missing header or a mistyped name would otherwise be noticed only when reports are missed."""
    relay = Relay(name="a", host="127.0.0.1", port=1, tls="none").model_copy(update={"headers": headers})
    secrets = {name: SecretStr(key) for name, key in keys.items()}
    given = settings.model_copy(update={"webhook_keys": secrets, "relays": (relay,)})
    (found,) = doctor._check_webhooks(given)
    assert (found.what, found.verdict) == finding
    assert not any(key in found.detail for key in keys.values() if len(key) > 6)
