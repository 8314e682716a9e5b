"""PRV-01, PRV-04, PRV-06: whatever is said in whatever order through whatever door, the customer's last word counts.

A state machine plays against the real service: a service and a desk with every scope propose and withdraw over the
API, the customer uses his page and the links of every letter he ever got, old and used ones too. A model that knows
nothing but "the last word of the customer" says what must come out.
"""

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import Caller, Service
from tests.consents.given import LINK, Customer, a_customer, allowed, propose, states, withdraw

PURPOSES = st.sampled_from(["email", "post"])
BY = st.sampled_from(["shop", "desk"])
NUMBERS = itertools.count(1)


class Doors(RuleBasedStateMachine):
    """Plays on `service` from a thread of its own; what it does runs in the loop that everything else runs in."""

    loop: asyncio.AbstractEventLoop
    service: Service
    callers: dict[str, Caller]

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)

    @initialize()
    def begin(self) -> None:
        number = next(NUMBERS)
        email, source = f"customer{number}@example.org", f"10.{number % 250}.0.1"
        self.customer: Customer = self.do(a_customer(self.callers["shop"], self.service, email, source=source))
        self.do(self.customer.sign_in())
        self.word = {"email": None, "post": None}
        self.waits: dict[str, tuple | None] = {"email": None, "post": None}
        self.proposals: list[tuple] = []
        self.withdrawals: list[tuple] = []
        self.used: set[tuple] = set()

    def letters(self, subject: str) -> tuple:
        self.do(self.service.deliver())
        self.service.clock.advance(seconds=1)
        return LINK.search(self.service.letter(self.customer.email, subject)["text"]).groups()

    def said(self, purpose: str, word: str) -> None:
        self.word[purpose], self.waits[purpose] = word, None

    @rule(purpose=PURPOSES)
    def customer_says_yes_on_his_page(self, purpose) -> None:
        self.do(self.customer.grants(purpose))
        self.said(purpose, "granted")
        self.withdrawals.append((purpose, *self.letters("You said yes")))

    @rule(purpose=PURPOSES)
    def customer_says_no_on_his_page(self, purpose) -> None:
        self.do(self.customer.withdraws(purpose))
        self.said(purpose, "withdrawn")

    @rule(purpose=PURPOSES, by=BY)
    def somebody_withdraws_for_him(self, purpose, by) -> None:
        assert self.do(withdraw(self.callers[by], self.customer.user_id, purpose)).status_code == 200
        self.said(purpose, "withdrawn")

    @rule(purpose=PURPOSES, by=BY)
    def somebody_claims_that_he_agrees(self, purpose, by) -> None:
        assert self.do(propose(self.callers[by], self.customer.user_id, purpose)).status_code == 202
        if self.waits[purpose] is None:
            self.waits[purpose] = (purpose, *self.letters("Please answer"))
            self.proposals.append(self.waits[purpose])
        assert self.do(self.service.deliver()) == 0

    @precondition(lambda self: self.proposals)
    @rule(choice=st.data())
    def customer_answers_a_proposal(self, choice) -> None:
        letter = choice.draw(st.sampled_from(self.proposals))
        counts = letter == self.waits[letter[0]]
        assert self.do(self.customer.presses(*letter[1:])) == (200 if counts else 410)
        if counts:
            self.said(letter[0], "granted")
            self.withdrawals.append((letter[0], *self.letters("You said yes")))

    @precondition(lambda self: self.withdrawals)
    @rule(choice=st.data())
    def customer_uses_the_link_of_a_confirmation(self, choice) -> None:
        letter = choice.draw(st.sampled_from(self.withdrawals))
        counts = letter not in self.used
        assert self.do(self.customer.presses(*letter[1:])) == (200 if counts else 410)
        self.used.add(letter)
        if counts:
            self.said(letter[0], "withdrawn")
            # The notice that the link was used leaves at once, so that none is left where nothing may be sent.
            assert self.do(self.service.deliver()) == 1

    @invariant()
    def the_last_word_counts(self) -> None:
        if not hasattr(self, "word"):
            return
        mine = self.customer.user_id
        shown = self.do(states(self.callers["shop"], mine))
        for purpose, word in self.word.items():
            assert shown[purpose] == word
            yes = self.do(allowed(self.callers["shop"], mine, purpose=purpose))
            assert yes == ([mine] if word == "granted" else [])


@pytest.mark.timeout(300)
async def test_for_any_sequence_of_words_through_any_door_the_last_one_of_the_customer_counts(service):
    """PRV-01, PRV-04, PRV-06."""
    shop = await service.caller(name="shop")
    desk = await service.caller(name="desk", desk=True, clerk="clerk-7")
    often = settings(
        max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    here = {"loop": asyncio.get_running_loop(), "service": service, "callers": {"shop": shop, "desk": desk}}
    await asyncio.to_thread(run_state_machine_as_test, type("Here", (Doors,), here), settings=often)


@pytest.mark.timeout(300)
async def test_nobody_but_the_customer_ever_turns_marketing_on(service):
    """PRV-06: services, desks and every scope together, without the mailbox and without a session."""
    callers = [await service.caller(name="shop"), await service.caller(name="desk", desk=True, clerk="clerk-7")]
    customer = await a_customer(callers[0], service)
    for channel in ("page", "app", "phone", "paper", "desk"):
        for caller in callers:
            answer = await propose(caller, customer.user_id, channel=channel, evidence="he said so")
            assert (answer.status_code, answer.json()["permission"]) == (202, "never")
            assert await allowed(caller, customer.user_id) == []
    for channel in ("email_link", "import", "merge", "customer"):
        assert (await propose(callers[0], customer.user_id, channel=channel)).status_code == 422
