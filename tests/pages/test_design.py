"""`/dev/design` shows what pages are made of: nothing is missing there, and nothing there is for itself alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from identity_service import app as web
from identity_service import translations
from identity_service.dev import design
from identity_service.one_time_tokens import tracking
from tests.brands.given import write_both

TEMPLATES = web.STATIC.parent / "templates"
SHEETS = {"style.css": "/dev/design", "console.css": "/dev/design/console"}
BY_SCRIPT = {"has-link"}
"""Set by a script on the whole page, which then looks different."""
STEPS = {".2rem", ".4rem", ".6rem", ".8rem", "1rem", "1.2rem", "1.4rem", "2rem", "4rem"}
DEV_PAGES = ("/dev/design", "/dev/design/console", "/dev/messages", "/dev/mailbox")


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"brands_dir": write_both(tmp_path / "brands")})


@pytest.fixture
async def shown(service):
    """Return a page of the design system."""
    service.app.include_router(design.router)

    async def get(path: str) -> httpx2.Response:
        answer = await service.http.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, answer.text
        return answer

    return get


def classes(css: str) -> set[str]:
    """Return the classes that a style sheet has rules for."""
    return set(re.findall(r"\.([a-z][\w-]*)", re.sub(r"\{[^{}]*\}", "{}", css)))


def worn(html: str) -> set[str]:
    """Return the classes of every element."""
    return {name for value in re.findall(r'class="([^"]*)"', html) for name in value.split()}


def sheet(name: str) -> str:
    return (web.STATIC / name).read_text("utf-8")


@pytest.mark.parametrize("name", SHEETS)
async def test_every_class_of_a_style_sheet_is_shown(shown, name):
    """A new component is documented, or this is red."""
    page = await shown(SHEETS[name])
    assert classes(sheet(name)) - BY_SCRIPT - worn(page.text) == set()


def test_a_class_that_nobody_documented_is_found():
    assert classes(".card { margin: 1.5rem; } @media print { .planted h2 { color: red; } }") == {"card", "planted"}


def _used() -> Iterator[str]:
    paths = [path for path in TEMPLATES.rglob("*.html") if path.parent.name != "dev"]
    # The tone of an email is chosen in Python.
    for path in (*paths, *web.STATIC.glob("*.js"), Path(tracking.__file__)):
        yield path.read_text("utf-8")


@pytest.mark.parametrize("name", SHEETS)
def test_every_class_of_a_style_sheet_is_used_by_a_real_page(name):
    used = " ".join(_used())
    assert {one for one in classes(sheet(name)) if not re.search(rf"\b{one}\b", used)} == set()


def _loads_console(path: Path) -> bool:
    text = path.read_text("utf-8")
    above = re.search(r'{% extends "([^"]+)" %}', text)
    return "/static/console.css" in text or (above is not None and _loads_console(TEMPLATES / above[1]))


def test_a_page_loads_the_style_sheet_of_its_classes():
    ours = classes(sheet("console.css")) - classes(sheet("style.css"))
    wearing = [path for path in TEMPLATES.rglob("*.html") if worn(path.read_text("utf-8")) & ours]
    assert wearing != []
    pages = [path for path in wearing if not path.name.startswith(("_", "docs."))]
    assert [path.name for path in pages if not _loads_console(path)] == []


@pytest.mark.parametrize("brand", ["default", "acme", "zeta"])
async def test_every_pair_of_colours_can_be_read(service, shown, brand):
    """BRD-03: in both schemes, and with the accent colour of every brand; the page shows every colour."""
    worn_by = service.database.settings.brands.find(brand)
    found = design.style("style.css", worn_by.colors)
    assert found.light.keys() == found.dark.keys()
    for pair in design.pairs(found):
        assert min(pair.light, pair.dark) >= pair.least, pair
    page = await shown(f"/dev/design?brand={brand}")
    for color in (*found.light.values(), *found.dark.values()):
        assert f"<code>{color}</code>" in page.text
    assert f'href="/brand/{brand}/' in page.text


@pytest.mark.parametrize("name", SHEETS)
def test_spaces_are_steps_of_the_scale(name):
    assert set(design.style(name).spaces) - STEPS == set()


async def test_the_words_follow_the_parameter(shown):
    page = await shown("/dev/design?language=ar&signed_in=yes")
    assert '<html lang="ar" dir="rtl">' in page.text
    assert translations.catalogue("ar").gettext("Sign out") in page.text
    assert '<html lang="fr" dir="ltr">' in (await shown("/dev/design?brand=zeta&language=de")).text


async def test_every_anchor_has_its_part(shown):
    page = await shown("/dev/design")
    named = re.findall(r'href="#([a-z]+)"', page.text)
    assert len(named) > 15
    assert set(named) <= set(re.findall(r' id="([\w-]+)"', page.text))


@pytest.mark.parametrize("development", [False, True])
def test_only_the_command_that_runs_everything_has_pages_for_developers(development):
    """An installation has none of them, not even one whose environment is development."""
    paths = {getattr(route, "path", "") for route in web.build_app(development=development).routes}
    assert [path for path in paths if path.startswith("/dev")] == []


@pytest.mark.parametrize("path", DEV_PAGES)
async def test_a_page_for_developers_is_not_found_elsewhere(service, path):
    assert (await service.http.get(path)).status_code == 404
