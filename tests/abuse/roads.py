"""The roads on which secrets travel, gone well and badly; every secret that comes up on the way is noted."""

import re

from sqlalchemy import text

from identity_service.console import actions as staff
from identity_service.database.transactions import Database
from identity_service.keys import encoding
from tests.abuse.canaries import in_letters
from tests.browser import Browser
from tests.clients.given import a_client, a_key, assertion, key_set, proven_by
from tests.conftest import BASE, MASTER_KEY, Caller, Service
from tests.console import given as console
from tests.console.given import shown_seed
from tests.life.given import call, confirm, consent, link_to, press
from tests.mail.test_hooks_postmark import basic, bounce
from tests.resets.given import a_reset, choose, forget_limits, type_code

ADDRESS = "kanarie.anna@kanariemailbox.example"
OTHER_ADDRESS = "kanarie.neu@kanariemailbox.example"
GIVEN = {
    "master key": MASTER_KEY,
    "database password": "kanarie-database-4f1d",
    "relay password": "kanarie-relay-83c2",
    "hook secret": "kanarie-hook-secret-19ab",
    "wrong hook secret": "kanarie-wrong-hook-5d20",
    "password": "kanarie sings over nine rivers",
    "second password": "kanarie counts eleven lanterns",
    "wrong password": "kanarie forgot what it was 77",
    "weak password": "kanarie-weak",
    "staff password": "kanarie keeps the copper door",
    "wrong client secret": "kanarie-client-secret-31fe",
    "wrong token": "kanarie.token.b64",
    "wrong code": "KANAR-12345",
    "idempotency key": "kanarie-idempotency-6a7b",
    "wrong cookie": "kanarie-cookie-90ee",
    "half a body": "kanarie-in-half-a-body",
    "query": "kanarie-in-a-query",
}
"""What is given to the service from outside, each of it found nowhere else."""
PERSONAL = {"address": ADDRESS, "other address": OTHER_ADDRESS}


class Walk:
    """One walk along every road; `secrets` grows on the way."""

    def __init__(self, service: Service, caller: Caller, owner) -> None:
        self.service, self.caller, self.owner = service, caller, owner
        self.secrets = dict(GIVEN)

    def note(self, **found: str) -> None:
        self.secrets |= found

    async def all(self) -> None:
        """Go every road."""
        self.note(first_secret=self.caller.client_secret, first_token=self.caller.token)
        self.note(inner_key=encoding.base64url_encode(self.service.database.keys.internal()))
        await self.register()
        await self.reset_and_sign_in()
        await self.clients()
        await self.customer_decides()
        await self.desk()
        await self.hooks()
        await self.breaks()
        await self.service.deliver()
        while await self.service.seal():
            pass
        self.secrets |= in_letters(self.service.mailbox.letters())

    async def register(self) -> None:
        """The account, twice with one key; bodies that are no JSON, or hold what they must not."""
        body, key = {"email": ADDRESS}, {"Idempotency-Key": GIVEN["idempotency key"]}
        made = await self.caller.post("/v1/accounts", body, headers=key)
        self.user_id = made.json()["user_id"]
        await self.caller.post("/v1/accounts", body, headers=key)
        await self.caller.post("/v1/accounts", {"email": OTHER_ADDRESS}, headers=key)
        await self.caller.post("/v1/accounts", {"email": ADDRESS, "password": GIVEN["password"]})
        half = f'{{"email": "{ADDRESS}", "password": "{GIVEN["half a body"]}'.encode()
        for content in (half, half + b'"}', b"\xff" + half, half.replace(b'"', b"")):
            headers = {**self.caller.headers, "Content-Type": "application/json"}
            await self.service.http.post("/v1/accounts", content=content, headers=headers)
        await self.caller.get(f"/v1/accounts/{self.user_id}?token={GIVEN['query']}")
        await self.caller.get(f"/v1/{GIVEN['query']}", headers={"Cookie": f"__Host-session={GIVEN['wrong cookie']}"})

    async def reset_and_sign_in(self) -> None:
        """A first password by the link, a second by the code; wrong ones at every door that takes one."""
        service = self.service
        await service.deliver()
        reset = await a_reset(service, ADDRESS)
        await choose(reset.browser, reset.link, GIVEN["weak password"])
        await choose(reset.browser, reset.link[:-3] + "AAA", GIVEN["wrong password"])
        done = await choose(reset.browser, reset.link, GIVEN["password"])
        assert done.url.path == "/reset/done", reset.browser.text
        await choose(reset.browser, reset.link, GIVEN["wrong password"])
        service.clock.advance(minutes=2)
        await forget_limits(service)
        reset = await a_reset(service, ADDRESS)
        await type_code(reset.browser, reset.watch, GIVEN["wrong code"], GIVEN["wrong password"])
        done = await type_code(reset.browser, reset.watch, reset.code, GIVEN["second password"])
        assert done.url.path == "/reset/done", reset.browser.text
        service.clock.advance(seconds=1)
        for name in ("wrong password", "password", "second password"):
            await self.caller.post("/v1/password-checks", {"email": ADDRESS, "password": GIVEN[name]})
            await self.sign_in(GIVEN[name])
        await self.sign_in_by_code()

    async def sign_in(self, password: str) -> Browser:
        browser = Browser(self.service.app, BASE)
        await browser.open("/signin")
        await browser.send("/signin", email=ADDRESS, password=password)
        self.cookies_of(browser, "customer")
        return browser

    async def sign_in_by_code(self) -> None:
        browser = Browser(self.service.app, BASE, source="198.51.100.77")
        await browser.open("/signin")
        page = await browser.send("/signin/code", email=ADDRESS)
        await self.service.deliver()
        letter = self.service.letter(ADDRESS, "Your sign-in code")["text"]
        code = re.search(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", letter, re.M)[1]
        watch = page.url.path
        for typed in (GIVEN["wrong code"], code):
            await browser.open(watch)
            await browser.send(watch, code=typed)
        assert browser.page.url.path == "/me", browser.text
        self.cookies_of(browser, "mailed")

    def cookies_of(self, browser: Browser, who: str) -> None:
        for cookie in browser.http.cookies.jar:
            self.secrets[f"{cookie.name} of {who} {len(self.secrets)}"] = cookie.value or "no cookie"

    async def clients(self) -> None:
        """Secrets, assertions and tokens at every endpoint of OAuth."""
        http, service = self.service.http, self.service
        form = {"grant_type": "client_credentials"}
        wrong = (self.caller.client_id, GIVEN["wrong client secret"])
        await http.post("/oauth/token", data=form, auth=wrong)
        await http.post("/oauth/token", data={**form, "client_id": wrong[0], "client_secret": wrong[1]})
        key = a_key()
        made = await a_client(service, jwks=key_set(key))
        signed = assertion(service, made.client_id, key)
        late = assertion(service, made.client_id, key, exp=1)
        for text_ in (signed, signed, late):
            answer = await http.post("/oauth/token", data={**form, **proven_by(text_)})
            if answer.status_code == 200:
                self.note(second_token=answer.json()["access_token"])
        self.note(assertion=signed, late_assertion=late, signature=signed.rpartition(".")[2])
        own = (self.caller.client_id, self.caller.client_secret)
        for token in (self.secrets["second_token"], GIVEN["wrong token"]):
            await http.post("/oauth/introspect", data={"token": token}, auth=own)
            await http.post("/oauth/revoke", data={"token": token}, auth=own)
            await http.get("/v1/events", headers={"Authorization": f"Bearer {token}"})
        await http.get(f"/v1/events?access_token={GIVEN['wrong token']}")

    async def customer_decides(self) -> None:
        """Links of other letters: consent, another address, and the receipt, which is shown to whoever asks."""
        service, caller = self.service, self.caller
        await consent(service, caller, self.user_id, ADDRESS)
        receipt = (await caller.get(f"/v1/accounts/{self.user_id}/consents/receipt")).text
        self.note(receipt=receipt)
        browser = Browser(service.app, BASE)
        await browser.open("/receipt")
        await browser.send("/receipt", receipt=receipt)
        await browser.send("/receipt", receipt=receipt[:-9] + "kanarie")
        await caller.post(f"/v1/accounts/{self.user_id}/email-changes", {"email": OTHER_ADDRESS})
        link = await link_to(service, OTHER_ADDRESS, "Please confirm your new email address")
        service.clock.advance(seconds=1)
        await press(service, (link[0], link[1][:-4] + "AAAA"))
        await press(service, link)
        await press(service, link)
        await confirm(service, ADDRESS, "Your email address was changed")

    async def desk(self) -> None:
        """Somebody of the staff enrols and signs in, well and badly, and checks a caller."""
        service = self.service
        link = await service.database.in_transaction(lambda s: staff.add_staff(s, "ada", "lead", now=service.clock()))
        ada = console.Clerk(service.app, BASE, source="198.51.100.20")
        ada.name = "ada"
        await ada.open("/console/enrol")
        await ada.send("/console/enrol", link=link[:-4] + "AAAA")
        await ada.open("/console/enrol")
        await ada.send("/console/enrol", link=link)
        ada.seed = shown_seed(ada)
        password, code = GIVEN["staff password"], console.now_code(service, ada.seed)
        sealed = console.sealed_seed(ada)
        await ada.send("/console/enrolled", link=link, seed=sealed, password=password, code=code)
        codes = re.findall(r"\b[0-9a-f]{8}-[0-9a-f]{8}\b", ada.text)
        assert codes, ada.text
        self.note(enrolment=link, seed=ada.seed, **{f"recovery code {n}": one for n, one in enumerate(codes)})
        service.clock.advance(seconds=40)
        await console.sign_in(service, ada, password=GIVEN["wrong password"])
        await console.sign_in(service, ada, codes[0], password=password)
        assert ada.page.url.path == "/console", ada.text
        await ada.do("/console/signout")
        service.clock.advance(seconds=40)
        await console.sign_in(service, ada, password=password)
        self.cookies_of(ada, "staff")
        number = await ada.open_account(self.user_id)
        check = await ada.start_check(self.user_id, number)
        spoken = await console.code_of(service, ADDRESS)
        for code in (console.another(spoken), spoken):
            await ada.do(f"/console/accounts/{self.user_id}/check/{check}", contact=number, code=code)
        assert "Verified at" in ada.text, ada.text

    async def hooks(self) -> None:
        """A provider with our secret, and a stranger with another one."""
        ((message_id,),) = await self.service.rows("SELECT id::text FROM message ORDER BY id LIMIT 1")
        for name in ("wrong hook secret", "hook secret"):
            for headers in ({"X-Webhook-Secret": GIVEN[name]}, basic(GIVEN[name])):
                await self.service.http.post("/webhooks/postmark", json=bounce(message_id), headers=headers)

    async def breaks(self) -> None:
        """The same with a table that is not there, and with a database that is not: both are our own failure."""
        for table in ("account", "client", "one_time_token", "staff", "idempotency_key", "rate_limit_counter"):
            async with self.owner.begin() as connection:
                await connection.execute(text(f"ALTER TABLE {table} RENAME TO away_{table}"))
            try:
                await self.ask_once_more()
            finally:
                async with self.owner.begin() as connection:
                    await connection.execute(text(f"ALTER TABLE away_{table} RENAME TO {table}"))
        there = self.service.database
        gone = Database(there.settings, f"postgresql://app:{GIVEN['database password']}@127.0.0.1:1/nothing")
        gone.keys = there.keys
        self.service.app.state.database = gone
        try:
            await self.ask_once_more()
        finally:
            self.service.app.state.database = there
            await gone.close()

    async def ask_once_more(self) -> None:
        """Ask at the doors that take secrets, and do not mind the answer."""
        caller, http = self.caller, self.service.http
        key = {"Idempotency-Key": GIVEN["idempotency key"]}
        await call(caller, "POST", "/v1/accounts", {"email": OTHER_ADDRESS}, **key)
        await caller.post("/v1/accounts/search", {"email": ADDRESS})
        await caller.post("/v1/password-checks", {"email": ADDRESS, "password": GIVEN["wrong password"]})
        await caller.post("/v1/resets", {"email": ADDRESS})
        own = (caller.client_id, caller.client_secret)
        await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=own)
        await http.post("/oauth/introspect", data={"token": GIVEN["wrong token"]}, auth=own)
        for path, fields in (
            ("/signin", {"email": ADDRESS, "password": GIVEN["wrong password"]}),
            ("/reset", {"email": ADDRESS}),
            ("/reset/choose", {"link": "v1.kanarie.kanarie", "password": GIVEN["wrong password"]}),
            ("/console/signin", {"name": "ada", "password": GIVEN["wrong password"], "code": "123456"}),
        ):
            browser = Browser(self.service.app, BASE)
            await browser.open(path)
            if 'name="form_token"' in browser.page.text:
                await browser.send(path, **fields)
