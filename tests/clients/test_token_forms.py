"""The token endpoints take what the standards allow, and answer every refusal in OAuth's own form."""

import base64
import gzip

import pytest

from identity_service.clients import dependencies
from tests.clients.given import GRANT, a_client, token_of
from tests.conftest import BASE

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def post(service, content: str | bytes, path: str = "/oauth/token", **headers: str):
    return await service.http.post(path, content=content, headers={**FORM, **headers})


@pytest.mark.parametrize("form", [
    "grant_type=client_credentials&", "&grant_type=client_credentials", "grant_type=client_credentials&&scope=&",
    "grant_type=client_credentials&scope", "grant_type=client_credentials&=&", "scope=&grant_type=client_credentials&&",
])  # fmt: skip
async def test_separators_and_empty_parameters_in_a_form_do_not_count(service, form):
    """RFC 6749, 3.2: a parameter without a value counts as left out."""
    made = await a_client(service)
    basic = base64.b64encode(f"{made.client_id}:{made.client_secret}".encode()).decode()
    answer = await post(service, form, Authorization=f"Basic {basic}")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("form", ["", "&", "&&", "x", "=", "grant_type", "=&="])
async def test_a_form_without_a_parameter_is_an_invalid_request(service, form):
    answer = await post(service, form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def encoded(text: str) -> str:
    return "".join(f"%{ord(c):02X}" for c in text)


@pytest.mark.parametrize("write", [
    str, encoded, lambda text: encoded(text).lower(), lambda text: text.replace("_", "%5F").replace("-", "%2D"),
])  # fmt: skip
@pytest.mark.parametrize("scheme", ["Basic ", "basic ", "BASIC  ", "bAsIc    "])
async def test_basic_credentials_may_be_percent_encoded(service, write, scheme):
    """RFC 6749, 2.3.1: both parts are form-encoded first, as some libraries do and others do not."""
    made = await a_client(service)
    basic = base64.b64encode(f"{write(made.client_id)}:{write(made.client_secret)}".encode()).decode()
    answer = await post(service, "grant_type=client_credentials", Authorization=scheme + basic)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("scope", [
    "events:read accounts:read", "accounts:read events:read", "events:read events:read accounts:read",
    " events:read  accounts:read ", "accounts:read   accounts:read events:read",
])  # fmt: skip
async def test_scopes_are_a_set(service, scope):
    """RFC 6749, 3.3: their order does not matter."""
    made = await a_client(service, "events:read", "accounts:read", "audit:read")
    answer = await token_of(service, made, scope=scope)
    assert (answer.status_code, answer.json()["scope"]) == (200, "accounts:read events:read")


@pytest.mark.parametrize(("resources", "status"), [
    (f"resource={BASE}/v1", 200), (f"resource={BASE}/v1&resource={BASE}/v1", 200), ("resource=", 200),
    ("resource=https://orders.example.com", 400), (f"resource={BASE}", 400), (f"resource={BASE}/v1/", 400),
    (f"resource={BASE}/v1&resource=https://orders.example.com", 400), ("resource=urn:orders", 400),
])  # fmt: skip
async def test_a_token_for_another_resource_is_refused(service, resources, status):
    """RFC 8707, 2: not dropped without a word."""
    made = await a_client(service)
    basic = base64.b64encode(f"{made.client_id}:{made.client_secret}".encode()).decode()
    answer = await post(service, f"grant_type=client_credentials&{resources}", Authorization=f"Basic {basic}")
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["error"] == "invalid_target"
        assert f"{BASE}/v1" in answer.json()["error_description"]


REFUSED = {
    413: ("invalid_request", {"content": "grant_type=" + "x" * 70_000, "headers": FORM}),
    415: ("invalid_request", {"json": GRANT}),
    421: ("invalid_request", {"data": GRANT, "headers": {"Host": "evil.example"}}),
    405: ("invalid_request", {"method": "GET"}),
    403: ("invalid_request", {"data": GRANT, "headers": {"Sec-Fetch-Dest": "document"}}),
}


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
@pytest.mark.parametrize("status", REFUSED)
async def test_every_refusal_is_in_the_form_of_oauth(service, path, status):
    """RFC 6749, 5.2: a library reads `error`; `error_uri` leads to the words."""
    error, options = REFUSED[status]
    answer = await service.http.request(**{"method": "POST", "url": path, **options})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error_description"].isascii()
    assert not {'"', "\\"} & set(answer.json()["error_description"])
    assert (await service.http.get(answer.json()["error_uri"])).status_code == 200


async def test_a_compressed_form_is_refused_with_a_sentence(service):
    answer = await post(service, gzip.compress(b"grant_type=client_credentials"), **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]) == (415, "invalid_request")
    assert "uncompressed" in answer.json()["error_description"]
    assert answer.headers["Accept-Encoding"] == "identity"


async def test_too_many_wrong_secrets_are_told_in_the_form_of_oauth(service, monkeypatch):
    monkeypatch.setattr(dependencies, "WRONG_PER_CLIENT", "1/minute")
    made = await a_client(service)
    wrong = made._replace(client_secret="wrong")
    answers = [await token_of(service, wrong) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [401, 429]
    assert answers[1].json()["error"] == "temporarily_unavailable"
    assert int(answers[1].headers["Retry-After"]) > 0
