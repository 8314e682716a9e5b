"""The pages in the clothes of a brand, and the design system: no barrier in either colour scheme, nothing too wide."""

import pytest

from identity_service.dev import design
from tests.brands.given import ACME, LOGO, write_brand
from tests.browser.walk import every_page

FACE = ACME.replace('host = "id.acme.example"\n', "").partition("[mail]")[0]


@pytest.fixture
def settings(settings, tmp_path):
    """The settings of an operator whose every page has a face of its own; one brand has kept our colours."""
    write_brand(tmp_path / "brands", "default", FACE, logo_svg=LOGO.format(color="#0b4f9c", name="Acme"))
    write_brand(tmp_path / "brands", "plain", 'name = "Plain"\n')
    return settings.model_copy(update={"brands_dir": tmp_path / "brands"})


async def look(one, scheme: str) -> list[str]:
    """Return the barriers of the page in a colour scheme; being too wide is one, too."""
    await one.page.emulate_media(color_scheme=scheme)
    wide = await one.overhang()
    return [*await one.barriers(), *([f"{wide} pixels too wide"] if wide > 0 else [])]


@pytest.mark.timeout(300)
async def test_the_colours_of_a_brand_are_no_barrier(visit, service, letters):
    """BRD-03: one walk for both schemes, because walking takes longer than looking."""
    one = await visit(language="de-DE", phone=True)
    seen = []
    async for name in every_page(one, service, letters, "de"):
        assert await one.page.locator("header.brand img").get_attribute("alt") == "Acme", name
        for scheme in ("light", "dark"):
            assert await look(one, scheme) == [], (name, scheme)
        seen.append(name)
    assert len(seen) > 20


@pytest.mark.parametrize("page", ["?brand=plain&language=de&signed_in=yes", "?language=ar", "/console"])
async def test_the_design_system_has_no_barrier(visit, service, page: str):
    """Every component in every state, light on a desk and dark on a narrow phone; from right to left, too."""
    service.app.include_router(design.router)
    one = await visit()
    await one.open(f"/dev/design{page}")
    for width, scheme in ((1180, "light"), (320, "dark")):
        await one.page.set_viewport_size({"width": width, "height": 800})
        assert await look(one, scheme) == [], (width, scheme)
