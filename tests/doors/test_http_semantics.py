"""HTTP as its standard has it: HEAD, conditional requests, small differences in writing, and what is not read."""

import gzip
import zlib

import pytest

from tests.accounts.given import an_account
from tests.doors.test_server import HEAD, port, say, statuses  # noqa: F401 (`port` is a fixture)
from tests.mail.given import put


async def test_head_is_answered_like_get_without_a_body(service, caller):
    """RFC 9110, 9.3.2: every GET route, refusals included; the body alone is left out."""
    user_id = await an_account(caller, email="anna@example.com")
    paths = ["/", "/signin", "/reset", "/me", "/livez", "/readyz", "/docs", "/openapi.json", "/static/style.css",
             "/oauth/jwks.json", "/.well-known/oauth-authorization-server", "/problems/unknown_path", "/nothing",
             f"/v1/accounts/{user_id}", "/v1/accounts/x", "/v1/events", "/v1/events?colour=red"]  # fmt: skip
    for path in paths:
        for headers in (caller.headers, {}):
            whole = await service.http.get(path, headers=headers)
            head = await service.http.head(path, headers=headers)
            assert (head.status_code, head.content) == (whole.status_code, b""), path
            assert set(head.headers) - {"set-cookie"} == set(whole.headers) - {"set-cookie"}, path
            for name in ("content-type", "content-length", "etag", "cache-control", "location", "www-authenticate"):
                assert head.headers.get(name) == whole.headers.get(name) or whole.status_code >= 400, (path, name)


async def test_head_of_a_stream_ends_at_once(service, caller):
    message = await put(service)
    answer = await service.http.head(f"/v1/messages/{message}/stream", headers=caller.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/event-stream")


async def test_a_request_by_head_is_logged_as_one(service, log):
    log.configure()
    await service.http.head("/livez")
    assert [(line["method"], line["route"]) for line in log.lines] == [("HEAD", "/livez")]


@pytest.mark.parametrize("request_", [
    b"HEAD /livez HTTP/1.1\r\n" + HEAD, b"HEAD /signin HTTP/1.1\r\n" + HEAD,
    b"HEAD /static/style.css HTTP/1.1\r\n" + HEAD,
])  # fmt: skip
async def test_the_server_sends_no_body_with_head(port, request_):  # noqa: F811
    answer = await say(port, request_ + b"Connection: close\r\n\r\n")
    assert statuses(answer) == [200]
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize("head", [b"HTTP/1.0\r\n", b"HTTP/1.1\r\nConnection: close\r\n", b"HTTP/1.0\r\nHost:\r\n",
                                  b"HTTP/1.0\r\nHost: 10.0.0.7:8080\r\n"])  # fmt: skip
async def test_a_probe_that_names_no_host_is_told_the_health(port, path, head):  # noqa: F811
    """A load balancer of HTTP/1.0."""
    answer = await say(port, b"GET " + path.encode() + b" " + head + b"\r\n")
    assert statuses(answer) == [200]
    assert b'"status":"ok"' in answer


async def test_a_body_is_sent_after_a_go_ahead(port, caller):  # noqa: F811
    """RFC 9110, 10.1.1."""
    body = b'{"user_ids": ["x"]}'
    head = (
        b"POST /v1/accounts/verifications HTTP/1.1\r\n" + HEAD + b"Expect: 100-continue\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n"
        % (len(body), caller.token.encode())
    )
    assert statuses(await say(port, head, body)) == [100, 200]


KNOWN = ['"1"', 'W/"1"', '"7", "1"', '"x",W/"1"', "*", ' "1" ', '"1","2" , W/"3"']
UNKNOWN = ['"2"', 'W/"2"', '"11"', "1", '""', "x", '"2", "3"', ""]


@pytest.mark.parametrize("tag", KNOWN)
async def test_an_answer_that_is_known_is_not_sent_again(caller, tag):
    """RFC 9110, 13.1.2 and 15.4.5."""
    user_id = await an_account(caller)
    for method in ("GET", "HEAD"):
        answer = await caller.http.request(
            method, f"/v1/accounts/{user_id}", headers={**caller.headers, "If-None-Match": tag}
        )
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", '"1"')
        assert not {"content-type", "content-length"} & set(answer.headers)


@pytest.mark.parametrize("tag", UNKNOWN)
async def test_another_tag_gets_the_whole_answer(caller, tag):
    user_id = await an_account(caller)
    answer = await caller.get(f"/v1/accounts/{user_id}", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)


async def test_a_refusal_is_sent_whatever_is_known(service, caller):
    user_id = await an_account(caller)
    for path, headers in ((f"/v1/accounts/{user_id}", {}), ("/v1/accounts/x", caller.headers)):
        answer = await service.http.get(path, headers={**headers, "If-None-Match": "*"})
        assert answer.status_code in (401, 422)


@pytest.mark.parametrize(("tags", "status"), [
    ("*", 200), (" * ", 200), ('"1"', 200), ('"7", "1"', 200), ('"1","2","3"', 200), ('W/"9" , "1"', 200), ("1", 200),
    ('"2"', 412), ('"2", "3"', 412), ('W/"1"', 412), ("x", 412), ('"x", ""', 412), (",", 412), ('"11"', 412),
])  # fmt: skip
async def test_a_change_is_based_on_one_of_the_listed_versions(caller, tags, status):
    """API-04; RFC 9110, 13.1.1: a weak tag matches nothing here."""
    user_id = await an_account(caller)
    answer = await caller.patch(f"/v1/accounts/{user_id}", {"display_name": "Anna"}, headers={"If-Match": tags})
    assert answer.status_code == status
    path, company = f"/v1/accounts/{user_id}/business", {"company_name": "Muster", "country": "DE"}
    listed = tags.replace("1", str(answer.json()["version"]), 1) if status == 200 else tags
    made = await caller.http.put(path, json=company, headers={**caller.headers, "If-Match": listed})
    assert made.status_code == status


@pytest.mark.parametrize("path", ["/signin", "/reset", "/receipt", "/reset/choose", "/confirm", "/docs", "/livez"])
async def test_a_slash_behind_a_page_is_ignored(service, path):
    plain = await service.http.get(path)
    for slashes in ("/", "//"):
        answer = await service.http.get(path + slashes)
        assert (answer.status_code, answer.headers.get("location")) == (
            plain.status_code,
            plain.headers.get("location"),
        )


@pytest.mark.parametrize("query", [
    "utm_source=newsletter&utm_medium=email", "gclid=1", "fbclid=a&fbclid=b", "mc_eid=x&utm_source", "colour=%00",
    "a=%ff", "ref[]=1", "%00=1", "=", "x" * 2000,
])  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/signin", "/reset", "/receipt", "/console/signin"])
async def test_what_an_advertisement_appends_to_a_page_is_ignored(service, path, query):
    plain, tracked = await service.http.get(path), await service.http.get(f"{path}?{query}")
    assert tracked.status_code == plain.status_code == 200


@pytest.mark.parametrize("write", [
    lambda text: text.replace("-", "%2D"), lambda text: "".join(f"%{ord(c):02X}" for c in text),
    lambda text: "".join(f"%{ord(c):02x}" for c in text.lower()), lambda text: text.replace("-", "%20"),
    lambda text: text.replace("-", ""), lambda text: f"%20{text}%20",
])  # fmt: skip
async def test_a_user_id_in_a_path_may_be_percent_encoded(caller, write):
    """RFC 3986, 2.3: encoded and plain are the same path."""
    user_id = await an_account(caller)
    answer = await caller.get(f"/v1/accounts/{write(user_id)}")
    assert (answer.status_code, answer.json()["user_id"]) == (200, user_id)


@pytest.mark.parametrize("sign", ["%00", "%FF", "%C0%AF", "%ED%A0%80", "%0A", "%7F", "%F0%9F%98%80", "%E2%80%8B%00"])
@pytest.mark.parametrize("path", ["/v1/accounts/{}", "/v1/contacts/{}", "/v1/resets/{}", "/v1/messages/{}",
                                  "/reset/{}", "/signin/{}", "/messages/{}/stream", "/confirm/{}",
                                  "/problems/{}", "/{}"])  # fmt: skip
async def test_no_sign_in_a_path_is_an_error_of_ours(caller, path, sign):
    answer = await caller.get(path.format(sign))
    assert answer.status_code < 500, answer.text


BODY = b'{"email": "anna@example.com"}'
COMPRESSED = {
    "gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY), "br": b"\x0b\x0e\x80", "zstd": b"(\xb5/\xfd",
    "GZIP": gzip.compress(BODY), "identity, gzip": gzip.compress(BODY), "x-gzip": b"",
}  # fmt: skip
TAKING = [
    ("POST", "/v1/accounts", "application/json"), ("PATCH", "/v1/accounts/x", "application/merge-patch+json"),
    ("POST", "/v1/accounts/verifications", "application/json"),
    ("POST", "/signin", "application/x-www-form-urlencoded"),
    ("POST", "/webhooks/postmark", "application/json"), ("POST", "/webhooks/dsn", "message/rfc822"),
    ("POST", "/webhooks/ses", "text/plain"),
]  # fmt: skip


@pytest.mark.parametrize("coding", COMPRESSED)
@pytest.mark.parametrize(("method", "path", "kind"), TAKING)
async def test_a_compressed_body_is_refused_with_a_sentence(caller, method, path, kind, coding):
    """RFC 9110, 15.5.16: and the answer says which coding is read."""
    headers = {**caller.headers, "Content-Type": kind, "Content-Encoding": coding}
    refused = await caller.http.request(method, path, content=COMPRESSED[coding], headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert "uncompressed" in refused.json()["detail"]
    assert refused.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "Identity", "", " identity "])
async def test_a_body_that_says_that_it_is_plain_is_read(caller, coding):
    headers = {**caller.headers, "Content-Encoding": coding}
    assert (await caller.http.post("/v1/accounts", json={}, headers=headers)).status_code == 201


@pytest.mark.parametrize("kind", ["application/merge-patch+json", "application/json", "Application/Merge-Patch+JSON",
                                  "application/merge-patch+json; charset=utf-8"])  # fmt: skip
async def test_a_change_may_be_sent_as_a_merge_patch(caller, kind):
    """RFC 7396: null removes a name; what is not named stays."""
    user_id = await an_account(caller, display_name="Anna", locale="de")
    headers = {**caller.headers, "Content-Type": kind}
    changed = await caller.http.patch(f"/v1/accounts/{user_id}", content=b'{"display_name": null}', headers=headers)
    assert (changed.status_code, changed.json()["display_name"], changed.json()["locale"]) == (200, None, "de")


async def test_a_merge_patch_is_for_changes_alone(caller):
    headers = {**caller.headers, "Content-Type": "application/merge-patch+json"}
    refused = await caller.http.post("/v1/accounts", content=b"{}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("write", ["Bearer  {}", "bearer {}", "BEARER {}", "bEaReR    {}", "Bearer {} "])
async def test_a_bearer_token_is_read_in_any_case_and_after_any_blanks(service, caller, write):
    """RFC 9110, 11.1 and 11.4."""
    answer = await service.http.get("/v1/events", headers={"Authorization": write.format(caller.token)})
    assert answer.status_code == 200


@pytest.mark.parametrize("write", ["Bearer{}", "Bearer {} {}", "Basic {}", "{}", "Bearer\t{}", "Bearer, {}", "Bearer "])
async def test_what_is_no_bearer_token_is_none(service, caller, write):
    answer = await service.http.get("/v1/events", headers={"Authorization": write.format(caller.token, "x")})
    assert answer.status_code == 401
