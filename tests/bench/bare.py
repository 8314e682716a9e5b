"""A bare aiosmtplib loop, to compare with: bytes made before, 8 connections, nothing recorded. A process of its own.

`python -m tests.bench.bare PORT COUNT RATE` sends COUNT letters like ours, RATE a second (0: as fast as it can), and
prints a JSON object: letters a second, letters a second of its own CPU, and the seconds each took.
"""

import asyncio
import json
import sys
import time

import aiosmtplib

CONNECTIONS = 8
LETTER = b"Subject: Your User ID\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"A line of the letter." * 3 + b"\r\n") * 70


async def send(port: int, jobs: asyncio.Queue, took: list[float]) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, local_hostname="localhost")
    await client.connect()
    while (job := await jobs.get()) is not None:
        number, since = job
        await client.sendmail("a@identity.example", [f"bare{number}@example.com"], LETTER)
        took.append(time.perf_counter() - since)
    client.close()


async def main(port: int, count: int, rate: float) -> dict:
    jobs: asyncio.Queue = asyncio.Queue()
    took: list[float] = []
    senders = [asyncio.create_task(send(port, jobs, took)) for _ in range(CONNECTIONS)]
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        if rate:
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        jobs.put_nowait((number, time.perf_counter()))
    for _ in senders:
        jobs.put_nowait(None)
    await asyncio.gather(*senders)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    return {"rate": count / seconds, "per_cpu_second": count / used, "took": took}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
