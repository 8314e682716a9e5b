"""Requests on their way, and what the browser is shown."""

from urllib.parse import urlencode

from tests.openid.given import a_request, answer_of, travel

ISSUER = "https://id.example.com"


async def opened(browser, shop, **changed):
    """The first answer to a request, not followed."""
    return await browser.http.get(a_request(shop, **changed).path, follow_redirects=False)


async def outcome(browser, shop, **changed):
    """What becomes of a request: the parameters at the shop, or else the path of the page that is shown."""
    page = await travel(browser, a_request(shop, **changed).path)
    return answer_of(page) if page.status_code == 303 else page.url.path


async def error_of(browser, shop, **changed) -> str:
    answer = await outcome(browser, shop, **changed)
    assert answer["iss"] == ISSUER
    assert "code" not in answer
    return answer["error"]


def form_of(page) -> str:
    return str(page.url.copy_with(scheme="", host=""))


async def push(shop, **more):
    """Push a request; the answer, and the request with its verifier."""
    request = a_request(shop)
    form = {**request.query, **more}
    auth = {"auth": (shop.client_id, shop.secret)} if shop.secret else {}
    return await shop.service.http.post("/oauth/par", data=form, **auth), request


def brought(shop, request_uri: str, **more: str) -> str:
    return f"/oauth/authorize?{urlencode({'client_id': shop.client_id, 'request_uri': request_uri, **more})}"


def is_our_page(page, *unsaid: str) -> None:
    """An error page of ours, which leads nowhere and repeats nothing that was sent."""
    assert page.status_code == 400, page.headers
    assert "location" not in page.headers
    assert page.headers["content-type"].startswith("text/html")
    assert not [text for text in unsaid if text in page.text]


async def send_away(browser, page, **fields):
    """Send a page's form to its own path; the answer, which may lead to another program of the machine."""
    token = page.text.partition('name="form_token" value="')[2].partition('"')[0]
    return await browser.http.post(form_of(page), data={"form_token": token, **fields}, follow_redirects=False)
