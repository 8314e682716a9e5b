"""The OpenAPI document is fresh, true about errors, the same on every machine, and breaks nobody who relies on it."""

import ast
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest

from identity_service import app
from identity_service.web import problems
from identity_service.web import scopes as web_scopes
from identity_service.web.schemas import RequestModel
from tests.contracts import breaking, name_of, with_answers

FOLDER = Path(__file__).parent.parent / "openapi"
KEPT, RELEASED = FOLDER / "openapi.json", FOLDER / "released.json"
OAUTH = {"invalid_request", "invalid_scope", "invalid_target", "unsupported_grant_type", "invalid_client"}
"""Errors in OAuth's own form (RFC 6749, 5.2)."""


@pytest.fixture(scope="module")
def document() -> dict:
    return with_answers(json.loads(app.openapi_document()))


def operations(document: dict) -> list[tuple[str, str, dict]]:
    return [(path, method, told) for path, ways in document["paths"].items() for method, told in ways.items()]


def test_the_kept_document_is_fresh():
    same = KEPT.read_text(encoding="utf-8") == app.openapi_document() + "\n"
    assert same, "openapi/openapi.json is not what the code says: run `make openapi`"


def test_the_document_is_the_same_under_every_hash_seed():
    said = set()
    for seed in ("0", "1", "4294967295"):
        program = "from identity_service import app; print(app.openapi_document())"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Pacific/Chatham", "IDENTITY_PORT": "1"}
        said.add(
            subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout
        )
    assert said == {KEPT.read_bytes()}


def test_every_documented_error_exists_with_that_status(document):
    """API-10: a code in the document is a class in the code."""
    known = {problem.code(): problem for problem in problems.all_problems()}
    seen = set()
    for path, method, told in operations(document):
        for status, answer in told["responses"].items():
            for code in re.findall(r"`([a-z_]+)`:", answer["description"]):
                if code in OAUTH:
                    continue
                assert known[code].status == int(status), f"{method} {path}: {code}"
                assert known[code].title() in answer["description"]
                seen.add(code)
    assert seen >= {
        "malformed_json",
        "unknown_user_id",
        "database_unavailable",
        "missing_token",
        "idempotency_key_reused",
    }


def test_every_error_has_a_sentence_and_a_code_of_its_own():
    """Two classes with one code would be told apart by nobody."""
    found = _all(problems.Problem)
    assert len({problem.code() for problem in found}) == len(found)
    for problem in found:
        assert problem.title().endswith((".", "?")), problem
        assert 400 <= problem.status < 600


def _all(root: type) -> list[type]:
    return [root, *(deeper for one in root.__subclasses__() for deeper in _all(one))]


def test_every_error_is_told_as_a_problem(document):
    """API-01."""
    for path, method, told in operations(document):
        for status, answer in told["responses"].items():
            if int(status) >= 400 and not path.startswith("/oauth"):
                assert list(answer["content"]) == ["application/problem+json"], f"{method} {path} {status}"


def test_every_door_for_services_names_its_scope(document):
    """API-10."""
    for path, method, told in operations(document):
        if path.startswith("/v1/") and told["security"] != []:
            ((scopes,),) = [list(way.values()) for way in told["security"]]
            assert scopes, f"{method} {path}"
            assert set(scopes) <= set(web_scopes.SCOPES)
            assert {"401", "403", "422", "503"} <= set(told["responses"])


def test_no_address_stands_in_a_path_or_a_query(document):
    """They end in access logs."""
    for _, _, told in operations(document):
        for parameter in told.get("parameters", []):
            assert not re.search("mail|address|password|code|token|secret", parameter["name"])


def test_names_are_the_functions_and_pages_stay_out(document):
    names = [told["operationId"] for _, _, told in operations(document)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names)
    assert not [
        path for path in document["paths"] if path.startswith(("/docs", "/livez", "/static", "/problems", "/dev"))
    ]


def test_what_comes_in_is_closed_and_what_goes_out_is_whole(document):
    """Unknown fields are refused; of an answer every field is always there, or has a default that says it may lack."""
    schemas = document["components"]["schemas"]
    taken = set()
    for _, _, told in operations(document):
        for content in told.get("requestBody", {}).get("content", {}).values():
            taken.add(content["schema"].get("$ref", "").rsplit("/", 1)[-1])
    for name in taken - {""}:
        assert schemas[name]["additionalProperties"] is False, name


def test_nothing_is_taken_back_that_was_released(document):
    """A released contract only grows; what must go is announced and goes with the next major version."""
    released = RELEASED if RELEASED.exists() else KEPT
    assert breaking(with_answers(json.loads(released.read_text(encoding="utf-8"))), document) == []


def _drop_path(d):
    del d["paths"]["/v1/accounts/search"]


def _drop_method(d):
    del d["paths"]["/v1/accounts/{user_id}"]["patch"]


def _require_field(d):
    d["components"]["schemas"]["NewAccount"]["required"] = ["email"]


def _drop_field(d):
    del d["components"]["schemas"]["NewAccount"]["properties"]["locale"]


def _drop_answered_field(d):
    del d["components"]["schemas"]["AccountView"]["properties"]["version"]


def _answer_null(d):
    d["components"]["schemas"]["AccountView"]["properties"]["version"] = {
        "anyOf": [{"type": "integer"}, {"type": "null"}]
    }


def _drop_value(d):
    d["components"]["schemas"]["ConsentChange"]["properties"]["channel"]["enum"].remove("paper")


def _drop_status(d):
    del d["paths"]["/v1/accounts"]["post"]["responses"]["201"]


def _drop_parameter(d):
    d["paths"]["/v1/events"]["get"]["parameters"].pop()


def _require_header(d):
    d["paths"]["/v1/accounts"]["post"]["parameters"][0]["required"] = True


def _other_scope(d):
    d["paths"]["/v1/events"]["get"]["security"][0]["clientCredentials"] = ["mail:operate"]


def _fewer_ids(d):
    d["components"]["schemas"]["VerificationRequest"]["properties"]["user_ids"]["maxItems"] = 100


def _number_for_text(d):
    d["components"]["schemas"]["RegisteredEvent"]["properties"]["id"]["type"] = "integer"


BREAKS = [_drop_path, _drop_method, _require_field, _drop_field, _drop_answered_field, _answer_null, _drop_value,
          _drop_status, _drop_parameter, _require_header, _other_scope, _fewer_ids, _number_for_text]  # fmt: skip


@pytest.mark.parametrize("change", BREAKS, ids=lambda change: change.__name__.strip("_"))
def test_the_comparison_finds_a_planted_break(document, change):
    changed = copy.deepcopy(document)
    change(changed)
    assert breaking(document, changed) != []


def test_the_comparison_lets_growth_pass(document):
    grown = copy.deepcopy(document)
    schemas = grown["components"]["schemas"]
    schemas["NewAccount"]["properties"]["birthday"] = {"type": "string"}
    schemas["AccountView"]["properties"]["colour"] = {"type": "string"}
    schemas["ConsentChange"]["properties"]["channel"]["enum"].append("pigeon")
    grown["paths"]["/v1/new"] = {"get": {"responses": {"200": {"description": ""}}}}
    grown["paths"]["/v1/events"]["get"]["parameters"].append({"in": "query", "name": "more", "schema": {}})
    assert breaking(document, grown) == []


def test_every_header_of_an_answer_is_declared(document):
    """B7: what is not declared, no generated client can read."""
    declared = set(document["components"]["headers"])
    for path, method, told in operations(document):
        for status, answer in told["responses"].items():
            names = set(answer["headers"])
            assert names <= declared
            assert "X-Request-ID" in names
            assert ("Retry-After" in names) is (status in ("409", "429", "503")), f"{method} {path} {status}"
            assert ("WWW-Authenticate" in names) is (status in ("401", "403")), f"{method} {path} {status}"
    created = document["paths"]["/v1/accounts"]["post"]["responses"]["201"]["headers"]
    assert {"ETag", "Location", "Idempotency-Replayed"} <= set(created)


def test_every_group_of_operations_is_described(document):
    used = {tag for _, _, told in operations(document) for tag in told["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    assert document["servers"][0]["url"].startswith("https://")


def test_an_open_operation_says_that_it_is_open(document):
    """Else it looks like one that was forgotten."""
    paths = {path for path, _, told in operations(document) if told["security"] == []}
    assert paths == {
        "/oauth/jwks.json", "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration", "/.well-known/mail-transparency",
        "/v1/audit/checkpoints", "/v1/wordings", "/v1/wordings/{wording_id}", "/webhooks/{provider}",
        "/webhooks/texts/{carrier}", "/webhooks/texts/{carrier}/{message_id}",
    }  # fmt: skip


def test_an_answer_has_no_defaults(document):
    """B7: a reader would put them where a member was left out."""
    for name in ("AccountView", "VerificationList", "MalformedUserIdView", "MessageView", "RegisteredEvent"):
        for field in document["components"]["schemas"][name]["properties"].values():
            assert "default" not in field, name


def test_a_verification_is_told_apart_by_its_status(document):
    """B7: an unknown User ID has no kind."""
    schemas = document["components"]["schemas"]
    ways = schemas["VerificationList"]["properties"]["results"]["items"]
    assert ways["discriminator"]["propertyName"] == "status"
    found = {status: schemas[ref.rsplit("/", 1)[-1]] for status, ref in ways["discriminator"]["mapping"].items()}
    assert set(found) == {"valid", "closed", "unknown", "erased", "moved", "malformed"}
    assert "kind" not in found["unknown"]["properties"]
    assert "moved_to" in found["moved"]["required"]
    assert not {"symbol", "position"} & set(found["malformed"]["required"])


def members_sent() -> set[str]:
    """Every member that the product's code gives to a problem, as `raise UnknownPurpose(known=…)`."""
    classes, found = {problem.__name__ for problem in problems.all_problems()}, set()
    for path in sorted(Path(app.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in classes:
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return found - {"places", "detail"}


def test_a_problem_has_the_members_that_are_sent(document):
    members = set(document["components"]["schemas"]["Problem"]["properties"])
    assert len(members_sent()) > 8
    assert members_sent() <= members
    refused = document["paths"]["/v1/accounts/{user_id}"]["get"]["responses"]["422"]
    assert "malformed_user_id" in refused["x-problem-codes"]


def test_headers_are_spelled_as_people_write_them(document):
    spelled = {
        parameter["name"]
        for _, _, told in operations(document)
        for parameter in told.get("parameters", [])
        if parameter["in"] == "header"
    }
    assert spelled <= {"Idempotency-Key", "If-Match", "X-Clerk-ID", "X-Contact"}


def bodies(document: dict, *, answers: bool) -> list[tuple[str, dict, object]]:
    """Name, schema and example of every JSON body that is sent, or answered with success."""
    found = []
    for path, method, told in operations(document):
        sent = [told.get("requestBody", {})]
        said = [answer for status, answer in told["responses"].items() if status.startswith("2")]
        for body in said if answers else sent:
            for kind, content in body.get("content", {}).items():
                if kind == "application/json" and content.get("schema"):
                    found.append((f"{method} {path}", content["schema"], content["example"]))
    return found


def test_every_example_is_valid(document):
    """Section 7: a mock that answers with them answers what we would."""
    shown = [*bodies(document, answers=False), *bodies(document, answers=True)]
    assert len(shown) > 70
    for where, schema, example in shown:
        whole = {**schema, "components": document["components"]}
        assert list(jsonschema_rs.Draft202012Validator(whole, validate_formats=True).iter_errors(example)) == [], where
        assert '": "text"' not in json.dumps(example), (where, "a member without a value in examples.VALUES")


def test_every_example_of_a_request_is_taken(document):
    """A schema cannot say all that a model checks: exactly one of two members, a company that needs a number."""
    models = {model.__name__: model for model in _all(RequestModel)}
    sent = bodies(document, answers=False)
    for where, schema, example in sent:
        if "$ref" in schema:
            assert models[name_of(schema)].model_validate_json(json.dumps(example)), where
    assert len(sent) > 20


def test_an_operation_without_a_body_has_no_error_of_one(document):
    """Section 7: 413 and 415 stood on every GET."""
    for path, method, told in operations(document):
        said = " ".join(code for answer in told["responses"].values() for code in answer.get("x-problem-codes", ()))
        has_body = "requestBody" in told
        assert ("413" in told["responses"], "malformed_json" in said) in {
            (False, False),
            (has_body, has_body),
            (has_body, False),
        }, f"{method} {path}"
        assert "421" in told["responses"] or said == "", path


def test_errors_are_written_once():
    """Section 7: they were 56 % of the file, repeated inline."""
    told = [answer for _, _, op in operations(json.loads(app.openapi_document())) for answer in op["responses"].items()]
    errors = [answer for status, answer in told if status >= "400"]
    assert sum("$ref" in answer for answer in errors) > 0.8 * len(errors)


def test_no_answer_is_without_a_shape(document):
    for path, method, told in operations(document):
        for status, answer in told["responses"].items():
            for kind, content in answer.get("content", {}).items():
                if path != "/webhooks/{provider}":
                    assert content.get("schema") or content.get("itemSchema"), f"{method} {path} {status} {kind}"
