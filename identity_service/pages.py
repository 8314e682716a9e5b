"""Pages: one Jinja2 environment for everything people look at. Works without scripts; nothing comes from elsewhere."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_PAGES = Environment(loader=PackageLoader("identity_service"), undefined=StrictUndefined, autoescape=True)


def render(template: str, **facts: Any) -> str:  # noqa: ANN401
    """Return a page."""
    return _PAGES.get_template(template).render(**facts)


def documentation(openapi: dict[str, Any]) -> str:
    """Return the page that explains the API, made from its OpenAPI document."""
    return render(
        "docs.html", api=openapi, resolve=lambda ref: openapi["components"]["schemas"][ref.rsplit("/", 1)[-1]]
    )
