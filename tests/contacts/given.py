"""A desk tool and the person behind it, as the tool tells; it calls the doors and nothing else."""

import re

from tests.console.given import code_of


class Tool:
    """A client with every scope that acts for a clerk."""

    def __init__(self, caller, clerk: str = "ada") -> None:
        self.caller, self.clerk = caller, clerk

    def of(self, clerk: str) -> "Tool":
        return Tool(self.caller, clerk)

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Clerk-ID": self.clerk}

    async def post(self, path: str, json=None):
        return await self.caller.post(path, json, headers=self.headers)

    async def get(self, path: str, *, contact: str | None = None):
        return await self.caller.get(path, headers=self.named(contact))

    async def open_account(self, user_id: str, number: str, reason: str = "order arrived broken"):
        return await self.post(f"/v1/contacts/{number}/account-access", {"user_id": user_id, "reason": reason})

    async def put(self, path: str, json, *, contact: str | None = None):
        return await self.caller.http.put(path, json=json, headers={**self.caller.headers, **self.named(contact)})

    def named(self, contact: str | None) -> dict[str, str]:
        return {**self.headers, **({} if contact is None else {"X-Contact": contact})}

    async def contact(self, user_id: str | None = None, **given) -> str:
        made = await self.post("/v1/contacts", {"desk": "consumer", "user_id": user_id, **given})
        assert made.status_code == 201, made.text
        return made.json()["number"]

    async def check(self, user_id: str, number: str, **given) -> dict:
        started = await self.post(f"/v1/accounts/{user_id}/caller-checks", {"contact": number, **given})
        assert started.status_code == 201, started.text
        return started.json()

    async def answer(self, user_id: str, check: str, code: str):
        return await self.post(f"/v1/accounts/{user_id}/caller-checks/{check}/answer", {"code": code})

    async def verify(self, service, user_id: str, number: str, to: str = "anna@example.org", **given) -> str:
        """Check a caller who reads the right code; return the id of the check."""
        check = (await self.check(user_id, number, **given))["id"]
        answered = await self.answer(user_id, check, await code_of(service, to))
        assert answered.json() == {"result": "match", "tries_left": 2}, answered.text
        return check


async def a_tool(service, clerk: str = "ada", *, name: str = "desk tool") -> Tool:
    return Tool(await service.caller(name=name, desk=True), clerk)


def plain(code: str) -> str:
    return re.sub(r"\D", "", code)
