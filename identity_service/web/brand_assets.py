"""What a brand's pages load, its colours and its logo; and which brand the page of a message wears."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from identity_service.brands.rules import Brand
from identity_service.web import dependencies
from identity_service.web.problems import MisdirectedRequest, UnknownPath

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
    if key not in brands.by_key or _is_of_another(request, key):
        raise UnknownPath
    return brands.find(key)


def wear(request: Request, key: str | None) -> None:
    """Let a page wear the brand of what it shows, if it shows something of one.

    Raises:
        MisdirectedRequest: the host is another brand's (BRD-04); a page leads to the issuer's, which is everybody's.
    """
    if key is not None and _is_of_another(request, key):
        raise MisdirectedRequest.on_issuer(dependencies.database_of(request).settings, request.url.path)
    request.state.shown_brand = key


def _is_of_another(request: Request, key: str) -> bool:
    return getattr(request.state, "brand", None) not in (None, key)
