"""What a brand's pages load: its colours and its logo."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service.brands.rules import Brand
from identity_service.web import dependencies
from identity_service.web.problems import UnknownPath

router = APIRouter(include_in_schema=False)
_KEPT = "public, max-age=86400"


@router.get("/brand/{key}/{mark}/colors.css")
async def show_colors(request: Request, key: str, mark: str) -> Response:  # noqa: ARG001 (it is there for caches)
    """Return the brand's colours as the variables that the style sheet uses."""
    colors = _find(request, key).colors
    css = (
        f":root {{ --accent: {colors.accent}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --accent: {colors.accent_dark}; }} }}\n"
    )
    return Response(css, media_type="text/css", headers={"Cache-Control": _KEPT})


@router.get("/brand/{key}/logo")
async def show_logo(request: Request, key: str) -> Response:
    """Return the brand's logo; its policy lets it load and run nothing, also when it is opened by itself (BRD-02)."""
    logo = _find(request, key).logo
    if logo is None:
        raise UnknownPath
    policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return Response(
        logo.content, media_type=logo.media_type, headers={"Cache-Control": _KEPT, "Content-Security-Policy": policy}
    )


def _find(request: Request, key: str) -> Brand:
    brands = dependencies.database_of(request).settings.brands
    if key not in brands.by_key:
        raise UnknownPath
    return brands.find(key)
