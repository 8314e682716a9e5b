"""What the data of each event may hold, and that an ID in it has the form of the API."""

import ast
import re
import uuid
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from identity_service.events import data, rules, schemas
from identity_service.values import user_ids
from tests.source import Function, modules

USER_ID = user_ids.issue(lambda below: below // 7)
SHOWN = user_ids.show(USER_ID)
CHANGE = {"change_id": str(uuid.UUID(int=1)), "verb": "erase"}


def test_each_event_has_a_model_of_its_data():
    """API-08: the contract tells which members every type has."""
    assert set(data.DATA) == set(rules.NAMES)


@pytest.mark.parametrize("given", [USER_ID, SHOWN, USER_ID.lower(), SHOWN.replace("-", " ")])
@pytest.mark.parametrize(
    ("name", "member", "others"),
    [
        ("account.merged", "into", {}),
        ("account.unmerged", "from", {"user_id": USER_ID}),
        ("account.unmerged", "user_id", {"from": USER_ID}),
        ("account.merge_requested", "duplicate", {"merge_id": uuid.UUID(int=1)}),
    ],
)
def test_a_user_id_in_an_event_has_dashes_whatever_was_given(name, member, others, given):
    assert data.format_data(name, {member: given, **others})[member] == SHOWN


@pytest.mark.parametrize("given", ["M45MHF", "M45-MHF", "m45 mhf"])
@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("contact.opened", {"desk": "consumer"}),
        ("contact.closed", {}),
        ("contact.handed_over", {"from": "consumer", "to": "business", "hand_overs": 1}),
        ("account.opened_by_staff", {"desk": "consumer", "reason_hash": "00"}),
        ("caller.checked", {"check_id": uuid.UUID(int=1), "matched": True}),
    ],
)
def test_the_number_of_a_contact_has_a_dash_whatever_was_given(name, others, given):
    assert data.format_data(name, {"contact": given, **others})["contact"] == "M45-MHF"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("account.closed", {"reason": "unknown member"}),
        ("account.merged", {}),
        ("account.merged", {"into": "not a User ID"}),
        ("account.merged", {"into": None}),
        ("account.sessions_ended", {"valid_after": "2026-03-01T12:00:00Z", "reason": "because"}),
        ("reset.requested", {"reset_id": "17"}),
        ("mail.accepted", {"message_id": str(uuid.UUID(int=1)), "kind": "reset", "to": "anna@example.com"}),
    ],
)
def test_data_that_the_contract_does_not_describe_is_refused(name, given):
    """AUD-05: a member that nobody described could be personal."""
    with pytest.raises((ValidationError, user_ids.MalformedUserId)):
        data.format_data(name, given)


def test_names_of_staff_are_hidden_in_data_too():
    told = {**CHANGE, "requested_by": "client:cli_1/anna"}
    assert data.hide_people("account.change_approved", told) == {**CHANGE, "requested_by": "client:cli_1"}
    assert data.hide_people("account.change_requested", CHANGE) == CHANGE


@pytest.mark.parametrize(
    ("actor", "hidden"),
    [
        ("client:cli_1/anna", "client:cli_1"),
        ("client:cli_1", "client:cli_1"),
        ("staff:anna", "staff"),
        ("staff", "staff"),
        ("customer", "customer"),
        ("worker", "worker"),
        ("operator", "operator"),
    ],
)
def test_an_actor_without_its_person(actor, hidden):
    assert rules.hide_person(actor) == hidden


def test_the_contract_has_one_schema_for_each_form_of_data():
    """The type tells a generated client which members there are."""
    described = schemas.EventList.model_json_schema()["$defs"]
    mapping = described["EventView"]["discriminator"]["mapping"]
    assert set(mapping) == set(rules.NAMES)
    for name, reference in mapping.items():
        view = described[reference.rpartition("/")[2]]["properties"]
        assert name in view["type"].get("enum", [view["type"].get("const")])
        assert view["data"] == {"$ref": f"#/$defs/{data.DATA[name].__name__}"}


def functions() -> Iterator[tuple[str, Function]]:
    for module in modules():
        for function in module.functions():
            yield module.path, function


def test_a_message_is_enqueued_after_the_event_that_it_is_about():
    """NOM-03: readers of the feed meet a cause before its effects."""
    found = []
    for path, function in functions():
        recorded, caused = {}, {}
        for call in ast.walk(function):
            if not isinstance(call, ast.Call):
                continue
            if ast.unparse(call.func).endswith("record_event") and isinstance(call.args[1], ast.Constant):
                recorded[call.args[1].value] = call.lineno
            for word in call.keywords:
                if word.arg == "cause" and isinstance(word.value, ast.Constant):
                    caused[word.value.value] = call.lineno
        found += [
            f"{path}: {function.name}: {name}"
            for name, line in caused.items()
            if name in recorded and recorded[name] > line
        ]
    assert found == []


def test_only_one_function_moves_the_moment_that_ends_sessions():
    """SES-04: whoever moves it tells the services."""
    moving = {
        f"{path}:{function.name}"
        for path, function in functions()
        if re.search(r"sessions_valid_after=|['\"]sessions_valid_after['\"]\]? ?[:=] ?now", ast.unparse(function))
    }
    assert moving == {"accounts/actions.py:end_sessions"}
