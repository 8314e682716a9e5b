"""The telephone for development: it takes, refuses and reports as a carrier does, over real HTTP."""

import asyncio
from functools import partial

import pytest

from identity_service.dev import phone
from identity_service.phone_numbers import texts as built
from identity_service.web.server import Server
from tests.texts.given import NUMBER


@pytest.fixture(autouse=True)
def code(monkeypatch):
    async def build(session, message):
        return built.text_rendering.render_text(session, message, code=message.facts["code"])

    monkeypatch.setattr(built, "build_number_check", build)


@pytest.fixture
async def telephone(texts):
    """The application on a port, with the telephone as its only carrier."""
    app, found = texts.service.app, phone.Phone()
    app.state.phone = found
    app.include_router(phone.router)
    server = Server(app, host="127.0.0.1", port=0)
    serving = asyncio.create_task(server.serve())
    await server.started_up()
    port = server.servers[0].sockets[0].getsockname()[1]
    settings = texts.database.settings
    given = found.settings(settings.model_copy(update={"carriers": (), "port": port}))
    settings.__dict__.update(
        given, public_url=f"http://127.0.0.1:{port}", hosts=frozenset({"127.0.0.1", "id.example.com"})
    )
    yield partial(_ask, texts.service.http)
    server.should_exit = True
    await serving


async def _ask(http, method: str, path: str, **options):
    return await http.request(method, f"/dev/phone{path}", **options)


async def test_a_text_is_shown_reported_and_stopped(texts, telephone):
    """TXT-09, TXT-10: by signed calls to the configured URL."""
    await texts.put()
    await texts.turn()
    assert NUMBER in (await telephone("GET", "")).text
    ((text,),) = [(await telephone("GET", "/messages")).json()["items"]]
    assert text["text"].endswith("@127.0.0.1 #482913")
    done = await telephone("POST", f"/messages/{texts.id}/report", json={"state": "delivered"})
    assert (done.json(), await texts.state()) == ({"answered": 204}, "delivered")
    assert (await telephone("POST", f"/messages/{texts.id}/stop")).json() == {"answered": 204}
    await texts.put()
    assert await texts.state() == "suppressed"


async def test_it_refuses_and_answers_an_error_after_taking(texts, telephone):
    """TXT-11"""
    await telephone("PUT", "/behaviour", json={"status": 500, "takes": True})
    await texts.put()
    await texts.turn()
    assert (await texts.message())["may_arrive_twice"]
    assert len((await telephone("GET", "/messages")).json()["items"]) == 1
    await telephone("PUT", "/behaviour", json={"status": 400, "code": "unknown_number"})
    await texts.next_turn()
    assert await texts.state() == "rejected"
    assert (await telephone("DELETE", "/behaviour")).status_code == 204


async def test_only_the_service_hands_it_texts(texts, telephone):
    """TXT-12"""
    text = {"to": NUMBER, "from": "x", "text": "x", "id": "x", "report_url": "http://127.0.0.1:1/"}
    refused = await telephone("POST", "/send", json=text)
    assert refused.status_code == 404, refused.text
