"""REL-23, ATT-03, NOM-01, NOM-05: the whole life of accounts with passwords and consent in it, in any order.

What `tests/life/test_whole_life.py` holds after every step holds here, too: one owner an address, no entry of history
lost, every User ID answers, the audit finds nothing. Beside it: no password but the one that the mailbox set last,
marketing only where the mailbox said yes, and no letter of a kind that is not on the list.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from identity_service.messages import kinds
from tests.abuse import budget
from tests.browser import Browser
from tests.conftest import BASE
from tests.consents.given import allowed
from tests.life.given import consent, row_id, set_password
from tests.life.test_whole_life import PICK, Life, Modelled
from tests.resets.given import choose, forget_limits, link_in

PASSWORDS = st.sampled_from(
    ["violet teapot argues with gravity", "seven herons borrow a ladder", "copper moths read the timetable"]
)
NAMES = ("anna", "ben", "cleo", "dora")
LETTERS = {(name, kind.purpose) for name, kind in kinds.KINDS.items()}


class AbusedLife(Life):
    """A life in which people set passwords and speak about marketing, too."""

    def __init__(self) -> None:
        super().__init__()
        self.passwords: dict[str, str] = {}
        self.words: dict[str, str] = {}
        self.used: list[tuple[str, str]] = []
        self.joined: set[str] = set()
        for path in self.service.mailbox.folder.glob("*.eml"):
            # The letters of the life before are read with every one of this, else.
            path.unlink()

    @initialize()
    def three_people_are_there(self) -> None:
        """Anna and Ben said yes, and Ben's account was closed since; Cleo has said nothing."""
        for name in ("anna", "ben", "cleo"):
            self.register(name)
        for one in self.accounts[:2]:
            self.do(consent(self.service, self.caller, one.user_id, one.email))
            self.words[one.user_id] = "granted"
        self.closes(1)

    def loses_password(self, one: Modelled) -> None:
        self.passwords.pop(one.user_id, None)

    def active(self, number: int) -> Modelled | None:
        """An account that is there, with a mailbox."""
        found = [one for one in self.accounts if one.state == "active" and one.email is not None]
        return found[number % len(found)] if found else None

    def reset_letters(self, address: str) -> list[dict]:
        self.do(self.service.deliver())
        return [letter for letter in self.service.mailbox.letters(address) if "/reset/choose/" in letter["text"]]

    def pause(self) -> None:
        self.do(forget_limits(self.service))
        self.service.clock.advance(seconds=1)

    @precondition(lambda self: self.accounts)
    @rule(number=PICK, password=PASSWORDS)
    def sets_a_password(self, number, password):
        one = self.active(number)
        if one is None:
            return
        self.pause()
        self.do(set_password(self.service, one.email, password))
        self.passwords[one.user_id] = password
        self.used.append((one.email, link_in(self.reset_letters(one.email)[0])))

    @rule()
    def everybody_asks_for_a_password(self):
        """Only the mailbox of an account that is active, or was merged into one, gets a link."""
        self.pause()
        for address in map(self.address, NAMES):
            holder, before = self.holder(address), len(self.reset_letters(address))
            browser = Browser(self.service.app, BASE)
            self.do(browser.open("/reset"))
            self.do(browser.send("/reset", email=address))
            gets_one = holder is not None and holder.root.state == "active"
            assert len(self.reset_letters(address)) == before + gets_one

    @precondition(lambda self: self.used)
    @rule(number=PICK, password=PASSWORDS)
    def tries_a_used_link(self, number, password):
        """ATT-03: what follows is held by the next check of a password."""
        _, link = self.used[number % len(self.used)]
        self.pause()
        page = self.do(choose(Browser(self.service.app, BASE), link, password))
        assert page.status_code == 410

    @precondition(lambda self: self.accounts)
    @rule(number=PICK, password=PASSWORDS)
    def a_password_is_checked(self, number, password):
        one = self.active(number)
        if one is None or one.user_id in self.joined:
            return
        self.pause()
        answer = self.call("POST", "/v1/password-checks", {"user_id": one.user_id, "password": password})
        fits = self.passwords.get(one.user_id) == password
        assert answer.json()["result"] in (("match", "wait") if fits else ("no_match", "wait"))

    @precondition(lambda self: self.accounts)
    @rule(number=PICK)
    def says_yes_to_marketing(self, number):
        one = self.active(number)
        if one is None or self.words.get(one.user_id) == "granted":
            return
        self.pause()
        self.do(consent(self.service, self.caller, one.user_id, one.email))
        self.words[one.user_id] = "granted"

    @precondition(lambda self: self.accounts)
    @rule(number=PICK)
    def says_no_to_marketing(self, number):
        one = self.active(number)
        if one is None:
            return
        answer = self.call("PUT", f"/v1/accounts/{one.user_id}/consents/email", {"granted": False})
        assert answer.status_code == 200
        self.words[one.user_id] = "withdrawn"

    @invariant()
    def whoever_was_joined_is_remembered(self):
        """A merge mixes what two people said; its exact outcome is `tests/life/test_merging.py`'s."""
        for one in self.accounts:
            if one.into is not None:
                self.joined |= {one.user_id, one.into.user_id}

    @precondition(lambda self: self.accounts)
    @invariant()
    def marketing_reaches_only_who_said_yes(self):
        found = set(self.do(allowed(self.caller, *(one.user_id for one in self.accounts))))
        for one in self.accounts:
            group = [other for other in self.accounts if other.root is one.root]
            said = {self.words.get(other.user_id) for other in group}
            if one.user_id in found:
                assert one.root.state == "active"
                assert "granted" in said
            if one.user_id not in self.joined:
                wanted = one.state == "active" and self.words.get(one.user_id) == "granted"
                assert (one.user_id in found) == wanted

    @invariant()
    def no_letter_is_of_another_kind_or_to_anybody_else(self):
        rows = self.do(
            self.service.rows("SELECT DISTINCT kind, purpose, recipient FROM message WHERE recipient IS NOT NULL")
        )
        assert {(kind, purpose) for kind, purpose, _ in rows} <= LETTERS
        mine = {address for _, _, address in rows if address.endswith(f"{self.run}@example.com")}
        assert mine <= {self.address(name) for name in NAMES}

    @precondition(lambda self: any(one.state == "erased" for one in self.accounts))
    @invariant()
    def who_was_erased_has_no_password(self):
        gone = [row_id(one.user_id) for one in self.accounts if one.state == "erased"]
        assert self.do(self.service.rows("SELECT 1 FROM password WHERE user_id = ANY(:ids)", ids=gone)) == []


@pytest.mark.parametrize("turn", range(budget.examples(1, 0.05)))
async def test_no_order_of_calls_gives_a_password_a_letter_or_a_permission_that_nobody_asked_for(service, caller, turn):
    """REL-23, ATT-03, NOM-01, NOM-05, ASVS 2.3.1: one model explains every answer, in whatever order it happens.

    The long form begins again with empty tables, because the audit walks everything after every step.
    """
    known = {"loop": asyncio.get_running_loop(), "service": service, "caller": caller}
    profile = settings(
        max_examples=2, stateful_step_count=12, deadline=None, derandomize=not budget.SECONDS, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    machine = type("LifeHere", (AbusedLife,), known)
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=profile)
