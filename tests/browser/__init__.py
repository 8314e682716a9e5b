"""A browser without scripts: follows redirects, keeps cookies, and sends forms as the page gave them."""

import re
from html import unescape

import httpx2

PAGE = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Site": "same-origin"}


class Browser:
    """One person's browser; cookies and the last page are its own."""

    def __init__(self, app, base: str, *, language: str = "en", source: str = "198.51.100.9") -> None:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(source, 50000))
        self.http = httpx2.AsyncClient(
            transport=transport, base_url=base, headers={**PAGE, "Accept-Language": language}, follow_redirects=True
        )
        self.page: httpx2.Response | None = None

    async def open(self, path: str) -> httpx2.Response:
        self.page = await self.http.get(path)
        return self.page

    async def send(self, action: str, **fields: str) -> httpx2.Response:
        """Send the form of the page in front of us, with the hidden value that it carries."""
        token = re.search(r'name="form_token" value="([^"]+)"', self.page.text)
        assert token, "the page has no form"
        self.page = await self.http.post(action, data={"form_token": token[1], **fields})
        return self.page

    @property
    def text(self) -> str:
        """What a person reads: no tags, entities resolved, blanks folded."""
        words = re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", self.page.text, flags=re.S)
        return re.sub(r"\s+", " ", unescape(words)).strip()
