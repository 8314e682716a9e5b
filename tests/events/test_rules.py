"""Names that can be recorded, each told by some part of the service, and a seal that covers all there is."""

import ast
import functools
import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import identity_service
from identity_service.events import rules
from identity_service.messages.rules import TRANSITIONS
from tests.events import chain

PACKAGE = Path(identity_service.__file__).parent
AT = datetime(2026, 3, 1, 12, 30, 0, 250, tzinfo=UTC)
EVENT = {
    "public_id": "9b2fdd5b-1a3c-4b6e-9f6e-2f3d3a1b0c4d",
    "name": "account.registered",
    "user_id": "3W08K7QXM1C4",
    "actor": "client:cli_1",
    "occurred_at": AT,
    "data": {"kind": "consumer", "by": "email"},
}
CHANGES = {
    "public_id": "00000000-1a3c-4b6e-9f6e-2f3d3a1b0c4d",
    "name": "account.updated",
    "user_id": "000000000000",
    "actor": "operator",
    "occurred_at": AT + timedelta(microseconds=1),
    "data": {"kind": "consumer", "by": "nothing"},
}


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Every module of the package but the registry itself."""
    files = [file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "events" / "rules.py"]
    return {str(file.relative_to(PACKAGE)): ast.parse(file.read_text("utf-8")) for file in files}


def texts(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def literals() -> set[str]:
    return set().union(*(texts(tree) for tree in trees().values()))


def states_that_are_reached() -> set[str]:
    """States that a step, a statement or a notice in `messages/` moves a message to."""
    found = set()
    for file, tree in trees().items():
        if file.startswith("messages/"):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Transition"):
                    found |= set().union(*(texts(argument) for argument in node.args))
                if isinstance(node, ast.FunctionDef) and node.name == "state_after_feedback":
                    found |= texts(node)
            for text in texts(tree):
                for moved in re.findall(r"SET state = (?:'[a-z]+'|CASE.*?END)", text, re.DOTALL):
                    found |= set(re.findall(r"'([a-z]+)'", moved))
    return found & set(TRANSITIONS)


def composed() -> set[str]:
    """The names that `record_state_event` makes of a message's state."""
    (beginning,) = {
        node.values[0].value
        for node in ast.walk(trees()["messages/delivery/queue.py"])
        if isinstance(node, ast.JoinedStr) and getattr(node.values[0], "value", None) == "mail."
    }
    return {beginning + state for state in states_that_are_reached() - {"queued", "sending"}}


@pytest.mark.parametrize("name", ["account.invented", "", "account", "Account.registered", "account.registered "])
def test_an_event_that_nobody_listed_is_refused(name):
    """LOG-02: names come from one registry."""
    with pytest.raises(rules.UnknownEvent):
        rules.check_name(name)


@pytest.mark.parametrize("name", rules.NAMES)
def test_a_name_says_concept_and_what_happened(name):
    rules.check_name(name)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", name)
    assert len(rules.NAMES[name]) > 10


@pytest.mark.parametrize("name", rules.NAMES)
def test_each_listed_event_is_told_by_some_part_of_the_service(name):
    """LOG-02: a name in the registry is a promise to those who wait for it."""
    assert name in literals() | composed()


def test_what_is_recorded_by_name_is_listed():
    """LOG-02."""
    given = {
        node.args[1].value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "events.record_event"
        if isinstance(node.args[1], ast.Constant)
    }
    assert "account.closed" in given
    assert given <= set(rules.NAMES)


def test_every_end_of_a_letter_has_its_event():
    assert {f"mail.{state}" for state in TRANSITIONS if state != "sending"} <= set(rules.NAMES)


def test_the_first_seals_are_known_for_ever():
    """AUD-02: whoever changes the recipe breaks every chain that was ever written."""
    assert rules.GENESIS.hex() == "1e814470b3b0f1d7298ad2d019d44ce6186cfaf3f06b0e48f3dfe4e08dd7d0a4"
    told = (
        b'{"actor":"client:cli_1","data":{"by":"email","kind":"consumer"},'
        b'"id":"9b2fdd5b-1a3c-4b6e-9f6e-2f3d3a1b0c4d","name":"account.registered","occurred_at":"2026-03-01T12:30:00.000250+00:00","position":1,"user_id":"3W08K7QXM1C4"}'
    )
    assert rules.canonical(1, EVENT) == told
    assert rules.seal(rules.GENESIS, 1, EVENT) == hashlib.sha256(rules.GENESIS + told).digest()


@pytest.mark.parametrize("field", CHANGES)
def test_a_seal_covers_every_field(field):
    """AUD-02, AUD-03."""
    assert rules.seal(rules.GENESIS, 1, {**EVENT, field: CHANGES[field]}) != rules.seal(rules.GENESIS, 1, EVENT)


def test_a_seal_covers_the_position_and_everything_before():
    """AUD-02, AUD-03: moved, removed or put in between, it no longer holds."""
    first = rules.seal(rules.GENESIS, 1, EVENT)
    assert rules.seal(rules.GENESIS, 2, EVENT) != first
    assert rules.seal(first, 1, EVENT) != first


def test_an_event_about_nobody_is_told_from_one_about_somebody():
    assert rules.canonical(1, {**EVENT, "user_id": None}) != rules.canonical(1, {**EVENT, "user_id": ""})


@pytest.mark.parametrize("hours", [-11, 2, 14])
def test_a_moment_is_the_same_in_every_zone(hours):
    """The seal must not depend on the zone that a session speaks in."""
    elsewhere = {**EVENT, "occurred_at": AT.astimezone(timezone(timedelta(hours=hours)))}
    assert rules.seal(rules.GENESIS, 1, elsewhere) == rules.seal(rules.GENESIS, 1, EVENT)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="abcxyz_"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(alphabet="abcxyz_"), VALUES, max_size=4), st.integers(1, 2**62))
def test_anybody_can_recompute_a_seal(data, position):
    """AUD-02: canonical JSON is sorted keys and no blanks, so another language's library comes to the same bytes."""
    event = {**EVENT, "data": data}
    assert rules.seal(rules.GENESIS, position, event) == chain.seal(chain.GENESIS, position, event)
