"""REL-23, IDN-07: everything that can happen to accounts, in any order, through HTTP, against a model of a few lines.

After every step no history entry is lost, the summary equals the model's, every User ID that was ever issued answers,
no two accounts share an address, and the audit of events and consents finds nothing.
"""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.life.given import COMPANY, append, audited, call, confirm, link_to, press, renew
from tests.life.given import an_entry as entry_of

NUMBERS = count()
WORDS = {"order": 1, "refund": -1, "ticket": 0, "ticket_closed": 0, "note": 0}
PICK = st.integers(0, 999)
MAILBOXES = st.sampled_from(["anna", "ben", "cleo", "dora"])


@dataclass
class Modelled:
    """One account as the customer would tell of it."""

    user_id: str
    email: str | None
    state: str = "active"
    kind: str = "consumer"
    into: "Modelled | None" = None
    entries: list[tuple[str, str, Decimal | None]] = field(default_factory=list)
    undo: tuple[tuple[str, str], str] | None = None

    @property
    def above(self) -> list["Modelled"]:
        return [] if self.into is None else [self.into, *self.into.above]

    @property
    def root(self) -> "Modelled":
        return self if self.into is None else self.into.root


class Life(RuleBasedStateMachine):
    """Drives the service; `loop`, `service` and `caller` are set by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.run, self.accounts = next(NUMBERS), []
        self.do(renew(self.service, self.caller))

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def call(self, method: str, path: str, body=None):
        return self.do(call(self.caller, method, path, body))

    def pick(self, number: int) -> Modelled:
        return self.accounts[number % len(self.accounts)]

    def address(self, name: str) -> str:
        return f"{name}{self.run}@example.com"

    def reference(self, known: Modelled | None) -> dict[str, str]:
        """A reference for a new account: a service may join only what its own references name, or mailboxes."""
        return {} if known is not None else {"external_ref": f"ref{next(NUMBERS)}"}

    def yields(self, holder: Modelled, one: Modelled) -> bool:
        """Whether the account that has an address gives it to whoever proves the mailbox."""
        if holder.state == "merged":
            return one in holder.above
        if holder.state != "active" or one.state != "active":
            return False
        query = "SELECT email_state FROM account WHERE user_id = :id"
        return self.do(self.service.rows(query, id=holder.user_id.replace("-", ""))) == [("unconfirmed",)]

    def takes(self, one: Modelled, address: str) -> None:
        """An account gets an address whose mailbox was read."""
        holder = self.holder(address)
        if holder is not None and holder is not one:
            holder.email = one.email if holder.state == "merged" else None
            if holder.state == "active":
                holder.state, holder.into = "merged", one
        one.email = address

    def loses_password(self, one: Modelled) -> None:
        """An undone change of address removes the password."""

    def mailbox(self, one: Modelled) -> str | None:
        """The address that speaks for an account: its own, else one of the nearest account merged into it."""
        known = [(len(other.above), other.email) for other in self.accounts if other.root is one and other.email]
        return min(known, default=(0, None))[1]

    def holder(self, address: str) -> Modelled | None:
        return next((one for one in self.accounts if one.email == address), None)

    def refused(self, answer, one: Modelled, *states: str) -> bool:
        """Whether the answer is the refusal that this account's state asks for."""
        codes = {
            "erased": (410, "account_erased"), "merged": (409, "account_moved"), "closed": (409, "account_closed"),
        }  # fmt: skip
        if one.state not in states:
            return False
        assert (answer.status_code, answer.json()["code"]) == codes[one.state]
        return True

    @rule(name=MAILBOXES | st.none())
    def register(self, name):
        address = None if name is None else self.address(name)
        known = None if address is None else self.holder(address)
        answer = self.call("POST", "/v1/accounts", {"email": address, **self.reference(known)})
        if known is not None:
            if not self.refused(answer, known.root, "closed"):
                assert (answer.status_code, answer.json()["user_id"]) == (200, known.root.user_id)
            return
        assert answer.status_code == 201
        assert answer.json()["user_id"] not in {one.user_id for one in self.accounts}
        self.accounts.append(Modelled(answer.json()["user_id"], address))

    @precondition(lambda self: self.accounts)
    @rule(number=PICK, kind=st.sampled_from(sorted(WORDS)), cents=st.integers(0, 10**6))
    def happens(self, number, kind, cents):
        one, reference = self.pick(number), f"r{next(NUMBERS)}"
        amount = Decimal(cents) / 100 if WORDS[kind] else None
        money = {} if amount is None else {"amount": f"{amount:.2f}", "currency": "EUR"}
        answer = self.do(append(self.caller, one.user_id, entry_of(reference, kind=kind, **money)))
        if self.refused(answer, one, "erased", "merged"):
            return
        assert (answer.status_code, answer.json()["read_at"]) == (201, one.root.user_id)
        one.entries.append((reference, kind, amount))

    @precondition(lambda self: any(one.entries and one.state != "erased" for one in self.accounts))
    @rule(number=PICK)
    def is_told_twice(self, number):
        told = [one for one in self.accounts if one.entries and one.state != "erased"]
        one = told[number % len(told)]
        reference, kind, amount = one.entries[0]
        money = {} if amount is None else {"amount": f"{amount:.2f}", "currency": "EUR"}
        answer = self.do(append(self.caller, one.root.user_id, entry_of(reference, kind=kind, **money)))
        assert (answer.status_code, answer.json()["results"][0]["status"]) == (200, "there")

    @precondition(lambda self: self.accounts)
    @rule(number=PICK, kind=st.sampled_from(["business", "consumer"]))
    def converts(self, number, kind):
        one = self.pick(number)
        method, body = ("PUT", COMPANY) if kind == "business" else ("DELETE", None)
        answer = self.call(method, f"/v1/accounts/{one.user_id}/business", body)
        if self.refused(answer, one, "erased", "merged", "closed"):
            return
        assert answer.status_code == 200
        one.kind = kind

    @precondition(lambda self: len(self.accounts) > 1)
    @rule(first=PICK, second=PICK)
    def merges(self, first, second):
        survivor, duplicate = self.pick(first), self.pick(second)
        answer = self.call("POST", f"/v1/accounts/{survivor.user_id}/merge", {"duplicate": duplicate.user_id})
        states = ("erased", "merged", "closed")
        if self.refused(answer, survivor, *states) or self.refused(answer, duplicate, *states):
            return
        if survivor is duplicate:
            assert (answer.status_code, answer.json()["code"]) == (409, "cannot_merge")
            return
        asked = [address for side in (survivor, duplicate) if (address := self.mailbox(side)) is not None]
        assert answer.status_code == (202 if asked else 200)
        for address in asked:
            self.do(confirm(self.service, address, "Do you want to merge your two accounts?"))
        duplicate.state, duplicate.into = "merged", survivor

    @precondition(lambda self: any(one.state == "merged" for one in self.accounts))
    @rule(number=PICK)
    def is_unmerged(self, number):
        merged = [one for one in self.accounts if one.state == "merged"]
        one = merged[number % len(merged)]
        answer = self.call("POST", f"/v1/accounts/{one.user_id}/merge/undo")
        assert answer.status_code == 200
        one.state, one.into = "active", None

    @precondition(lambda self: self.accounts)
    @rule(number=PICK, name=MAILBOXES)
    def moves_to_another_address(self, number, name):
        one, address = self.pick(number), self.address(name)
        answer = self.call("POST", f"/v1/accounts/{one.user_id}/email-changes", {"email": address})
        if self.refused(answer, one, "erased", "merged", "closed"):
            return
        holder = self.holder(address)
        others = [other for other in self.accounts if other.root is one and other.email not in (None, address)]
        is_first = not any(other.root is one and other.email for other in self.accounts)
        if holder is not None and holder is not one and (is_first or not self.yields(holder, one)):
            assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
            return
        done = is_first or one.email == address
        assert answer.status_code == (200 if done else 202)
        if done:
            one.email = address
            return
        old = one.email
        told = [other.email for other in others]
        self.do(confirm(self.service, address, "Please confirm your new email address"))
        if told:
            one.undo = self.do(link_to(self.service, told[0], "Your email address was changed")), old
        self.takes(one, address)

    @precondition(lambda self: any(one.undo for one in self.accounts))
    @rule(number=PICK)
    def takes_the_address_back(self, number):
        changed = [one for one in self.accounts if one.undo]
        one = changed[number % len(changed)]
        (link, old), one.undo = one.undo, None
        page = self.do(press(self.service, link)).page
        holder = None if old is None else self.holder(old)
        if one.state == "erased":
            assert page.status_code == 410
        elif holder is not None and holder is not one and not self.yields(holder, one):
            assert page.status_code == 409
        else:
            assert page.url.path == "/confirmed/email_undo"
            self.loses_password(one)
            if old is None:
                one.email = None
            else:
                self.takes(one, old)

    @precondition(lambda self: self.accounts)
    @rule(number=PICK)
    def closes(self, number):
        one = self.pick(number)
        answer = self.call("POST", f"/v1/accounts/{one.user_id}/close")
        if not self.refused(answer, one, "erased", "merged"):
            assert answer.status_code == 200
            one.state = "closed"

    @precondition(lambda self: self.accounts)
    @rule(number=PICK)
    def is_erased(self, number):
        one = self.pick(number)
        answer = self.call("POST", f"/v1/accounts/{one.user_id}/erase")
        if self.refused(answer, one, "erased", "merged"):
            return
        assert answer.status_code == 200
        for gone in [other for other in self.accounts if other.root is one]:
            gone.state, gone.email = "erased", None
        for gone in self.accounts:
            gone.into = None if gone.state == "erased" else gone.into

    @invariant()
    def history_is_whole(self):
        for one in self.accounts:
            entries = [(e, other) for other in self.accounts if other.root is one.root for e in other.entries]
            answer = self.call("GET", f"/v1/accounts/{one.user_id}/history?limit=200")
            summary = self.call("GET", f"/v1/accounts/{one.user_id}/summary")
            if one.state == "erased":
                assert (answer.status_code, summary.status_code) == (410, 410)
                continue
            found = {(item["reference"], item["user_id"]) for item in answer.json()["items"]}
            assert found == {(entry[0], other.user_id) for entry, other in entries}
            self.check_summary(summary.json(), [entry for entry, _ in entries], one.root)

    def check_summary(self, summary, entries, root):
        kinds = [kind for _, kind, _ in entries]
        money = [WORDS[kind] * amount for _, kind, amount in entries if amount is not None]
        assert summary["user_id"] == root.user_id
        assert summary["kind"] == root.kind
        assert (summary["entries"], summary["orders"]) == (len(kinds), kinds.count("order"))
        assert summary["open_tickets"] == max(0, kinds.count("ticket") - kinds.count("ticket_closed"))
        assert summary["amounts"] == ({"EUR": f"{sum(money):.2f}"} if money else {})

    @precondition(lambda self: self.accounts)
    @invariant()
    def every_user_id_answers(self):
        asked = {"user_ids": [one.user_id for one in self.accounts]}
        results = self.call("POST", "/v1/accounts/verifications", asked).json()["results"]
        words = {"active": "valid", "merged": "moved", "erased": "erased", "closed": "closed"}
        for one, result in zip(self.accounts, results, strict=True):
            assert result["status"] == words[one.state]
            assert result.get("moved_to") == (None if one.into is None else one.root.user_id)
            assert one.state in ("merged", "erased") or result["kind"] == one.kind

    @precondition(lambda self: self.accounts)
    @invariant()
    def every_address_has_one_account(self):
        rows = self.do(self.service.rows("SELECT email_key, user_id FROM account WHERE email_key IS NOT NULL"))
        mine = [(key, user_id) for key, user_id in rows if key.endswith(f"{self.run}@example.com")]
        wanted = {(one.email, one.user_id.replace("-", "")) for one in self.accounts if one.email is not None}
        assert len(mine) == len(wanted)
        assert set(mine) == wanted

    @invariant()
    def the_audit_finds_nothing(self):
        self.service.clock.advance(seconds=1)
        self.do(audited(self.service))


async def test_nothing_that_happens_to_an_account_loses_anything(service, caller):
    """REL-23, IDN-07, AUD-05: one model explains every answer, in whatever order it happens."""
    known = {"loop": asyncio.get_running_loop(), "service": service, "caller": caller}
    profile = settings(
        max_examples=12, stateful_step_count=16, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    machine = type("LifeHere", (Life,), known)
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=profile)
