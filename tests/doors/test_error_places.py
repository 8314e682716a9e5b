"""A refusal says where: a pointer that leads to a place in the body, or the parameter; in words of our own."""

import pytest

from identity_service.errors import Problem
from identity_service.web import problems
from tests.accounts.given import an_account
from tests.life.given import an_entry

MANY = "x" * 3000


def at(document, pointer: str):
    """Follow a pointer as RFC 6901 has it; KeyError or IndexError where it leads nowhere."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


BODIES = {
    "a missing member": ("/v1/contacts", {}, "", "missing"),
    "an unknown member": ("/v1/accounts", {"colour": 1}, "/colour", "unknown"),
    "another type": ("/v1/accounts", {"email": 1}, "/email", "wrong_type"),
    "a list": ("/v1/accounts/verifications", {"user_ids": "x"}, "/user_ids", "wrong_type"),
    "an item": ("/v1/accounts/verifications", {"user_ids": ["x", 7]}, "/user_ids/1", "wrong_type"),
    "too many": ("/v1/accounts/verifications", {"user_ids": ["x"] * 1001}, "/user_ids", "too_long"),
    "too few": ("/v1/accounts/verifications", {"user_ids": []}, "/user_ids", "too_short"),
    "a long text": ("/v1/accounts", {"display_name": MANY}, "/display_name", "too_long"),
    "a language that is none": ("/v1/accounts", {"locale": "d!"}, "/locale", "malformed"),
    "a value that is none": (
        "/v1/accounts/6WPP-C7QF-7FF6/caller-checks", {"contact": "204-118", "purpose": "fax"}, "/purpose",
        "not_allowed",
    ),
    "a sign": ("/v1/accounts", {"display_name": "a\tb"}, "/display_name", "malformed"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "pointer", "code"), BODIES.values(), ids=BODIES.keys())
async def test_a_pointer_leads_to_a_place_in_the_body(caller, path, body, pointer, code):
    """RFC 6901; RFC 9457, 3: also where a model has several ways."""
    refused = await caller.post(path, body, headers={"X-Clerk-ID": "ada"})
    assert refused.json()["code"] == "invalid_shape", refused.text
    errors = refused.json()["errors"]
    for error in errors:
        if len(error["pointer"]) < 100:
            at(body, error["pointer"])
        assert error["code"] in problems.SHAPE_CODES
    if pointer is not None:
        assert (pointer, code) in {(error["pointer"], error["code"]) for error in errors}
    assert len({(error["pointer"], error["code"], error["detail"]) for error in errors}) == len(errors)


ENTRIES = {
    "a missing member": ({"reference": "1"}, "the entry: "),
    "an unknown member": ({**an_entry("1"), "a/b": 1}, "/a~1b: "),
    "a moment": (an_entry("1", occurred_at=1), "/occurred_at: "),
    "a way of a union": ({**an_entry("1"), "details": {"lines": ["a", "b"]}}, "/details/lines: "),
    "a way of a union deeper": ({**an_entry("1"), "details": {"a~b": {"c": 1}}}, "/details/a~0b: "),
}


@pytest.mark.parametrize(("entry", "place"), ENTRIES.values(), ids=ENTRIES.keys())
async def test_an_entry_of_a_batch_is_refused_alone_with_the_place(caller, entry, place):
    """B12, B15: the others are added."""
    path = f"/v1/accounts/{await an_account(caller)}/history"
    answer = await caller.post(path, {"entries": [an_entry("0"), entry]})
    added, refused = answer.json()["results"]
    assert (added["status"], refused["status"], refused["code"]) == ("added", "refused", "invalid_shape")
    assert place in refused["detail"]


async def test_a_missing_member_is_named(caller):
    refused = await caller.post("/v1/contacts", {}, headers={"X-Clerk-ID": "ada"})
    assert "desk is missing." in [error["detail"] for error in refused.json()["errors"]]


PARAMETERS = {
    "query": ("/v1/events?limit=0", {}, "limit", "too_small"),
    "a great number": ("/v1/events?limit=201", {}, "limit", "too_large"),
    "no number": ("/v1/events?limit=many", {}, "limit", "wrong_type"),
    "a long cursor": ("/v1/events?after=" + "x" * 300, {}, "after", "too_long"),
    "path": ("/v1/messages/x", {}, "message_id", "malformed"),
    "header": ("/v1/accounts/search", {"X-Clerk-ID": "x" * 65}, "X-Clerk-ID", "too_long"),
}


@pytest.mark.parametrize(("path", "headers", "name", "code"), PARAMETERS.values(), ids=PARAMETERS.keys())
async def test_a_parameter_is_named_with_its_kind(caller, path, headers, name, code):
    if headers:
        refused, kind = await caller.post(path, {"external_ref": "1"}, headers=headers), "header"
    else:
        refused, kind = await caller.get(path), "query" if "?" in path else "path"
    (error,) = refused.json()["errors"]
    assert (error["parameter"], error["in"], error["code"]) == (name, kind, code)
    assert "pointer" not in error


async def test_a_title_names_the_kind_and_the_detail_is_the_sentence(caller):
    """RFC 9457, 3.1.3 and 3.1.4: the title is the same in every case of a kind."""
    problem = (await caller.get("/v1/accounts/x")).json()
    assert problem["title"] == "Malformed user ID"
    assert problem["detail"].endswith(".")
    assert problem["detail"] != problem["title"]


def test_every_title_is_short():
    titles = [kind.short_title() for kind in problems.all_problems(Problem)]
    assert all(2 < len(title) <= 50 and title[0].isupper() and not title.endswith(".") for title in titles)
    assert len(set(titles)) == len(titles)
