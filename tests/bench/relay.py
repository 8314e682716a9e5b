"""The cheapest relay there is: takes every letter and notes when it answered 250 for whom. A process of its own.

`python -m tests.bench.relay PORT SECONDS` waits SECONDS before each reply, as a round trip would. At the end of its
standard input it prints what it took: a JSON object from recipient to the moment of its 250.
"""

import asyncio
import json
import sys
import time

GREETING = b"220 bench.localhost ESMTP\r\n"
EHLO = b"250-bench.localhost\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n"
OK = b"250 2.0.0 ok\r\n"
TAKEN = b"250 2.0.0 ok: queued as 4F2A\r\n"


class Talk(asyncio.Protocol):
    """One connection; lines until DATA, then everything until the dot."""

    def __init__(self, took: dict[str, float], wait: float) -> None:
        self.took, self.wait, self.heard, self.in_letter, self.recipient = took, wait, b"", False, ""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.say(GREETING)

    def say(self, reply: bytes) -> None:
        if self.wait:
            asyncio.get_running_loop().call_later(self.wait, self.say_now, reply)
        else:
            self.say_now(reply)

    def say_now(self, reply: bytes) -> None:
        if reply is TAKEN:
            self.took[self.recipient] = time.time()
        self.transport.write(reply)

    def data_received(self, heard: bytes) -> None:
        self.heard += heard
        while True:
            line, found, rest = self.heard.partition(b"\r\n.\r\n" if self.in_letter else b"\r\n")
            if not found:
                return
            self.heard = rest
            if self.in_letter:
                self.in_letter = False
                self.say(TAKEN)
            else:
                self.answer(line)

    def answer(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self.recipient = line.partition(b"<")[2].partition(b">")[0].decode()
        self.in_letter = verb == b"DATA"
        self.say(b"354 go on\r\n" if self.in_letter else EHLO if verb == b"EHLO" else OK)


async def main(port: int, wait: float) -> None:
    took: dict[str, float] = {}
    await asyncio.get_running_loop().create_server(lambda: Talk(took, wait), "127.0.0.1", port)
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(took))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
