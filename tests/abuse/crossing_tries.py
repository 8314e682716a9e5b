"""Present a secret at a place of somebody, and say whether the answer is the refusal that the table names."""

import base64
import json
import re
import uuid
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
from sqlalchemy import text

from tests.abuse.crossing import LINES, Line
from tests.abuse.crossing_world import Person, Secret, World
from tests.browser import PAGE, Browser
from tests.conftest import BASE
from tests.openid.given import BACK
from tests.resets.given import alike

NONSENSE = "nothing-that-anybody-has-made-0123456789"
COUNTS = ("code_attempts", "tries", "failures", "failures_today")
AT_A_CLIENT = ("/oauth/introspect",)
AT_A_SHOP = ("/oauth/token", "/oauth/revoke", "/oauth/par")
_NOTICE = {"RecordType": "Delivery", "MessageID": "883953f4", "Metadata": {"msg": uuid.UUID(int=7).hex}}
STRANGER = "192.0.2.77"


class Tries:
    """What presents secrets: a stranger's browser, the clerks, and the clients of both people."""

    def __init__(self, world: World) -> None:
        self.world, self.service = world, world.service
        self.stranger = Browser(self.service.app, BASE, source=STRANGER)
        self.form_token = ""

    async def begin(self) -> None:
        page = await self.stranger.open("/signin")
        self.form_token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]
        self.stranger.http.follow_redirects = False
        for clerk in self.world.clerks.values():
            clerk.http.follow_redirects = False

    async def present(self, line: Line, whose: Person, value: str) -> httpx2.Response:
        """Send a secret where the line says, with all that it says beside it."""
        parts = self._parts(line, whose, value)
        method, _, path = line.route.partition(" ")
        path = re.sub(r"\{(\w+)\}", lambda found: parts.pop(f"path:{found[1]}", "postmark"), path)
        by, fields = line.where.partition(":")[0], _named(parts, "field")
        options: dict[str, Any] = {"headers": self._headers(line, whose, parts, value), "follow_redirects": False}
        query = _named(parts, "query") | (fields if method == "GET" else {})
        if query:
            options["params"] = query
        if method == "POST" and (path.startswith("/v1/") or "/webhooks/" in path):
            options["json"] = {"user_ids": []} if by == "bearer" else fields
            options["json"] = _NOTICE if "/webhooks/" in path else options["json"]
        elif method == "POST":
            options["data"] = self._form(line, whose, fields)
        http = self._browser(line, whose)
        return await http.request(method, path, **options, **self._auth(line, whose))

    def _parts(self, line: Line, whose: Person, value: str) -> dict[str, str]:
        """Return what is sent, by place and name: `field:password`, `path:handle`, `cookie:__Host-authorize`."""
        at = next((prefix for prefix in ("/v1/", "/console/") if prefix in line.route), "")
        parts = dict(whose.places.get(at, {}))
        for one in line.beside.split():
            name, is_value, given = one.rpartition("=")
            if is_value:
                parts[f"field:{name}"] = whose.values[given[1:]] if given.startswith("@") else given
            else:
                parts |= whose.places[given[1:]]
        where = line.where.replace("form:", "field:").replace("json:", "field:")
        if line.where.startswith(("path:", "form:", "json:", "query:", "cookie:", "header:")):
            parts[where] = value
        return parts

    def _headers(self, line: Line, whose: Person, parts: dict[str, str], value: str) -> dict[str, str]:
        path = line.route.partition(" ")[2]
        headers = {} if path.startswith(("/v1/", "/webhooks/")) else dict(PAGE)
        if path.startswith("/v1/"):
            desk = self.world.tool
            headers |= desk.caller.headers | desk.headers if "caller-checks" in path else self.world.caller.headers
        given = _named(parts, "cookie")
        if given and "cookie" not in line.where:
            given |= {"__Host-form": self.stranger.http.cookies["__Host-form"]}
        cookies = "; ".join(f"{name}={one}" for name, one in given.items())
        headers |= {"Cookie": cookies} if cookies else {}
        headers |= _named(parts, "header")
        if line.where == "bearer":
            headers["Authorization"] = f"Bearer {value}"
        if line.where == "basic":
            user = whose.values["client_id"] if "/oauth/" in path else "postmark"
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{value}".encode()).decode()
        return {name: one.encode("utf-8", "replace").decode("latin-1") for name, one in headers.items()}

    def _form(self, line: Line, whose: Person, fields: dict[str, str]) -> dict[str, str]:
        if "/oauth/" in line.route and "confirmed" not in line.route and "{request_id}" not in line.route:
            return fields
        token = self.world.clerks[whose.name].token if self._is_console(line) else self.form_token
        return {"form_token": token, **fields}

    def _is_console(self, line: Line) -> bool:
        return "/console/accounts" in line.route

    def _browser(self, line: Line, whose: Person) -> httpx2.AsyncClient:
        if self._is_console(line):
            return self.world.clerks[whose.name].http
        if line.route.partition(" ")[2].startswith(("/v1/", "/webhooks/")) or "cookie" in line.where:
            return self.service.http
        return self.stranger.http

    def _auth(self, line: Line, whose: Person) -> dict[str, Any]:
        path = line.route.partition(" ")[2]
        if "grant_type=client_credentials" in line.beside or not path.startswith((*AT_A_CLIENT, *AT_A_SHOP)):
            return {}
        client, shop = self.world.clients[whose.name], self.world.shops[whose.name]
        by_client = path in AT_A_CLIENT
        return {"auth": (client.client_id, client.client_secret) if by_client else (shop.client_id, shop.secret)}

    async def use(self, secret: Secret) -> str | None:
        """Use a secret at its own place; return what came back if it did not work."""
        line, whose = own_line(secret.kind), self.world.people[secret.owner]
        quiet = await self._led(line, whose, NONSENSE)
        await Rows(self.world).put_back(line)
        answer = await self._led(line, whose, secret.value)
        same = (answer.status_code, _alike(answer, secret.value)) == (quiet.status_code, _alike(quiet, NONSENSE))
        works = answer.status_code < 400 and not same and "error=" not in answer.headers.get("location", "")
        return None if works else f"{line.place}: {answer.status_code} {told(answer)}"

    async def _led(self, line: Line, whose: Person, value: str) -> httpx2.Response:
        """Present a secret; at the console, return the page to which that leads."""
        answer = await self.present(line, whose, value)
        is_led = answer.status_code == 303 and self._is_console(line)
        return await self._browser(line, whose).get(answer.headers["location"]) if is_led else answer

    async def why_wrong(self, line: Line, whose: Person, secret: Secret, quiet: httpx2.Response) -> str | None:
        """Present a secret that must be refused; return what is wrong with the answer, None if nothing is. `quiet` is
        the answer to nonsense."""
        answer = await self.present(line, whose, secret.value)
        if "again" in line.refused and answer.status_code == 303:
            answer = await self.stranger.http.get(answer.headers["location"], follow_redirects=False)
        if not _is_refused(answer, line):
            return f"{answer.status_code} {told(answer)}"
        if answer.status_code in (200, 204) and _alike(answer, secret.value) != _alike(quiet, NONSENSE):
            return f"another answer than to nonsense: {answer.text[:300]}"
        owner = self.world.people[secret.owner]
        names = [owner.email, *owner.accounts.values()]
        if whose.name != secret.owner and any(one in answer.text for one in names):
            return "tells whose it is"
        return None


def own_line(kind: str) -> Line:
    """Return the place where a secret is used: the first that takes it, but for those that answer everything alike."""
    quiet = ("POST /reset/opened", "POST /oauth/revoke")
    return next(line for line in LINES if kind in line.takes and not line.route.startswith(quiet))


def told(answer: httpx2.Response) -> str:
    words = re.sub(r"<(style|script).*?</\1>|<[^>]+>|\s+", " ", answer.text, flags=re.S)
    return f"{answer.headers.get('location', '')} {' '.join(words.split())[:300]}"


def _named(parts: dict[str, str], kind: str) -> dict[str, str]:
    return {name.partition(":")[2]: value for name, value in parts.items() if name.startswith(f"{kind}:")}


def _is_refused(answer: httpx2.Response, line: Line) -> bool:
    if str(answer.status_code) in line.refused:
        return True
    location = urlsplit(answer.headers.get("location", ""))
    if "signin" in line.refused and (answer.status_code == 401 or location.path.endswith("/signin")):
        return True
    if "again" in line.refused:
        return answer.status_code in (400, 410) or "error" in parse_qs(location.query)
    given = parse_qs(location.query)
    return (
        "error" in line.refused
        and answer.headers["location"].startswith(BACK)
        and "error" in given
        and "code" not in given
    )


def _alike(answer: httpx2.Response, value: str) -> str:
    if answer.headers.get("content-type", "").startswith("application/json"):
        return json.dumps(answer.json(), sort_keys=True)
    said = f"{answer.headers.get('location', '')} {answer.text}"
    return alike(said.replace(value, NONSENSE).replace(quote(value), NONSENSE))


class Rows:
    """Every row of every table, to see what a try has changed."""

    ALWAYS = ("rate_limit_counter", "alembic_version", "feed_state", "heartbeat")

    def __init__(self, world: World) -> None:
        self.service = world.service
        self.tables: tuple[str, ...] = ()
        self.seen: dict[str, dict[str, dict]] = {}

    async def look(self) -> None:
        """Remember every row as it is now."""
        self.seen = await self.read()

    async def read(self) -> dict[str, dict[str, dict]]:
        if not self.tables:
            names = await self.service.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            self.tables = tuple(name for (name,) in names if name not in self.ALWAYS)
        whole = " UNION ALL ".join(f"SELECT '{name}', to_jsonb(t)::text FROM {name} t" for name in self.tables)
        found: dict[str, dict[str, dict]] = {name: {} for name in self.tables}
        for name, row in await self.service.rows(whole):
            found[name][row] = json.loads(row)
        return found

    async def changes(self, line: Line) -> list[str]:
        """Return what changed since the last look, beside what the line counts."""
        before, now, wrong = self.seen, await self.read(), []
        self.seen = now
        for name in self.tables:
            gone = [row for text_, row in before[name].items() if text_ not in now[name]]
            new = [row for text_, row in now[name].items() if text_ not in before[name]]
            columns = {one.partition(".")[2] for one in line.counted if one.startswith(f"{name}.")}
            left = [_without(row, columns) for row in gone]
            added = [row for row in new if _without(row, columns) not in left]
            lost = [row for row in left if row not in [_without(one, columns) for one in new]]
            if lost or (added and f"{name}+" not in line.counted):
                wrong.append(f"{name}: {lost or added}")
        return wrong

    async def put_back(self, line: Line) -> None:
        """Forget tries that were counted on purpose, so that the place can be used at the end."""
        columns: dict[str, list[str]] = {}
        for table, is_column, column in (one.partition(".") for one in line.counted):
            if is_column:
                columns.setdefault(table, []).append(f"{column} = {'0' if column in COUNTS else 'NULL'}")
        async with self.service.database.transaction() as session:
            for table, values in columns.items():
                await session.execute(text(f"UPDATE {table} SET {', '.join(values)}"))
            await session.execute(text("DELETE FROM password_attempt"))
            await session.execute(text("DELETE FROM rate_limit_counter"))


def _without(row: dict, columns: set[str]) -> dict:
    return {name: value for name, value in row.items() if name not in columns}
