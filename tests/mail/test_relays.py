"""The breaker of a relay, by a clock of ours: when it opens, for how long, and what closes it. Pure."""

from datetime import timedelta

import pytest

from identity_service.messages.delivery.queue import AttemptReport
from identity_service.messages.delivery.relays import FIRST_OPENING, LONGEST_OPENING, Breaker, Relays
from identity_service.settings import Relay
from tests.conftest import Clock

FAULT = AttemptReport("connect", "relay_fault", "unavailable", reply="connection refused")
LOGIN = AttemptReport("auth", "relay_fault", "login", 535, "5.7.8", "5.7.8 no")
THROTTLED = AttemptReport("mail", "relay_fault", "throttled", 452, "4.3.1", "4.3.1 slow down")
TAKEN = AttemptReport("eod", "accepted", "accepted", 250, "2.0.0", "2.0.0 ok")
NO_SUCH = AttemptReport("rcpt", "permanent", "permanent.address", 550, "5.1.1", "5.1.1 no such user")
BLOCKED = AttemptReport("rcpt", "permanent", "policy", 554, "5.7.1", "5.7.1 your address is on a list")
LATER = AttemptReport("rcpt", "transient", "transient", 451, "4.3.0", "4.3.0 later")
UNKNOWN = AttemptReport("eod", "unknown", "unknown")


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def observe(breaker: Breaker, *reports: AttemptReport, domain: str = "example.com") -> None:
    for report in reports:
        breaker.observe(report, domain)


def opened_for(breaker: Breaker) -> timedelta:
    assert breaker.opened_until is not None
    return breaker.opened_until - breaker.clock()


def test_it_opens_at_the_fifth_fault_in_a_row(breaker):
    observe(breaker, *[FAULT] * 4)
    assert breaker.allows()
    observe(breaker, FAULT)
    assert (breaker.state, breaker.allows()) == ("open", False)
    assert 0.9 * FIRST_OPENING <= opened_for(breaker) <= 1.1 * FIRST_OPENING


def test_a_letter_that_is_taken_ends_the_row(breaker):
    observe(breaker, *[FAULT] * 4, TAKEN, *[FAULT] * 4)
    assert breaker.state == "closed"


def test_half_of_ten_within_thirty_seconds_are_enough(breaker):
    observe(breaker, *[FAULT, TAKEN] * 4, TAKEN)
    assert breaker.state == "closed"
    observe(breaker, FAULT)
    assert breaker.state == "open"


def test_what_lies_further_back_than_thirty_seconds_is_no_share(breaker, clock):
    observe(breaker, *[FAULT, TAKEN] * 4, TAKEN)
    clock.advance(seconds=31)
    observe(breaker, FAULT)
    assert breaker.state == "closed"


def test_a_refused_login_opens_at_once(breaker):
    observe(breaker, LOGIN)
    assert breaker.state == "open"


@pytest.mark.parametrize("report", [NO_SUCH, LATER, UNKNOWN, THROTTLED], ids=lambda report: report.reply_class)
def test_what_is_no_fault_of_the_relay_never_opens_it(breaker, report):
    observe(breaker, *[report] * 19)
    assert breaker.state == "closed"


def test_half_open_lets_one_letter_try(breaker, clock):
    observe(breaker, *[FAULT] * 5)
    clock.now = breaker.opened_until
    assert (breaker.allows(), breaker.state) == (True, "half_open")
    breaker.begin()
    assert not breaker.allows()


@pytest.mark.parametrize("report", [TAKEN, NO_SUCH, LATER, THROTTLED], ids=lambda report: report.reply_class)
def test_a_try_that_finds_the_relay_well_closes_it(breaker, clock, report):
    observe(breaker, *[FAULT] * 5)
    clock.now = breaker.opened_until
    assert breaker.allows()
    breaker.begin()
    observe(breaker, report)
    assert (breaker.state, breaker.opened_until, breaker.faults_in_a_row) == ("closed", None, 0)
    assert breaker.allows()


def test_each_try_that_fails_doubles_the_wait_up_to_five_minutes(breaker, clock):
    observe(breaker, *[FAULT] * 5)
    waits = []
    for _ in range(7):
        waits.append(opened_for(breaker).total_seconds())
        clock.now = breaker.opened_until
        assert breaker.allows()
        breaker.begin()
        observe(breaker, FAULT)
    wanted = [15, 30, 60, 120, 240, 300, 300]
    assert all(0.9 * want <= wait <= 1.1 * want for wait, want in zip(waits, wanted, strict=True)), waits


def test_after_it_closed_the_first_wait_is_short_again(breaker, clock):
    observe(breaker, *[FAULT] * 5)
    clock.now = breaker.opened_until
    breaker.allows()
    observe(breaker, FAULT)
    clock.now = breaker.opened_until
    breaker.allows()
    observe(breaker, TAKEN, *[FAULT] * 5)
    assert opened_for(breaker) <= 1.1 * FIRST_OPENING < LONGEST_OPENING


def test_one_refusal_for_many_domains_is_a_storm(breaker):
    for number in range(19):
        observe(breaker, BLOCKED if number < 5 else TAKEN, domain=f"d{number}.example")
    assert breaker.state == "closed"
    observe(breaker, TAKEN, domain="d19.example")
    assert breaker.state == "open"


ABOUT_RECIPIENTS = [
    ("permanent.address", 550, "5.1.2", "5.1.2 Bad destination system address"),
    ("permanent.address", 550, "5.1.1", "5.1.1 no such user"),
    ("permanent.address", 556, "5.1.10", "5.1.10 null MX"),
    ("permanent.address", 550, None, "no such user here"),
    ("policy", 550, "5.4.1", "5.4.1 Recipient address rejected: Access denied"),
    ("policy", 550, "5.4.4", "5.4.4 host or domain not found"),
    ("policy", 550, "5.7.1", "5.7.1 Recipient address rejected: your policy forbids it"),
    ("policy", 554, "5.7.1", "5.7.1 this domain is on a block list"),
    ("policy", 550, "5.7.1", "5.7.1 delivery not authorized, message refused"),
    ("policy", 554, None, "refused"),
    ("permanent.utf8", 553, "5.6.7", "5.6.7 SMTPUTF8 is required"),
    ("permanent.content", 554, "5.6.0", "5.6.0 no"),
]


@pytest.mark.parametrize(("meaning", "code", "enhanced", "said"), ABOUT_RECIPIENTS)
def test_refusals_of_recipients_never_open_it(breaker, meaning, code, enhanced, said):
    """A stranger chooses the addresses: the same words for many domains say nothing about the relay."""
    for number in range(60):
        observe(breaker, AttemptReport("rcpt", "permanent", meaning, code, enhanced, said), domain=f"d{number}.example")
    assert (breaker.state, breaker.faults_in_a_row) == ("closed", 0)


@pytest.mark.parametrize(
    "said",
    [
        "5.7.1 your IP address is on a block list",
        "5.7.1 Client host blocked",
        "5.7.1 Relay access denied",
        "5.7.26 SPF and DKIM failed",
        "5.7.1 sender domain has a bad reputation",
    ],
)
def test_a_refusal_of_us_for_many_domains_opens_it(breaker, said):
    report = AttemptReport("rcpt", "permanent", "policy", 554, said.split(" ")[0], said)
    for number in range(20):
        observe(breaker, report, domain=f"d{number}.example")
    assert breaker.state == "open"


def test_no_refusal_opens_the_only_relays_breaker(clock):
    """Nothing could take over, so every customer would wait."""
    one = Relays([Relay(name="a", host="127.0.0.1", port=1, tls="none")], local_hostname="localhost", clock=clock)
    for number in range(60):
        observe(one.breakers["a"], BLOCKED, domain=f"d{number}.example")
    assert one.first() == "a"


@pytest.mark.parametrize("report", [TAKEN, BLOCKED, FAULT], ids=lambda report: report.reply_class)
def test_what_was_in_flight_when_it_opened_decides_nothing(breaker, report):
    observe(breaker, *[FAULT] * 5)
    until = breaker.opened_until
    observe(breaker, *[report] * 8)
    assert (breaker.state, breaker.opened_until) == ("open", until)
    assert breaker.last_reply == report.reply


def test_one_refusal_by_one_big_domain_is_no_storm(breaker):
    for number in range(40):
        observe(breaker, BLOCKED if number % 2 else TAKEN, domain=f"d{number % 4}.example")
    assert breaker.state == "closed"


def test_refusals_in_other_words_are_no_storm(breaker):
    for number in range(40):
        said = AttemptReport(
            "rcpt", "permanent", "permanent.address", 550, "5.1.1", f"5.1.1 <c{number}@d.example> unknown"
        )
        observe(breaker, said, domain=f"d{number}.example")
    assert breaker.state == "closed"


def test_a_storm_ends_with_its_minute(breaker, clock):
    for number in range(12):
        observe(breaker, BLOCKED, domain=f"d{number}.example")
    clock.advance(seconds=61)
    for number in range(12):
        observe(breaker, BLOCKED, domain=f"d{number}.example")
    assert breaker.state == "closed"


def test_what_was_heard_last_is_kept_for_the_pages(breaker, clock):
    observe(breaker, LATER)
    assert (breaker.last_reply, breaker.last_attempt_at) == ("4.3.0 later", clock.now)


@pytest.fixture
def relays(clock: Clock) -> Relays:
    three = [Relay(name=name, host="127.0.0.1", port=1, tls="none") for name in ("a", "b", "c")]
    return Relays(three, local_hostname="localhost", clock=clock)


@pytest.mark.parametrize(
    ("prefer", "order"), [(None, "a b c"), ("b", "b a c"), ("c", "c a b"), ("gone", "a b c")], ids=str
)
def test_the_preferred_relay_comes_first_and_the_others_as_they_are_listed(relays, prefer, order):
    assert relays.order(prefer) == order.split()


def test_an_ill_relay_is_not_in_the_order_even_if_it_is_preferred(relays):
    observe(relays.breakers["a"], LOGIN)
    assert relays.order("a") == ["b", "c"]
    assert relays.first() == "b"


def test_with_every_relay_ill_there_is_no_first(relays):
    for breaker in relays.breakers.values():
        observe(breaker, LOGIN)
    assert relays.first() is None


@pytest.mark.parametrize(("name", "other"), [("a", "b"), ("c", "a"), ("gone", None), (None, None)])
def test_after_a_silent_relay_the_next_in_the_list_is_tried_first(relays, name, other):
    assert relays.other_than(name, {"a", "b", "c"}) == other


@pytest.mark.parametrize(("usable", "other"), [({"a", "c"}, "c"), ({"a"}, None), ({"b", "c"}, None), (set(), None)])
def test_only_a_relay_that_the_brand_may_use_is_another(relays, usable, other):
    assert relays.other_than("a", usable) == other


def test_a_single_relay_has_no_other(clock):
    one = Relays([Relay(name="a", host="127.0.0.1", port=1, tls="none")], local_hostname="localhost", clock=clock)
    assert one.other_than("a", {"a"}) is None
