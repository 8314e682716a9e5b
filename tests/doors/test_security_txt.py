"""security.txt (RFC 9116): there when the operator named a contact, whole, and never good for a year or more."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from identity_service.settings import Settings

PATH = "/.well-known/security.txt"


@pytest.fixture
def named(service, monkeypatch):
    """The operator has named a contact, good until so many days from now."""

    def name(days: int, contact: str = "https://id.example.com/report") -> str:
        until = (service.clock() + timedelta(days=days)).date()
        settings = service.database.settings.model_copy(
            update={"security_contact": contact, "security_contact_expires": until}
        )
        monkeypatch.setattr(service.database, "settings", settings)
        return f"{until}T00:00:00Z"

    return name


async def test_it_says_contact_end_and_home(service, named):
    """API-06: https, one Contact, one Expires, Canonical; as text."""
    ends = named(200)
    answer = await service.http.get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    fields = [line.split(": ", 1) for line in answer.text.splitlines()]
    assert fields == [
        ["Contact", "https://id.example.com/report"],
        ["Expires", ends],
        ["Canonical", f"https://id.example.com{PATH}"],
        ["Preferred-Languages", "en"],
    ]


async def test_it_is_never_good_for_a_year(service, named):
    """API-06: a date far ahead is cut."""
    named(2000)
    (line,) = [line for line in (await service.http.get(PATH)).text.splitlines() if line.startswith("Expires")]
    assert line == f"Expires: {service.clock() + timedelta(days=364):%Y-%m-%dT%H:%M:%SZ}"


async def test_what_browsers_and_search_engines_ask_for_by_itself_is_there(service):
    robots = await service.http.get("/robots.txt")
    assert (robots.status_code, robots.text) == (200, "User-agent: *\nAllow: /$\nDisallow: /\n")
    picture = await service.http.get("/favicon.ico")
    assert (picture.status_code, picture.headers["Location"]) == (301, "/static/icon.svg")


async def test_without_a_contact_there_is_none(service):
    answer = await service.http.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_path")


@pytest.mark.parametrize(
    "contact", ["http://id.example.com", "security@id.example.com", "mailto:a b", "https://a\nX: b"]
)
def test_a_contact_is_an_https_or_mailto_url(contact):
    """API-06: and one line."""
    with pytest.raises(ValidationError):
        Settings(security_contact=contact)
