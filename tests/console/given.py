"""Staff at their browsers, enrolled and signed in by the pages, and what they do there in plain verbs."""

import re

import pyotp

from identity_service.console import actions as staff
from tests.browser import Browser
from tests.conftest import BASE

PASSWORD = "copper lantern forgets the tide"
SUBJECT = "Your code for your call with us"


class Clerk(Browser):
    """Somebody of the staff. `token` is the value of this session's forms, `seed` the authenticator's."""

    name, seed, token, codes = "", "", "", ()

    async def do(self, action: str, **fields: str):
        """Send a form whatever page is in front."""
        self.page = await self.http.post(action, data={"form_token": self.token, **fields})
        return self.page

    async def open_account(self, user_id: str, *, contact: str = "", reason: str = "order arrived broken") -> str:
        """Open an account for a reason; return the number of the contact."""
        await self.do("/console/accounts/open", user_id=user_id, contact=contact, reason=reason, desk="consumer")
        assert self.page.status_code == 200, self.text
        return self.page.url.params["contact"]

    async def start_check(self, user_id: str, number: str) -> str:
        """Have a code mailed; return the id of the check."""
        await self.do(f"/console/accounts/{user_id}/check", contact=number)
        assert self.page.status_code == 200, self.text
        return re.search(r"/check/([0-9a-f-]{36})", self.page.text)[1]

    async def verify(self, service, user_id: str, number: str, to: str) -> str:
        """Check a caller who reads the right code; return the id of the check."""
        check = await self.start_check(user_id, number)
        await self.do(f"/console/accounts/{user_id}/check/{check}", contact=number, code=await code_of(service, to))
        assert "Verified at" in self.text, self.text
        return check


async def code_of(service, to: str) -> str:
    """Bring what is due, and return the code of the newest letter of a check."""
    await service.deliver()
    return re.search(r"\d{3} \d{3}", service.letter(to, SUBJECT)["text"])[0]


def another(code: str) -> str:
    """Return a code that is wrong."""
    return "111111" if code.replace(" ", "") != "111111" else "222222"


async def enrol(service, name: str, role: str = "clerk", *, wait: int = 40) -> Clerk:
    """Add and enrol somebody, and `wait` seconds for the next code; nobody is signed in by that."""
    secret = await service.database.in_transaction(lambda s: staff.add_staff(s, name, role, now=service.clock()))
    clerk = Clerk(service.app, BASE, source="198.51.100.20")
    clerk.name = name
    await clerk.open("/console/enrol")
    await clerk.send("/console/enrol", link=secret)
    clerk.seed = shown_seed(clerk)
    given = {"link": secret, "seed": sealed_seed(clerk), "password": PASSWORD, "code": now_code(service, clerk.seed)}
    done = await clerk.send("/console/enrolled", **given)
    assert done.status_code == 200, clerk.text
    clerk.codes = tuple(re.findall(r"\b[0-9a-f]{8}-[0-9a-f]{8}\b", clerk.text))
    service.clock.advance(seconds=wait)
    return clerk


def shown_seed(clerk: Browser) -> str:
    """Return the setup key that the page shows in groups of four."""
    return re.search(r"\b(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}\b", clerk.text)[0].replace(" ", "")


def sealed_seed(clerk: Clerk) -> str:
    """Return the hidden value of the enrolment page that the form sends back."""
    return re.search(r'name="seed" value="([^"]+)"', clerk.page.text)[1]


async def sign_in(service, clerk: Clerk, code: str = "", *, password: str = PASSWORD):
    """Sign in with the code that the authenticator shows, or another one."""
    await clerk.open("/console/signin")
    given = code or now_code(service, clerk.seed)
    await clerk.send("/console/signin", name=clerk.name, password=password, code=given)
    if clerk.page.url.path == "/console":
        clerk.token = re.search(r'name="form_token" value="([^"]+)"', clerk.page.text)[1]
    return clerk.page


async def a_clerk(service, name: str = "ada", role: str = "clerk") -> Clerk:
    """Add, enrol and sign in somebody of the staff."""
    clerk = await enrol(service, name, role)
    await sign_in(service, clerk)
    assert clerk.page.url.path == "/console", clerk.text
    return clerk


def now_code(service, seed: str) -> str:
    """Return what the authenticator shows now."""
    return pyotp.TOTP(seed).at(service.clock())


async def an_account(caller, email: str | None = "anna@example.org", **given) -> str:
    """Register; return the User ID as it is shown."""
    made = await caller.post("/v1/accounts", {"email": email, **given} if email else given)
    assert made.status_code == 201, made.text
    return made.json()["user_id"]
