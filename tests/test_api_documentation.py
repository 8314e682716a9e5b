"""`/docs`: every operation has its anchor and examples, every name a place, and nothing is left of Markdown."""

import json
import re
import shlex

import pytest

from identity_service import app
from identity_service.web import api_documentation, pages


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(app.openapi_document())


@pytest.fixture(scope="module")
def page(document) -> str:
    return pages.documentation(document)


def operations(document: dict) -> list[api_documentation.Operation]:
    return [one for group in api_documentation.read_groups(document) for one in group.operations]


def test_the_page_lists_every_operation_and_error_with_an_anchor_and_links_no_other(document, page):
    anchors = re.findall(r' id="([^"]+)"', page)
    names = {told["operationId"] for ways in document["paths"].values() for told in ways.values()}
    assert len(anchors) == len(set(anchors))
    assert names <= set(anchors)
    assert {f"object-{name}" for name in document["components"]["schemas"]} <= set(anchors)
    codes = {failure.code for one in operations(document) for failure in one.failures}
    assert {f"error-{code}" for code in codes} <= set(anchors)
    assert {"error-email_taken", "error-database_unavailable"} <= set(anchors)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors) | {"main"}


def test_both_menus_list_every_group_and_operation(document, page):
    menus = re.findall(r"(?s)<nav .*?</nav>", page)
    assert len(menus) == 2
    for menu in menus:
        for tag in document["tags"]:
            assert f'href="#tag-{tag["name"]}"' in menu
        for one in operations(document):
            assert f'href="#{one.name}"' in menu


def test_every_operation_has_an_example_of_a_request_and_of_an_answer(document, page):
    assert page.count('<pre class="request">curl ') == len(operations(document)) > 60
    for one in operations(document):
        command = shlex.split(one.request.replace("\\\n", " "))
        assert command[0] == "curl", one.name
        assert not re.search(r"[{}]|None", next(word for word in command if word.startswith("https://"))), one.name
        assert one.answers, one.name
        assert all(example for *_, example in one.answers), one.name
        if "Content-Type: application/json" in command:
            json.loads(command[command.index("-d") + 1])


def test_what_is_needed_stands_in_the_example(document):
    found = {one.name: one.request for one in operations(document)}
    assert "-H 'X-Clerk-ID: clerk-7'" in found["open_contact"]
    assert "/v1/accounts/6WPP-C7QF-7FF6/merge'" in found["merge_accounts"]
    assert "-d 'grant_type=client_credentials'" in found["issue_token"]
    assert '-u "$CLIENT_ID:$CLIENT_SECRET"' in found["issue_token"]
    assert "Authorization" not in found["list_wordings"]


def test_nothing_of_markdown_and_of_json_schema_is_left(page):
    assert "`" not in page
    assert "string" not in re.sub(r"(?s)<pre.*?</pre>", "", page)


def test_types_are_said_in_words(document):
    (one,) = [one for one in operations(document) if one.name == "register_account"]
    ((_, type_, members),) = one.body
    assert type_ == "`NewAccount`"
    assert {row.name: row.type for row in members}[
        "display_name"
    ] == "text, at most 200 characters, may be missing or null"
    (wait,) = [row for row in _named(document, "list_events").parameters if row.name == "wait"]
    assert wait.type == "whole number from 0 to 30, may be missing, default `0`"


def _named(document: dict, name: str) -> api_documentation.Operation:
    return next(one for one in operations(document) if one.name == name)


def test_every_parameter_is_explained(document):
    for one in operations(document):
        assert [row.name for row in one.parameters if not row.text] == [], one.name
