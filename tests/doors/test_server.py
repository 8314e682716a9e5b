"""The server itself, over raw sockets: what is not one clear request is refused, and the connection closed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from identity_service.web.server import LimitedProtocol, Server

HEAD = b"Host: id.example.com\r\n"
LIVE = b"GET /livez HTTP/1.1\r\n" + HEAD + b"\r\n"


class Impatient(LimitedProtocol):
    head_seconds = 0.3


@contextlib.asynccontextmanager
async def serving(app, protocol=LimitedProtocol) -> AsyncIterator[int]:
    server = Server(app, host="127.0.0.1", port=0, lifespan="off", protocol=protocol)
    running = asyncio.create_task(server.serve())
    try:
        yield await server.started_up()
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def port(service) -> AsyncIterator[int]:
    async with serving(service.app) as found:
        yield found


@pytest.fixture
async def impatient(service) -> AsyncIterator[int]:
    async with serving(service.app, Impatient) as found:
        yield found


async def say(port: int, *parts: bytes) -> bytes:
    """Send the parts on one connection; return everything until the server closes it (at most 10 s)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
    answer = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while more := await reader.read(65536):
                answer += more
    writer.close()
    return answer


def statuses(answer: bytes) -> list[int]:
    """Return the status of every answer on the connection."""
    return [int(part[1:4]) for part in answer.split(b"HTTP/1.1")[1:]]


CLOSE = b"Connection: close\r\n"
POST = b"POST /v1/accounts HTTP/1.1\r\n" + HEAD
AMBIGUOUS = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nG",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in disguise": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "an endless length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    "a blank before the colon": POST + b"Content-Length : 2\r\n\r\n{}",
    "a folded header": b"GET /livez HTTP/1.1\r\n" + HEAD + b"X-A: b\r\n  c\r\n\r\n",
    "a NUL in a header": b"GET /livez HTTP/1.1\r\n" + HEAD + b"X-A: b\x00c\r\n\r\n",
    "a bare return": b"GET /livez HTTP/1.1\r\n" + HEAD + b"X-A: b\rX-B: c\r\n\r\n",
    "bare line feeds": b"GET /livez HTTP/1.1\nHost: id.example.com\n\n",
    "a bare line feed in the chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "a chunk of no size": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "an endless chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 17 + b"\r\n{}\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\n" + HEAD + b": x\r\n\r\n",
    "an unknown method": b"BREW /livez HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a method in small letters": b"get /livez HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a blank in the path": b"GET /li vez HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a path that is none": b"GET livez HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a path in Latin-1": b"GET /\xe9 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
}


@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_two_servers_could_read_differently_is_refused(port, request_):
    """FACT-6, ATT-36, ASVS 4.2.1: 400, and nothing after it on this connection is read."""
    answer = await say(port, request_, LIVE)
    assert statuses(answer) == [400]
    assert b"connection: close" in answer.lower()
    assert b'"status":"ok"' not in answer


async def test_two_hosts_are_none(port):
    """FACT-6, ATT-32."""
    request = b"GET /v1/events HTTP/1.1\r\n" + HEAD + b"Host: evil.example\r\n" + CLOSE + b"\r\n"
    answer = await say(port, request)
    assert statuses(answer) == [400]
    assert b'"code":"ambiguous_host"' in answer
    assert b"evil" not in answer


async def test_no_host_is_refused(port):
    answer = await say(port, b"GET /v1/events HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert statuses(answer) == [400]


async def test_another_host_in_the_request_line_changes_no_link(port):
    """ATT-32: an absolute URI is taken for its path; what we say of ourselves comes from the settings."""
    answer = await say(port, b"GET http://evil.example/v1/events HTTP/1.1\r\n" + HEAD + CLOSE + b"\r\n")
    assert statuses(answer) == [401]
    assert b"https://id.example.com/problems/missing_token" in answer
    assert b"evil" not in answer


async def test_the_length_of_an_answer_is_right_and_no_software_is_named(port):
    """ASVS 4.2.2, 13.4.6."""
    answer = await say(port, b"GET /livez HTTP/1.1\r\n" + HEAD + CLOSE + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"server:" not in head.lower()
    assert b"uvicorn" not in answer


async def test_a_trace_echoes_nothing(port):
    """ASVS 13.4.4."""
    answer = await say(port, b"TRACE /livez HTTP/1.1\r\n" + HEAD + b"Cookie: canary\r\n" + CLOSE + b"\r\n")
    assert statuses(answer) == [405]
    assert b"canary" not in answer


LONG = {
    "one header": b"GET /livez HTTP/1.1\r\n" + HEAD + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
    "one header without an end": b"GET /livez HTTP/1.1\r\n" + HEAD + b"X-A: " + b"a" * 600_000,
    "many headers": b"GET /livez HTTP/1.1\r\n" + HEAD + b"X-A: abcdefghij\r\n" * 5000 + b"\r\n",
    "the path": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "the query": b"GET /livez?" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "with a body": POST + b"X-A: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("pieces", [1, 50], ids=["at once", "in pieces"])
@pytest.mark.parametrize("head", LONG.values(), ids=LONG.keys())
async def test_a_head_beyond_32_kib_is_refused_once(port, head, pieces):
    """REL-28, FACT-6, API-04 (RFC 6585)."""
    size = -(-len(head) // pieces)
    answer = await say(port, *(head[start : start + size] for start in range(0, len(head), size)))
    assert statuses(answer) == [431]


CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
TRAILERS = {
    "an address": b"X-Forwarded-For: 9.9.9.9\r\n",
    "a host": b"Host: evil.example\r\n",
    "a token": b"Authorization: Bearer x\r\n",
    "a media type": b"Content-Type: text/plain\r\n",
}


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS.keys())
async def test_a_trailer_is_not_a_header(port, trailer):
    """RFC 9110, 6.5.1: the answer is the one without the trailer, and the connection goes on."""
    last = b"GET /livez HTTP/1.1\r\n" + HEAD + CLOSE + b"\r\n"
    without = await say(port, POST + CHUNKED + b"\r\n", last)
    with_it = await say(port, POST + CHUNKED + trailer + b"\r\n", last)
    assert statuses(with_it) == statuses(without) == [401, 200]
    assert without.count(b'"code":"missing_token"') == with_it.count(b'"code":"missing_token"') == 1


@pytest.mark.parametrize("pieces", [1, 50], ids=["at once", "in pieces"])
@pytest.mark.parametrize(
    "trailers", [b"X-A: abcdefghij\r\n" * 65_000, b"X-A: " + b"a" * 1_000_000], ids=["many", "one without an end"]
)
async def test_a_mebibyte_of_trailers_is_refused(port, trailers, pieces):
    size = -(-len(trailers) // pieces)
    parts = (trailers[start : start + size] for start in range(0, len(trailers), size))
    answer = await say(port, POST + CHUNKED, *parts)
    assert statuses(answer)[-1] == 431
    assert answer.rstrip().endswith(b"431 Request Header Fields Too Large") or b"connection: close" in answer.lower()


async def test_a_head_within_32_kib_is_read(port):
    head = b"GET /livez HTTP/1.1\r\n" + HEAD + CLOSE + b"X-A: " + b"a" * 30_000 + b"\r\n\r\n"
    assert statuses(await say(port, head[:100], head[100:20_000], head[20_000:])) == [200]


async def test_a_body_and_the_next_head_are_counted_apart(port):
    """60 kB of body before the next request on the same connection make no long head."""
    body = POST + b"Content-Type: text/plain\r\nContent-Length: 60000\r\n\r\n" + b" " * 60_000
    answer = await say(port, body + LIVE[:20], LIVE[20:-2] + CLOSE + b"\r\n")
    assert statuses(answer) == [415, 200]


SLOW = {
    "nothing": b"",
    "half a line": b"GET /li",
    "half a head": b"GET /livez HTTP/1.1\r\nHost: ",
    "empty lines": b"\r\n\r\n",
}


@pytest.mark.parametrize("start", SLOW.values(), ids=SLOW.keys())
async def test_a_head_that_does_not_end_is_closed(impatient, start):
    """FACT-6: uvicorn alone would wait for ever."""
    assert statuses(await say(impatient, start)) == [408]


class Patient(LimitedProtocol):
    head_seconds = 2.0


async def test_slow_clients_by_the_hundred_hold_up_nobody(service):
    """REL-27: 300 whose head or body does not come; meanwhile others are answered, and each of them is closed."""
    service.app.state.body_seconds = 2.0
    body = POST + CLOSE + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    async with serving(service.app, Patient) as port:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for number, (_, writer) in enumerate(slow):
            writer.write((SLOW["half a head"], SLOW["half a line"], body)[number % 3])
        for _ in range(30):
            assert statuses(await say(port, b"GET /livez HTTP/1.1\r\n" + HEAD + CLOSE + b"\r\n")) == [200]
        assert not any(reader.at_eof() for reader, _ in slow), "they are all still there"
        for reader, writer in slow:
            async with asyncio.timeout(30):
                assert statuses(await reader.read()) == [408]
            writer.close()


@pytest.mark.parametrize("start", list(SLOW.values())[1:3], ids=list(SLOW)[1:3])
async def test_the_second_head_on_a_connection_has_no_more_time(impatient, start):
    assert statuses(await say(impatient, LIVE + start)) == [200, 408]


async def test_empty_lines_do_not_keep_a_connection(impatient):
    """They stop uvicorn's clock between two requests; ours ends them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient)
    writer.write(LIVE)
    assert b" 200 " in await reader.readline()
    await reader.readuntil(b'"ok"}')
    writer.write(b"\r\n")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_refused_body_that_goes_on_does_not_keep_a_connection(impatient):
    """The answer is out after the head; what was told to come and does not come is not waited for."""
    head = POST + b"Content-Type: application/json\r\nContent-Length: 900000000\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient)
    writer.write(head)
    assert b" 413 " in await reader.readline()
    await reader.readuntil(b'"limit":65536}')
    writer.write(b"x")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(service, port):
    """FACT-6: thirty seconds in production."""
    service.app.state.body_seconds = 0.2
    head = POST + CLOSE + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    answer = await say(port, head + b"{")
    assert statuses(answer) == [408]
    assert b'"code":"body_too_slow"' in answer


async def test_an_oversize_body_is_refused_before_it_is_whole(port):
    """REL-28, FACT-6, ATT-55: 50 MB are told, the answer comes after the head; in chunks, as soon as it shows."""
    told = POST + b"Content-Type: application/json\r\nContent-Length: 50000000\r\n\r\n"
    chunks = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for head, body in ((told, b""), (chunks, b"2000\r\n" + b" " * 8192 + b"\r\n")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + body * 9)
        async with asyncio.timeout(10):
            assert b" 413 " in await reader.readline()
        writer.close()


async def test_a_megabyte_of_chunk_extensions_gets_nowhere(port):
    """ATT-36: at the latest the head's clock or the body's limit ends it; nothing is kept of it."""
    extension = b"1;" + b"a" * 1_000_000 + b"\r\n \r\n0\r\n\r\n"
    answer = await say(port, POST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + extension)
    assert statuses(answer) in ([400], [413], [415], [431])


async def test_a_second_protocol_is_not_spoken(port):
    """An upgrade is not taken, to WebSocket as little as to HTTP/2."""
    for name in (b"websocket", b"h2c"):
        upgrade = b"Connection: Upgrade, close\r\nUpgrade: " + name + b"\r\nSec-WebSocket-Version: 13\r\n"
        answer = await say(port, b"GET /livez HTTP/1.1\r\n" + HEAD + upgrade + b"\r\n")
        assert 101 not in statuses(answer)


async def test_the_process_is_well_after_all_this(port):
    for request in AMBIGUOUS.values():
        await say(port, request)
    assert statuses(await say(port, b"GET /livez HTTP/1.1\r\n" + HEAD + CLOSE + b"\r\n")) == [200]
