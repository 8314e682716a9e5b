"""A sealer as a process of its own, to be killed: `python -m tests.together.sealer URL LIMIT [hold]`.

It seals at most LIMIT events at a time, for ever, and says each number. With `hold` it stops before the commit, says
`holding`, and waits for its end.
"""

import asyncio
import sys

from sqlalchemy.ext.asyncio import AsyncSession

from identity_service.database import engine as database_engine
from identity_service.events import actions


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(url: str, limit: int, *, hold: bool) -> None:
    engine = database_engine.create_engine(url, size=1)
    while True:
        async with AsyncSession(engine) as session, session.begin():
            sealed = await actions.seal_events(session, limit)
            if hold and sealed:
                say("holding")
                await asyncio.Event().wait()
        say(sealed)
        await asyncio.sleep(0 if sealed else 0.02)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), hold="hold" in sys.argv[3:]))
