"""A body has one meaning or none: what JSON libraries let pass is refused, and nothing of it is repeated (FACT-5)."""

import gzip
import json

import pytest

from tests.accounts.given import an_account

CANARY = "Hunter2-correct-horse"

NOT_JSON = {
    "nothing": b"",
    "half": b'{"email": "a@example.com"',
    "two": b"{} {}",
    "trailing comma": b'{"locale": "en",}',
    "single quotes": b"{'locale': 'en'}",
    "comment": b'{"locale": "en"} // x',
    "a key twice": b'{"email": "a@example.com", "email": "b@example.com"}',
    "a key twice, once escaped": b'{"email": "a@example.com", "\\u0065mail": "b@example.com"}',
    "a key twice inside": b'{"x": {"a": 1, "a": 1}}',
    "NaN": b'{"email": NaN}',
    "Infinity": b'{"email": -Infinity}',
    "1e400": b'{"email": 1e400}',
    "5000 digits": b'{"email": ' + b"1" * 5000 + b"}",
    "leading zero": b'{"email": 01}',
    "UTF-16": '{"locale": "en"}'.encode("utf-16"),
    "UTF-16 without mark": '{"locale": "en"}'.encode("utf-16-le"),
    "UTF-32": '{"locale": "en"}'.encode("utf-32"),
    "byte order mark": b'\xef\xbb\xbf{"locale": "en"}',
    "Latin-1": '{"display_name": "Jürgen"}'.encode("latin-1"),
    "overlong UTF-8": b'{"display_name": "\xc0\xaf"}',
    "half a surrogate pair": b'{"display_name": "\\ud800"}',
    "half a surrogate pair as a key": b'{"\\udfff": 1}',
    "a surrogate in UTF-8": b'{"display_name": "\xed\xa0\x80"}',
    "a bare NUL": b'{"display_name": "a\x00b"}',
    "a bare line feed": b'{"display_name": "a\nb"}',
    "a NUL behind it": b"{}\x00",
    "33 arrays deep": b'{"email": ' + b"[" * 33 + b"1" + b"]" * 33 + b"}",
    "20,000 arrays deep": b"[" * 20_000 + b"]" * 20_000,
    "10,000 objects deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
}
ROUTES = ["/v1/accounts", "/v1/accounts/search", "/v1/accounts/verifications"]


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k1"}], ids=["", "with key"])
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
async def test_what_can_be_read_in_two_ways_is_not_read(service, caller, body, path, key):
    """FACT-5, ATT-55, ASVS 1.1.1, 1.5.3 and 15.3.7."""
    refused = await caller.http.post(
        path, content=body, headers={**caller.headers, "Content-Type": "application/json", **key}
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_json")
    assert await service.rows("SELECT count(*) FROM account") == [(0,)]
    assert await service.rows("SELECT count(*) FROM idempotency_key") == [(0,)]


@pytest.mark.parametrize(("body", "said"), [
    (b'{"email": "a@example.com",}', "a trailing comma at line 1, column 26."),
    (b'{\n  "email": "a@example.com",\n}', "a trailing comma at line 2, column 27."),
    (b"{'locale': 'en'}", 'a name in double quotes, or "}", is expected at line 1, column 2.'),
    (b'{"email" "x"}', "a colon is expected at line 1, column 10."),
    (b"{} {}", "something stands behind the end at line 1, column 4."),
])  # fmt: skip
async def test_what_is_no_json_is_told_with_its_place(caller, body, said):
    headers = {**caller.headers, "Content-Type": "application/json"}
    refused = await caller.http.post("/v1/accounts", content=body, headers=headers)
    assert refused.json()["detail"] == f"The body isn't valid JSON: {said}"


async def test_a_json_text_is_decoded_once(caller):
    """ASVS 1.1.1: what was escaped twice stays escaped once."""
    made = await caller.post("/v1/accounts", {"display_name": r"&lt;\u0041%2540"})
    assert made.json()["display_name"] == r"&lt;\u0041%2540"


WRONG_SHAPES = {
    "an array": ([], ""),
    "a text": ("x", ""),
    "a number": (1, ""),
    "null": (None, ""),
    "an unknown field": ({"colour": "red"}, "/colour"),
    "an unknown field with a slash": ({"a/b~c": 1}, "/a~1b~0c"),
    "an address list": ({"email": ["a@example.com"]}, "/email"),
    "two addresses": ({"email": ["a@example.com", "b@example.com"]}, "/email"),
    "an address object": ({"email": {"": "a@example.com"}}, "/email"),
    "a form's way of lists": ({"email[]": "a@example.com"}, "/email[]"),
    "an address as a number": ({"email": 1}, "/email"),
    "an address as a great number": ({"email": 10**40}, "/email"),
    "an address as a fraction": ({"email": 1.5}, "/email"),
    "an address as true": ({"email": True}, "/email"),
    "a name as a list": ({"display_name": ["Anna"]}, "/display_name"),
    "a name as a number": ({"display_name": 7}, "/display_name"),
    "a name with NUL": ({"display_name": "a\0b"}, "/display_name"),
    "a name of 201 characters": ({"display_name": "x" * 201}, "/display_name"),
    "an address of 321 characters": ({"email": "x" * 321}, "/email"),
    "a language as a list": ({"locale": ["de"]}, "/locale"),
    "a password": ({"email": "a@example.com", "password": CANARY}, "/password"),
    "a state": ({"email": "a@example.com", "state": "active"}, "/state"),
}


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k1"}], ids=["", "with key"])
@pytest.mark.parametrize(("body", "pointer"), WRONG_SHAPES.values(), ids=WRONG_SHAPES.keys())
async def test_a_wrong_shape_is_refused_with_a_pointer(service, caller, body, pointer, key):
    """ATT-01, ATT-49, ASVS 15.3.5: "1", 1, true and [1] are not alike, and a list of addresses is no address."""
    headers = {**caller.headers, "Content-Type": "application/json", **key}
    refused = await caller.http.post("/v1/accounts", content=json.dumps(body), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert CANARY not in refused.text
    assert await service.rows("SELECT count(*) FROM account") == [(0,)]
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]


@pytest.mark.parametrize("email", ["a@example.com,b@example.com", "a@example.com;b@example.com",
                                   "a@example.com b@example.com", "a@example.com\nb@example.com",
                                   "a@example.com\0@example.org"])  # fmt: skip
async def test_two_addresses_in_one_text_are_no_address(service, caller, email):
    """ATT-01: never more than one recipient."""
    refused = await caller.post("/v1/accounts", {"email": email})
    assert (refused.status_code, refused.json()["code"]) == (422, "malformed_email_address")
    assert email not in refused.text
    assert await service.rows("SELECT count(*) FROM message") == [(0,)]


@pytest.mark.parametrize(
    "given",
    ["1", 1, True, 1.0, None, {"0": "1"}, [1], [True], [None], [["3W08-K7QX-M1C4"]], [{"id": "x"}], []],
    ids=str,
)
async def test_user_ids_are_a_list_of_texts_and_nothing_like_it(caller, given):
    """ASVS 15.3.5."""
    refused = await caller.post("/v1/accounts/verifications", {"user_ids": given})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")
    assert refused.json()["errors"][0]["pointer"].startswith("/user_ids")


async def test_a_thousand_ids_are_verified_and_one_more_is_refused(caller):
    """ATT-55."""
    whole = await caller.post("/v1/accounts/verifications", {"user_ids": ["x"] * 1000})
    assert (whole.status_code, len(whole.json()["results"])) == (200, 1000)
    refused = await caller.post("/v1/accounts/verifications", {"user_ids": ["x"] * 1001})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/user_ids")


@pytest.mark.parametrize("field", ["password", "hash", "email", "email_verified", "email_state", "kind", "user_id",
                                   "customer_since", "created_at", "consent", "marketing", "scopes", "state",
                                   "version", "merged_into", "sessions_valid_after", "has_password"])  # fmt: skip
async def test_a_general_change_cannot_touch_what_proves_something(service, caller, field):
    """ATT-49: such a field has its own route, or none; refused by name, and nothing is changed beside it."""
    user_id = await an_account(caller, email="a@example.com", display_name="Anna")
    before = await service.rows("SELECT * FROM account")
    refused = await caller.patch(f"/v1/accounts/{user_id}", {"display_name": "Eve", field: CANARY})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    assert CANARY not in refused.text
    assert await service.rows("SELECT * FROM account") == before


def padded(size: int) -> bytes:
    """Return JSON of exactly so many bytes: blanks count."""
    body = b'{"user_ids": ["x"]}'
    return body + b" " * (size - len(body))


LIMITS = {"/v1/accounts": 64 * 1024, "/v1/accounts/search": 64 * 1024, "/v1/accounts/verifications": 4 * 1024 * 1024}


@pytest.mark.parametrize("told", [True, False], ids=["with length", "chunked"])
@pytest.mark.parametrize(("path", "limit"), LIMITS.items())
async def test_each_route_takes_its_limit_and_not_one_byte_more(caller, path, limit, told):
    """ATT-55."""
    headers = {**caller.headers, "Content-Type": "application/json"}

    async def parts(body: bytes):
        for start in range(0, len(body), 8000):
            yield body[start : start + 8000]

    for size, expected in ((limit, {200, 422}), (limit + 1, {413})):
        body = padded(size)
        answer = await caller.http.post(path, content=body if told else parts(body), headers=headers)
        assert answer.status_code in expected, size
    assert answer.json()["code"] == "body_too_large"
    assert answer.json()["limit"] == limit


async def test_a_length_that_lies_is_not_believed(caller):
    """ATT-55: five bytes are told, 70,000 come."""

    async def much():
        for _ in range(70):
            yield b" " * 1000

    headers = {**caller.headers, "Content-Type": "application/json", "Content-Length": "5"}
    refused = await caller.http.post("/v1/accounts", content=much(), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "length", [b"\xb2", b"-1", b"+1", b"1.0", b"0x10", b"9" * 5000, b""], ids=lambda given: str(given[:9])
)
async def test_a_length_that_is_no_number_is_refused(caller, length):
    headers = {**caller.headers, "Content-Type": "application/json", "Content-Length": length}
    refused = await caller.http.post("/v1/accounts", content=b"{}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


OTHER_MEDIA = {
    "text": {"Content-Type": "text/plain"},
    "JSON as text": {"Content-Type": "text/json"},
    "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    "multipart": {"Content-Type": "multipart/form-data; boundary=x"},
    "a broken multipart": {"Content-Type": "multipart/form-data"},
    "merge patch": {"Content-Type": "application/merge-patch+json"},
    "a list": {"Content-Type": "application/json, text/plain"},
    "a long one": {"Content-Type": "application/json" + "x" * 5000},
    "none": {},
    "gzip": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    "deflate": {"Content-Type": "application/json", "Content-Encoding": "deflate"},
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("headers", OTHER_MEDIA.values(), ids=OTHER_MEDIA.keys())
async def test_another_media_type_is_refused(service, caller, path, headers):
    """ATT-55, ATT-56, API-09, ASVS 3.5.2: nothing is unpacked, and multipart is not taken at all."""
    body = gzip.compress(b" " * 1_000_000) if "Content-Encoding" in headers else b'{"email": "a@example.com"}'
    refused = await caller.http.post(path, content=body, headers={**caller.headers, **headers})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert await service.rows("SELECT count(*) FROM account") == [(0,)]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_by_its_names_is_taken(caller, kind):
    made = await caller.http.post("/v1/accounts", content=b"{}", headers={**caller.headers, "Content-Type": kind})
    assert made.status_code == 201


async def test_two_media_types_are_none(caller):
    headers = [*caller.headers.items(), ("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    refused = await caller.http.post("/v1/accounts", content=b"{}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_where_none_belongs_is_refused(caller):
    headers = {**caller.headers, "Content-Type": "application/json"}
    refused = await caller.http.request("GET", "/v1/events", content=b"{}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


async def test_many_keys_are_refused_briefly(caller):
    """ATT-55: 5,000 unknown fields get an answer of twenty lines."""
    refused = await caller.post("/v1/accounts", {f"k{number}": 1 for number in range(5000)})
    assert refused.status_code == 422
    assert len(refused.json()["errors"]) == 20


@pytest.mark.parametrize(
    "body",
    [
        {"email": CANARY},
        {"email": f"{CANARY}@"},
        {"display_name": CANARY + "\0"},
        {"locale": CANARY},
        {"external_ref": [CANARY]},
        {"email": {"password": CANARY}},
    ],
    ids=str,
)
async def test_what_came_in_by_mistake_does_not_come_out(caller, body):
    """API-01, ATT-59: a password in the wrong field is not repeated."""
    for answer in [
        await caller.post("/v1/accounts", body),
        await caller.post("/v1/accounts/search", body),
        await caller.http.post(
            "/v1/accounts",
            content=json.dumps(body).encode()[:-1],
            headers={**caller.headers, "Content-Type": "application/json"},
        ),
    ]:
        assert answer.status_code in (400, 422)
        assert CANARY not in answer.text
        assert CANARY not in str(answer.headers)


async def test_who_acts_is_never_read_from_the_body(service):
    """ATT-52."""
    refused = await service.http.post("/v1/accounts", json={"user_id": "3W08-K7QX-M1C4", "client_id": "cli_1"})
    assert (refused.status_code, refused.json()["code"]) == (401, "missing_token")
