"""A log line is one line of JSON in UTC that says what happened; it holds no secret and no address."""

import logging
import re
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from identity_service import logs
from tests.accounts.given import an_account

SECRETS = {
    "address": "canary.address@example.com",
    "token": "canary-token-0123456789",
    "secret": "canary-secret-0123456789",
    "password": "canary-password-1",
    "cookie": "canary-cookie-1",
    "header": "canary-header-1",
    "query": "canary-query-1",
    "name": "Canary Person",
    "code": "canary-code-1",
    "key": "canary-key-1",
    "path": "canary-path-1",
}
NASTY = {
    "line feed": "a\nb",
    "return": 'a\r\n{"event": "forged"}',
    "ANSI": "\x1b[31mred\x1b[0m",
    "bell": "\x07",
    "NUL": "a\x00b",
    "next line": "a\u0085b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "control sequence introducer": "\x9b31m",
    "half a character": "a\ud800b",
    "quotes": '"}\\',
    "a megabyte": "x" * 1_000_000,
}


async def everything(service, caller) -> str:
    """Call every kind of door, well and badly, with canaries wherever a caller can put something."""
    s = SECRETS
    user_id = await an_account(caller, email=s["address"], display_name=s["name"], external_ref="canary ref")
    await caller.post("/v1/accounts", {"email": s["address"]}, headers={"Idempotency-Key": s["key"]})
    await caller.post("/v1/accounts", {"email": "x", "password": s["password"]})
    await caller.post("/v1/accounts", {"email": s["address"] + " x", "display_name": [s["name"]]})
    await caller.post("/v1/accounts/search", {"email": s["address"]})
    await caller.post("/v1/accounts/verifications", {"user_ids": [user_id, s["code"]]})
    await caller.get(f"/v1/accounts/{user_id}", headers={"Cookie": f"sid={s['cookie']}", "X-Other": s["header"]})
    await caller.get(f"/v1/events?after={s['query']}&email={s['address']}")
    await caller.get(f"/v1/accounts/{s['path']}")
    await caller.get(f"/{s['path']}?token={s['token']}")
    await caller.get("/v1/events", headers={"Host": s["header"]})
    await caller.get("/v1/events", headers={"Authorization": f"Bearer {s['token']}"})
    await caller.get("/v1/events", headers={"Cookie": s["cookie"], "X-Forwarded-For": s["header"]})
    await caller.http.post("/v1/accounts", content=s["password"].encode(), headers=caller.headers)
    await caller.http.request("BREW", f"/v1/accounts?{s['query']}", headers=caller.headers)
    form = {"grant_type": "client_credentials", "client_id": caller.client_id, "client_secret": s["secret"]}
    await service.http.post("/oauth/token", data=form)
    await service.http.post("/oauth/introspect", data={"token": s["token"]}, auth=("cli_x", s["secret"]))
    await service.http.post("/oauth/revoke", data={"token": s["token"]}, auth=(caller.client_id, caller.client_secret))
    await service.deliver()
    await service.seal()
    return user_id


FIELDS = {
    "event",
    "level",
    "timestamp",
    "version",
    "request_id",
    "method",
    "route",
    "status",
    "problem",
    "ms",
    "source",
}


async def test_every_line_of_a_run_is_one_line_of_json_in_utc(service, caller, log):
    """LOG-01, LOG-03; ASVS 16.2.1, 16.2.2, 16.2.4: when, what, who, where, how it ended."""
    await everything(service, caller)
    assert len(log.lines) >= 18
    for line in log.lines:
        assert line.keys() >= {"event", "level", "timestamp", "version"}
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", line["event"]), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
        assert abs(datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=2)
    answered = [line for line in log.lines if line["event"] == "request.answered"]
    assert len(answered) >= 18
    for line in answered:
        assert line.keys() >= FIELDS
        assert line["source"] == "198.51.100.7"
        assert (line["problem"] is None) or line["status"] >= 400
        if line["route"].startswith("/v1") and line["status"] < 300:
            assert line["client"] == caller.client_id


async def test_a_line_carries_the_id_of_the_answer(service, caller, log):
    answer = await caller.get("/v1/nothing", headers={"X-Request-ID": "abcdefgh-1"})
    assert answer.headers["X-Request-ID"] == "abcdefgh-1"
    assert log.lines[-1]["request_id"] == "abcdefgh-1"


async def test_no_secret_reaches_a_log(service, caller, log):
    """LOG-03: none of the canaries, nor a credential that was good, in any line of a run."""
    await everything(service, caller)
    for name, canary in SECRETS.items():
        assert canary.lower() not in log.text.lower(), name
    assert "canary" not in log.text.lower()
    assert "@" not in log.text
    for credential in (caller.token, caller.client_secret, service.database._url):
        assert credential not in log.text


async def test_what_libraries_say_is_written_in_the_same_form(log):
    """LOG-03, ATT-59: their words may hold an address or a URL with a password; of an exception its way is told."""
    foreign = logging.getLogger("some.library")
    foreign.warning("cannot reach %s for %s", "postgresql://app:canary@db.example/identity", SECRETS["address"])
    try:
        raise ValueError(f"Key (email)=({SECRETS['address']}) already exists, {SECRETS['password']}")
    except ValueError:
        foreign.exception("failed with %s", "canary@example.com")
        logs.log.error("request.failed", exc_info=True)
    assert "canary" not in log.text
    first, second, third = log.lines
    assert first["event"] == "cannot reach …@… for …@…"
    for line in (second, third):
        assert line["exception"][0] == "builtins.ValueError"
        assert "test_what_libraries_say" in line["exception"][1]


@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError, UnicodeDecodeError, ExceptionGroup, RuntimeError])
async def test_an_error_nobody_expected_is_a_500_without_its_words(service, caller, log, kind):
    """ATT-59, ASVS 13.4.2, 16.3.4, 16.5.1, 16.5.4: the caller gets an id, the log the way to it, neither the values."""
    canary = SECRETS["password"]
    made = {
        UnicodeDecodeError: lambda: UnicodeDecodeError("utf-8", canary.encode(), 0, 1, canary),
        ExceptionGroup: lambda: ExceptionGroup(canary, [ValueError(canary)]),
    }.get(kind, lambda: kind(canary))

    def broken():
        try:
            raise LookupError(canary)
        except LookupError as cause:
            raise made() from cause

    service.app.state.clock = broken
    answer = await caller.patch("/v1/accounts/3W08-K7QX-M1C4", {})
    status = 503 if kind is OSError else 500
    assert answer.status_code == status
    assert canary not in answer.text
    assert "Traceback" not in answer.text
    assert canary not in log.text
    if status == 500:
        failed, answered = log.lines
        assert failed["event"] == "request.failed"
        assert failed["request_id"] == answered["request_id"] == answer.json()["request_id"]
        assert "builtins.LookupError" in failed["exception"]
    assert (await service.http.get("/livez")).status_code == 200


@pytest.mark.parametrize("place", ["value", "event", "inside a list", "inside a mapping", "library", "exception"])
@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_whatever_is_written_stays_one_short_line(log, text, place):
    """LOG-04, ATT-61, ASVS 16.4.1: no line, no colour and no end of file can be brought in."""
    match place:
        case "value":
            logs.log.info("thing.happened", what=text)
        case "event":
            logs.log.info(text)
        case "inside a list":
            logs.log.info("thing.happened", what=[text, [text]])
        case "inside a mapping":
            logs.log.info("thing.happened", what={text: {"inner": text}})
        case "library":
            logging.getLogger("some.library").error("%s", text)
        case _:
            logs.log.error("thing.failed", exc_info=ValueError(text))
    assert len(log.lines) == 1
    assert log.text.isascii()
    assert log.text[:-1].isprintable()
    assert len(log.text) < 10_000
    assert "forged" not in log.lines[0].values()


@pytest.mark.parametrize("name", ["password", "client_secret", "access_token", "set_cookie", "authorization", "api_key",
                                  "database_url", "to_email", "address", "code", "body", "query_string"])  # fmt: skip
def test_a_field_with_such_a_name_is_never_written(log, name):
    """LOG-03: also where it stands inside another."""
    logs.log.info("thing.happened", **{name: "canary"}, what={name: "canary", "fine": [{name: "canary"}]})
    assert "canary" not in log.text
    assert log.lines[0][name] == "…"


@pytest.mark.parametrize("name", ["status_code", "reply_code", "enhanced_code", "user_id", "message_id", "client"])
def test_a_field_that_support_needs_is_written(log, name):
    logs.log.info("thing.happened", **{name: "5.1.1"})
    assert log.lines[0][name] == "5.1.1"


def test_the_readable_form_keeps_the_same_rules(log):
    log.configure("console")
    logs.log.info("thing.happened", what=SECRETS["address"], password="canary", name="a\nb\x1b[31m")
    assert "canary" not in log.text
    assert log.text.count("\n") == 1
    assert "\x1b[31m" not in log.text


class Unspeakable(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise LookupError("canary")


class Caused(Exception):
    """An error with a cause of its own."""


def raised(kind: type[Exception]) -> Exception:
    """Return an exception that was really raised here, and so has frames."""
    try:
        if kind is Caused:
            raise Caused("canary") from KeyError("canary")
        raise kind("canary\nforged line")
    except kind as problem:
        return problem


def readable(log, text: str) -> dict[str, str]:
    """Return the first line of what the console format wrote, and the lines below it."""
    first, _, below = log.text.partition("\n")
    assert text in first
    return {"first": first, "below": below}


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("by", ["ours", "the library", "an unraised one"])
@pytest.mark.parametrize("kind", [ValueError, Unspeakable, Caused, ConnectionResetError])
def test_an_exception_is_logged_with_its_kind_and_frames_in_both_formats(log, log_format, kind, by):
    """R21, LOG-02: the format decides how it looks, and not whether it is there."""
    log.configure(log_format)
    problem = kind("canary") if by == "an unraised one" else raised(kind)
    if by == "the library":
        logging.getLogger("some.library").error("thing.failed", exc_info=problem)
    else:
        logs.log.error("thing.failed", exc_info=problem, user_id="3W08K7QXM1C4")
    if log_format == "json":
        (line,) = log.lines
        assert line["event"] == "thing.failed"
        kinds, frames = line["exception"][0], "\n".join(line["exception"])
    else:
        found = readable(log, "thing.failed")
        kinds, frames = found["first"], found["below"]
        assert "\nforged" not in log.text
    assert kind.__qualname__ in kinds
    assert ("test_logs.py" in frames) == (by != "an unraised one")
    assert ("builtins.KeyError" in frames) == (kind is Caused and by != "an unraised one")
    assert "canary" not in log.text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_message_of_an_exception_is_written_only_where_it_is_wanted(log, log_format):
    """LOG-03: a driver's message quotes values; it is for a developer's own machine."""
    for wanted in (False, True):
        logs.configure(log_format, stream=log.stream, with_messages=wanted)
        logs.log.error("thing.failed", exc_info=raised(ValueError))
        assert ("canary" in log.text) == wanted


class Nameless:
    """A value that nothing can be made of."""

    def __str__(self) -> str:
        raise RuntimeError("canary")

    __repr__ = __str__


class Endless(dict):
    """A mapping that cannot be read."""

    def items(self):
        raise RuntimeError("canary")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("value", [Nameless(), Endless(a=1), [Nameless()], {"a": Endless()}, 10**5000, float("nan")],
                         ids=["value", "mapping", "in a list", "in a mapping", "long number", "nan"])  # fmt: skip
def test_a_value_that_cannot_be_logged_never_raises_and_leaves_a_line(log, log_format, value):
    """R21, REL-12: who logs goes on; the operator still sees that something happened."""
    log.configure(log_format)
    logs.log.warning("thing.happened", what=value)
    assert "thing.happened" in log.text
    assert "canary" not in log.text
    assert log.text.count("\n") == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_formatter_that_fails_never_raises_and_leaves_a_line(log, log_format):
    """R21, REL-12: the mistake is in our own processor this time."""
    log.configure(log_format)
    before = logs.lost()
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[*processors[:-1], lambda *_: 1 / 0])
    logs.log.error("thing.failed", exc_info=raised(ValueError))
    assert "log.line_failed" in log.text
    assert "thing.failed" in log.text
    assert "ZeroDivisionError" in log.text
    assert logs.lost() == before + 1


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_an_unexpected_error_answers_the_same_in_both_formats(service, caller, log, log_format):
    """X1: the answer has its id and headers, and the log counts its status."""
    log.configure(log_format)

    def broken():
        raise ValueError("canary")

    service.app.state.clock = broken
    answer = await caller.patch("/v1/accounts/3W08-K7QX-M1C4", {})
    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
    assert "content-security-policy" in answer.headers
    assert "request.failed" in log.text
    assert answer.json()["request_id"] in log.text
    assert ("status=500" in log.text) or ('"status": 500' in log.text)


@pytest.mark.parametrize("flood", ["refused", "library", "errors"])
def test_a_flood_is_sampled_and_counted(log, flood):
    """LOG-06: 10,000 bad requests are 300 lines, and one of the next minute says how many were left out."""
    for number in range(10_000):
        match flood:
            case "refused":
                logs.log.info("request.answered", status=400, ms=number)
            case "library":
                logging.getLogger("uvicorn.error").warning("Invalid request %s.", number)
            case _:
                logs.log.error("request.failed", number=number)
    assert len(log.lines) == logs.SAMPLED_AFTER
    logs.log.info("another.thing")
    assert "suppressed" not in log.lines[-1]
    log.seconds = 60
    logs.log.info("another.thing")
    assert list(log.lines[-1]["suppressed"].values()) == [10_000 - logs.SAMPLED_AFTER]
    logs.log.info("another.thing")
    assert "suppressed" not in log.lines[-1]


def test_normal_work_is_never_left_out(log):
    for number in range(1000):
        logs.log.info("request.answered", status=200, ms=number)
    assert len(log.lines) == 1000


async def test_a_flood_of_refused_requests_through_the_door_is_bounded(service, log):
    """LOG-06."""
    for number in range(400):
        await service.http.get(f"/nothing/{number}")
    assert len(log.lines) == logs.SAMPLED_AFTER


async def test_the_route_is_told_and_never_the_path(caller, log):
    """LOG-07: a path has as many values as there are customers; a template does not."""
    for number in range(5):
        await caller.get(f"/v1/accounts/{number}")
        await caller.get(f"/nothing/{number}")
    assert {line["route"] for line in log.lines} == {"/v1/accounts/{user_id}", "-"}


@pytest.mark.parametrize(
    "library", ["authlib", "joserfc", "sqlalchemy.engine", "httpx2", "aiosmtplib", "uvicorn.access"]
)
def test_libraries_that_write_values_are_kept_quiet(log, library):
    """Authlib writes whole tokens at DEBUG; whatever our own level is, these stay above."""
    log.configure(level=logging.DEBUG)
    logging.getLogger(library).info("token=canary")
    logging.getLogger(library).debug("token=canary")
    assert log.text == ""
