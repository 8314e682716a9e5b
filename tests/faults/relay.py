"""A relay that misbehaves on command, on a real socket, and keeps its own transcript of what it heard and said."""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

HANG, DROP, GARBAGE, ENDLESS = "<hang>", "<drop>", "<garbage>", "<endless>"
DEFAULTS = {
    "connect": "220 faulty.localhost ESMTP",
    "STARTTLS": "220 2.0.0 ready for TLS",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 sender ok",
    "RCPT": "250 2.1.5 recipient ok",
    "DATA": "354 go ahead",
    "eod": "250 2.0.0 ok: queued as 4F2A",
    "RSET": "250 2.0.0 reset",
    "QUIT": "221 2.0.0 bye",
}


@dataclass
class FaultRelay:
    """`script` gives per verb what to do instead, one act after the other; what runs out falls back to normal.

    An act is a reply, or HANG, DROP, GARBAGE, ENDLESS; `drip` seconds lie between the bytes of every reply;
    `late` seconds before a reply to the final dot.
    """

    script: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 10000000", "ENHANCEDSTATUSCODES")
    tls: ssl.SSLContext | None = None
    drip: float = 0.0
    late: float = 0.0
    transcript: list[str] = field(default_factory=list)
    mails: list[tuple[str, str, bytes]] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def will(self, verb: str, *acts: str) -> "FaultRelay":
        self.script.setdefault(verb, deque()).extend(acts)
        return self

    async def start(self, port: int = 0) -> "FaultRelay":
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        self._writers: set[asyncio.StreamWriter] = set()
        return self

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def said(self) -> list[str]:
        return [line[3:] for line in self.transcript if line.startswith("S: ")]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._conversation(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, _Dropped):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _conversation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._act(writer, "connect")
        sender = recipient = ""
        while line := await reader.readline():
            text = line.decode("utf-8", "replace").strip()
            verb = text.split(" ")[0].upper()
            self.transcript.append(f"C: {text if verb != 'AUTH' else 'AUTH …'}")
            if verb == "EHLO":
                await self._ehlo(writer)
                continue
            if verb == "DATA" and not recipient:
                # Who pipelines asks for DATA before it knows that its recipient was refused (RFC 2920, 3.1).
                await self._say(writer, "554 5.5.1 no valid recipients")
                continue
            done = await self._act(writer, verb)
            if verb == "STARTTLS" and done.startswith("220") and self.tls is not None:
                await writer.start_tls(self.tls)
            elif verb == "MAIL":
                sender, recipient = text, ""
            elif verb == "RCPT" and done.startswith("2"):
                recipient = text[len("RCPT TO:<") :].partition(">")[0]
            elif verb == "QUIT":
                return
            elif verb == "DATA" and done.startswith("354"):
                await self._payload(reader, writer, sender, recipient)

    async def _ehlo(self, writer: asyncio.StreamWriter) -> None:
        acts = self.script.get("EHLO")
        if acts:
            await self._say(writer, acts.popleft())
            return
        lines = ["faulty.localhost", *self.extensions]
        for number, line in enumerate(lines):
            await self._say(writer, f"250{'-' if number < len(lines) - 1 else ' '}{line}")

    async def _payload(self, reader, writer, sender: str, recipient: str) -> None:
        if self.script.get("payload") and self.script["payload"][0] == DROP:
            self.script["payload"].popleft()
            await reader.readline()
            raise _Dropped
        raw = await reader.readuntil(b"\r\n.\r\n")
        if self.late:
            await asyncio.sleep(self.late)
        acts = self.script.get("eod")
        taken = not acts or acts[0].startswith("2") or acts[0] in (HANG, DROP, GARBAGE)
        if taken:
            self.mails.append((sender, recipient, raw))
        await self._act(writer, "eod")

    async def _act(self, writer: asyncio.StreamWriter, verb: str) -> str:
        acts = self.script.get(verb)
        act = acts.popleft() if acts else DEFAULTS.get(verb, "500 5.5.2 what?")
        if act == HANG:
            self.transcript.append("(hangs)")
            await asyncio.sleep(3600)
        if act == DROP:
            self.transcript.append("(drops)")
            raise _Dropped
        if act == GARBAGE:
            writer.write(b"\x00\xff\xfehello, I am a teapot\r\n" * 3)
            await writer.drain()
            return act
        if act == ENDLESS:
            for _ in range(200):
                writer.write(b"250-" + b"x" * 900 + b"\r\n")
            await writer.drain()
            return act
        await self._say(writer, act)
        return act

    async def _say(self, writer: asyncio.StreamWriter, reply: str) -> None:
        self.transcript.append(f"S: {reply}")
        raw = reply.encode("utf-8", "surrogateescape") + b"\r\n"
        if self.drip:
            for byte in raw:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(self.drip)
        else:
            writer.write(raw)
            await writer.drain()


class _Dropped(Exception):
    pass


def always(reply: str, times: int = 1000) -> Iterable[str]:
    return [reply] * times
