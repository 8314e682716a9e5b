"""What the outbox decides, rule by rule: what a reply means, when the next try is, what feedback changes. Pure."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.messages import descriptions
from identity_service.messages import kinds as messages_kinds
from identity_service.messages import rules as message_rules
from identity_service.messages.delivery import replies
from identity_service.messages.delivery.replies import ReplyClass
from identity_service.messages.rules import RetryContext
from identity_service.values import uuid7

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = RetryContext("test", 1, NOW + timedelta(minutes=10))

REPLIES = [
    # phase, code, enhanced, words → outcome, class
    ("connect", 421, "4.3.2", "too busy", "relay_fault", "unavailable"),
    ("connect", 554, "5.7.1", "not you", "relay_fault", "unavailable"),
    ("connect", 450, None, "later", "relay_fault", "unavailable"),
    ("tls", 454, "4.7.0", "no TLS now", "relay_fault", "unavailable"),
    ("auth", 535, "5.7.8", "bad credentials", "relay_fault", "login"),
    ("auth", 454, "4.7.0", "temporary trouble", "relay_fault", "unavailable"),
    ("auth", 421, "4.4.2", "bye", "relay_fault", "unavailable"),
    ("rcpt", 421, "4.4.2", "bye", "relay_fault", "unavailable"),
    ("eod", 421, "4.4.2", "bye", "relay_fault", "unavailable"),
    ("mail", 451, "4.3.0", "later", "relay_fault", "sender_refused"),
    ("mail", 550, "5.7.1", "sender refused", "relay_fault", "sender_refused"),
    ("mail", 452, "4.3.1", "no room", "relay_fault", "throttled"),
    ("mail", 454, "4.7.0", "slow down", "relay_fault", "throttled"),
    ("rcpt", 452, "4.3.1", "no room", "relay_fault", "throttled"),
    ("mail", 552, "5.3.4", "too big", "permanent", "permanent.too_big"),
    ("mail", 552, "5.2.3", "too big", "permanent", "permanent.too_big"),
    ("rcpt", 450, "4.2.0", "greylisted", "transient", "transient.greylist"),
    ("rcpt", 451, "4.7.1", "graylisting in action", "transient", "transient.greylist"),
    ("rcpt", 451, None, "try again", "transient", "transient.greylist"),
    ("rcpt", 450, "4.2.1", "the mailbox is busy", "transient", "transient"),
    ("rcpt", 451, "4.3.0", "aborted", "transient", "transient"),
    ("eod", 451, "4.3.0", "try again later", "transient", "transient"),
    ("rcpt", 452, "4.2.2", "over quota", "transient", "transient.mailbox_full"),
    ("rcpt", 552, "5.2.2", "over quota", "transient", "transient.mailbox_full"),
    ("rcpt", 550, "5.2.2", "over quota", "transient", "transient.mailbox_full"),
    ("eod", 552, None, "over quota", "transient", "transient.mailbox_full"),
    *[("rcpt", 550, e, "no", "permanent", "permanent.address") for e in ("5.1.1", "5.1.2", "5.1.3", "5.1.6")],
    ("rcpt", 550, "5.2.1", "no", "permanent", "policy"),
    ("rcpt", 550, "5.2.1", "the account is disabled", "permanent", "permanent.address"),
    ("rcpt", 550, None, "Requested action not taken: mailbox unavailable\n550-invalid DNS MX", "permanent", "policy"),
    ("rcpt", 550, "5.1.1", "Sender does not exist", "permanent", "policy"),
    ("rcpt", 556, "5.1.10", "null MX", "permanent", "permanent.address"),
    *[("rcpt", code, None, "no such user", "permanent", "permanent.address") for code in (550, 551, 553)],
    ("rcpt", 550, "5.7.1", "policy", "permanent", "policy"),
    ("rcpt", 554, None, "Relay access denied", "permanent", "policy"),
    ("rcpt", 550, None, "relaying denied", "permanent", "policy"),
    ("rcpt", 554, None, "no", "permanent", "policy"),
    ("rcpt", 550, "5.3.0", "no", "permanent", "policy"),
    *[("eod", 550, f"5.7.{n}", "SPF, DKIM, DMARC", "permanent", "policy") for n in (1, 20, 23, 26)],
    ("rcpt", 553, "5.6.7", "no SMTPUTF8", "permanent", "permanent.utf8"),
    ("eod", 554, "5.6.0", "we think it is spam", "permanent", "permanent.content"),
    ("eod", 550, "5.1.1", "after all", "permanent", "permanent.content"),
    ("eod", 250, "2.0.0", "ok", "accepted", "accepted"),
    ("eod", 251, None, "will forward", "accepted", "accepted"),
    ("data", 250, None, "what?", "relay_fault", "garbage"),
    ("rcpt", 354, None, "what?", "relay_fault", "garbage"),
    ("mail", -1, None, "a teapot", "relay_fault", "garbage"),
    ("rcpt", 25, None, "+25", "relay_fault", "garbage"),
    ("eod", -1, None, "a teapot", "unknown", "unknown"),
    ("payload", 600, None, "a teapot", "unknown", "unknown"),
]


@pytest.mark.parametrize(("phase", "code", "enhanced", "said", "outcome", "meaning"), REPLIES)
def test_what_a_reply_means(phase, code, enhanced, said, outcome, meaning):
    assert replies.classify_reply(phase, code, enhanced, said) == ReplyClass(outcome, meaning)


@pytest.mark.parametrize("phase", message_rules.Phase)
def test_silence_is_unknown_from_the_first_byte_of_the_payload_on_and_never_before(phase):
    outcome = replies.classify_silence(phase).outcome
    assert (outcome == "unknown") == (phase in ("payload", "eod"))


@given(
    st.sampled_from(list(message_rules.Phase)[1:]),
    st.integers(-1, 999),
    st.none() | st.from_regex(r"[245]\.\d\.\d{1,2}"),
)
def test_only_a_2xx_to_the_final_dot_is_an_acceptance(phase, code, enhanced):
    """And whatever a relay says has a sentence of its own."""
    outcome, meaning = replies.classify_reply(phase, code, enhanced, "words")
    assert (outcome == "accepted") == (phase == "eod" and 200 <= code <= 299)
    assert outcome in list(message_rules.Outcome)
    assert "couldn't accept the email" not in descriptions.describe_attempt(meaning, outcome, "first", enhanced)


def after(outcome: str, meaning: str, facts: RetryContext = FACTS, **options) -> message_rules.Transition:
    return message_rules.next_state(
        ReplyClass(outcome, meaning), facts, NOW, **{"hint": None, "jitter": 1.0, **options}
    )


STEPS = [
    ("accepted", "accepted", message_rules.Transition("accepted")),
    ("relay_fault", "unavailable", message_rules.Transition("deferred", NOW + timedelta(seconds=3), next_relay=True)),
    ("transient", "transient", message_rules.Transition("deferred", NOW + timedelta(seconds=3))),
    (
        "transient",
        "transient.silence",
        message_rules.Transition("deferred", NOW + timedelta(seconds=3), prefer_other=True),
    ),
    ("transient", "transient.greylist", message_rules.Transition("deferred", NOW + timedelta(seconds=60))),
    (
        "unknown",
        "unknown",
        message_rules.Transition("deferred", NOW + timedelta(seconds=60), possibly_sent=True, prefer_other=True),
    ),
    ("permanent", "permanent.too_big", message_rules.Transition("failed")),
    ("permanent", "permanent.address", message_rules.Transition("rejected")),
    ("permanent", "permanent.content", message_rules.Transition("rejected")),
    ("permanent", "permanent.utf8", message_rules.Transition("rejected", next_relay=True)),
    ("permanent", "policy", message_rules.Transition("rejected", next_relay=True)),
]


@pytest.mark.parametrize(("outcome", "meaning", "step"), STEPS)
def test_what_becomes_of_a_letter(outcome, meaning, step):
    assert after(outcome, meaning) == step


def test_a_policy_is_asked_elsewhere_once():
    again = RetryContext("test", 1, FACTS.deadline_at, policy_before=True)
    assert after("permanent", "policy", again) == message_rules.Transition("rejected")


@pytest.mark.parametrize(("kind", "waits"), [("test", (3, 8, 20, 45, 60, 60)), ("welcome", (15, 60, 300, 900, 3600))])
def test_each_kind_has_its_waits_and_goes_on_with_the_last(kind, waits):
    for turn, seconds in enumerate(waits, 1):
        step = after("transient", "transient", RetryContext(kind, turn, NOW))
        assert step.next_attempt_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(("before", "minutes"), list(enumerate([1, 5, 15, 30, 30])))
def test_what_may_have_gone_is_tried_again_rarely(before, minutes):
    step = after("unknown", "unknown", RetryContext("test", 1, NOW, unknown_before=before))
    assert step.next_attempt_at == NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize(("hint", "seconds"), [(None, 60), (30, 60), (300, 300)])
def test_a_greylist_waits_a_minute_or_what_it_names(hint, seconds):
    given_hint = hint and timedelta(seconds=hint)
    step = after("transient", "transient.greylist", hint=given_hint)
    assert step.next_attempt_at == NOW + timedelta(seconds=seconds)


@given(st.integers(1, 50), st.floats(0.75, 1.25), st.none() | st.timedeltas(timedelta(0), timedelta(hours=4)))
def test_a_wait_is_never_shorter_than_asked_nor_than_three_quarters_of_the_schedule(deliveries, jitter, hint):
    step = after("transient", "transient", RetryContext("welcome", deliveries, NOW), hint=hint, jitter=jitter)
    wait = step.next_attempt_at - NOW
    least = messages_kinds.KINDS["welcome"].waits[min(deliveries - 1, 4)]
    assert wait >= timedelta(seconds=0.75 * least)
    assert hint is None or wait >= hint
    assert wait <= max(timedelta(seconds=1.25 * least), hint or timedelta(0))


@pytest.mark.parametrize("before", range(4))
def test_a_letter_that_cannot_be_made_has_failed_the_third_time(before):
    step = message_rules.state_after_abort(RetryContext("test", 1, NOW, aborted_before=before), NOW)
    assert step.state == ("deferred" if before < 2 else "failed")


@pytest.mark.parametrize(
    ("outcomes", "lost"), [([], 0), (["lost"], 1), (["lost", "lost", "unknown"], 2), (["unknown", "lost"], 0)]
)
def test_only_attempts_in_a_row_count_as_lost(outcomes, lost):
    assert message_rules.lost_in_a_row(outcomes) == lost


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("greylisted, try again in 300 seconds", 300),
        ("4.7.1 come back in 5 minutes", 300),
        ("wait 90s", 90),
        ("wait 2 min", 120),
        ("wait 99999 seconds", 4 * 3600),
        ("try again later", None),
        ("took 250 ms", None),
        ("", None),
    ],
)
def test_a_delay_is_read_out_of_a_reply(said, seconds):
    assert replies.retry_after_hint(said) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("2.0.0 Ok: queued as 4F2A", "4F2A"),
        ("OK id=1rABCD-0001Xy-2z", "1rABCD-0001Xy-2z"),
        ("Ok 0102018d1a2b3c4d-aaaa-000000", "0102018d1a2b3c4d-aaaa-000000"),
        ("2.0.0 message accepted", None),
    ],
)
def test_the_relays_name_for_a_letter_is_read(said, name):
    assert replies.queue_id(said) == name


@pytest.mark.parametrize(
    ("said", "code"), [("5.1.1 no", "5.1.1"), ("4.7.25", "4.7.25"), ("no 5.1.1", None), ("1.2.3.4 ok", None)]
)
def test_an_enhanced_code_stands_at_the_head_of_a_reply(said, code):
    assert replies.enhanced_code(said) == code


@pytest.mark.parametrize(
    "quoted",
    [
        "https://id.example.com/reset/choose#v1.abcdefghijklmnop.SECRETsecretSECRET",
        "v1.abcdefghijklmnop.SECRETsecretSECRET.",
        "<https://id.example.com/x?token=SECRETsecret&a=b>",
        "code=SECRET",
        "secret=SECRET",
    ],
)
def test_a_link_that_a_filter_quotes_is_cut_out_whole(quoted):
    kept = replies.scrub_reply(f"554 5.7.1 we do not like {quoted} at all")
    assert "secret" not in kept.lower().replace("secret=", "")
    assert kept.startswith("554 5.7.1 we do not like ")
    assert kept.endswith("at all")


@given(st.text(st.characters(), max_size=1500))
def test_what_is_kept_of_a_reply_is_text_that_postgresql_takes(said):
    kept = replies.scrub_reply(said)
    assert len(kept) <= replies.MAXIMUM_REPLY
    kept.encode("utf-8")
    assert not any(ord(c) < 32 and c not in "\t\n" for c in kept)


FEEDBACK = {
    "queued": {},
    "sending": {},
    "deferred": {"delivered": "delivered", "bounced": "bounced", "dropped": "bounced"},
    "accepted": {"delivered": "delivered", "bounced": "bounced", "dropped": "bounced"},
    "unconfirmed": {"delivered": "delivered", "bounced": "bounced", "dropped": "bounced"},
    "delivered": {"bounced": "bounced", "dropped": "bounced"},
}


@pytest.mark.parametrize("kind", message_rules.FeedbackType)
@pytest.mark.parametrize("state", message_rules.TRANSITIONS)
def test_feedback_moves_a_letter_only_where_it_says_more(state, kind):
    assert message_rules.state_after_feedback(state, kind) == FEEDBACK.get(state, {}).get(kind)


@given(
    st.lists(st.sampled_from(message_rules.FeedbackType), max_size=8),
    st.sampled_from(["accepted", "deferred", "unconfirmed"]),
)
def test_in_any_order_the_strongest_feedback_wins(kinds, state):
    """ATT-65: bounced over delivered over accepted, however a provider mixes and repeats them."""
    for kind in kinds:
        state = message_rules.state_after_feedback(state, kind) or state
    if {"bounced", "dropped"} & set(kinds):
        assert state == "bounced"
    elif "delivered" in kinds:
        assert state == "delivered"


@pytest.mark.parametrize(
    ("days", "hours"), [([], 72), ([8], 72), ([7], 720), ([0.5], 720), ([6, 5], 720), ([30, 20, 10], 72)]
)
def test_two_refusals_within_a_week_count_for_a_month(days, hours):
    earlier = [NOW - timedelta(days=number) for number in days]
    assert message_rules.suppression_time(earlier, NOW) == timedelta(hours=hours)


def test_ids_are_of_version_7_and_follow_the_clock():
    first, later = uuid7.new_uuid7(NOW), uuid7.new_uuid7(NOW + timedelta(milliseconds=1))
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first < later


@pytest.mark.parametrize("state", message_rules.TRANSITIONS)
def test_every_state_has_a_sentence_and_never_calls_a_handover_delivered(state):
    sentence = descriptions.describe_message(state, "transient", None)
    assert sentence.endswith(".")
    assert ("has accepted the email. If" in sentence) == (state == "delivered")


@pytest.mark.parametrize("kind", message_rules.FeedbackType)
def test_every_feedback_has_a_sentence(kind):
    assert descriptions.describe_feedback(kind, None).endswith(".")
