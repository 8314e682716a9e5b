"""Somebody before a screen: what he does in plain verbs, and what no page may ever do to him."""

from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, Page, Request, Response

DESK = {"width": 1180, "height": 860}
PHONE = {"width": 360, "height": 760}
LISTEN = "addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective))"
AXE = {"resultTypes": ["violations"]}


class Visitor:
    """One browser context. `leave` fails when something came from elsewhere, was blocked, failed, or stayed behind."""

    def __init__(self, context: BrowserContext, page: Page, site: str) -> None:
        self.context, self.page, self.site = context, page, site
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.expected: set[int] = set()
        self.known = {urlsplit(site).netloc}
        context.on("request", self._note)
        context.on("console", lambda line: self._complain(line.type, line.text))
        context.on("weberror", lambda problem: self.complaints.append(str(problem.error)))

    @classmethod
    async def come(
        cls, chromium: Chromium, site: str, *, phone: bool = False, scripts: bool = True, language: str = "en-GB",
        dark: bool = False, **options,
    ) -> "Visitor":  # fmt: skip
        context = await chromium.new_context(
            base_url=site, viewport=PHONE if phone else DESK, has_touch=phone, java_script_enabled=scripts,
            locale=language, color_scheme="dark" if dark else "light", device_scale_factor=2 if phone else 1, **options,
        )  # fmt: skip
        context.set_default_timeout(10_000)
        await context.add_init_script(LISTEN)
        return cls(context, await context.new_page(), site)

    async def open(self, where: str) -> Response:
        return await self.page.goto(where)

    async def type(self, label: str, text: str) -> None:
        await self.page.get_by_label(label, exact=True).first.fill(text)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).first.click()
        await self.page.wait_for_load_state()

    async def follow(self, name: str) -> None:
        await self.page.get_by_role("link", name=name, exact=True).first.click()
        await self.page.wait_for_load_state()

    async def keys(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def text(self) -> str:
        return await self.page.locator("main").inner_text()

    async def overhang(self) -> int:
        """How many pixels the page is wider than the screen."""
        return await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    async def barriers(self) -> list[str]:
        """What axe-core finds, each with the elements."""
        found = await Axe().run(self.page, options=AXE)
        return [
            f"{rule['id']}: {[node['html'][:120] for node in rule['nodes']]}" for rule in found.response["violations"]
        ]

    async def leave(self) -> None:
        stored = await self.page.evaluate("[localStorage.length, sessionStorage.length]") if self.visited else [0, 0]
        await self.context.close()
        assert self.complaints == [], self.complaints
        assert stored == [0, 0]
        assert {urlsplit(request.url).netloc for request in self.requests} <= self.known

    @property
    def visited(self) -> bool:
        return self.page.url.startswith(self.site)

    def _note(self, request: Request) -> None:
        self.requests.append(request)

    def _complain(self, kind: str, text: str) -> None:
        # Chromium itself writes a line for each answer of 400 and above; a test that wants one names it.
        if kind == "error" and not any(f"status of {status} " in text for status in self.expected):
            self.complaints.append(text)
