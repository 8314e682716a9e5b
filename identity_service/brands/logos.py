"""Make a logo harmless: an SVG keeps known elements and attributes alone, a PNG is decoded and written anew (BRD-01).

The size is limited before anything is read. A PNG is decoded in a process of its own with limits on time and memory,
because decoders have had holes; an SVG must have no document type, so that no entity is ever expanded.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from identity_service.brands.rules import BrandError, Logo, Mistakes

LARGEST: Final = 256 * 1024
"""Bytes of a logo's file."""
LONGEST_SIDE: Final = 2048
"""Pixels of a PNG's longer side."""
DEEPEST: Final = 100
"""Elements of an SVG that are in each other."""
_SVG: Final = "http://www.w3.org/2000/svg"
_SECONDS, _MEMORY = 10, 1 << 30
_ELEMENTS: Final = frozenset(
    "svg g path rect circle ellipse line polyline polygon defs linearGradient radialGradient stop clipPath title desc "
    "text tspan".split()
)
_ATTRIBUTES: Final = frozenset(
    "id viewBox width height x y x1 y1 x2 y2 cx cy r rx ry fx fy d points transform fill fill-rule fill-opacity "
    "clip-rule clip-path stroke stroke-width stroke-linecap stroke-linejoin stroke-miterlimit stroke-dasharray "
    "stroke-opacity opacity offset stop-color stop-opacity gradientUnits gradientTransform spreadMethod clipPathUnits "
    "preserveAspectRatio font-family font-size font-weight text-anchor version role".split()
)
_INNER = re.compile(r"url\(#[A-Za-z][\w.-]*\)", re.ASCII)
_MOVES: Final = r"(?:matrix|translate|scale|rotate|skewX|skewY)\([\d .,e+-]*\)"
_PLAIN = re.compile(rf"[^()\\<>&:@]*|(?:{_MOVES}[ ,]*)+|rgb\([\d ,.%]*\)", re.ASCII)
"""Values without functions or addresses, or the functions of `transform`, or a colour."""


def read_logo(path: Path) -> Logo:
    """Return the logo in a file, made harmless.

    Raises:
        BrandError: it is too large, or not what its name says, or it has something that a logo does not need.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise BrandError(f"{path}: has {size} bytes; a logo may have {LARGEST}.")
    content = path.read_bytes()
    if path.suffix == ".svg":
        return Logo(media_type="image/svg+xml", content=clean_svg(content, str(path)))
    return Logo(media_type="image/png", content=_clean_png(content, str(path)))


def clean_svg(content: bytes, name: str) -> bytes:
    """Return an SVG whose every element and attribute is on the list.

    Raises:
        BrandError: it is no SVG, or it has anything else; nothing is silently left out.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # expat takes zeros for UTF-16
        raise BrandError(f"{name}: is not UTF-8; save it as plain SVG in UTF-8.")
    if re.search(r"<!(?!--)|<\?(?!xml[ \t])", text):
        raise BrandError(f"{name}: has a document type or a processing instruction; save it as plain SVG.")
    try:
        root = ET.fromstring(text)  # noqa: S314 (no document type: no entities)
    except (ET.ParseError, ValueError) as problem:
        raise BrandError(f"{name}: is not well-formed XML ({problem}).") from None
    if root.tag != f"{{{_SVG}}}svg":
        raise BrandError(f"{name}: is not an SVG: its first element must be svg of {_SVG}.")
    _check_depth(root, name)
    mistakes = Mistakes(dict.fromkeys(wrong for element in root.iter() for wrong in _wrong_in(element, name)))
    mistakes.tell()
    ET.register_namespace("", _SVG)
    return bytes(ET.tostring(root, encoding="utf-8"))


def _check_depth(root: ET.Element, name: str) -> None:
    row, depth = [root], 0
    while row:
        row, depth = [child for element in row for child in element], depth + 1
    if depth > DEEPEST:
        raise BrandError(f"{name}: has {depth} elements in each other; a logo may have {DEEPEST}.")


def _wrong_in(element: ET.Element, name: str) -> Iterator[str]:
    """Yield what an element may not have, a sentence each."""
    namespace, _, tag = str(element.tag).rpartition("}")
    if namespace != f"{{{_SVG}" or tag not in _ELEMENTS:
        yield f"{name}: the element {tag} is not allowed in a logo; remove it."
        return
    for attribute, value in element.attrib.items():
        if attribute not in _ATTRIBUTES:
            shown = attribute.rpartition("}")[2]
            yield f"{name}: the attribute {shown} is not allowed in a logo; remove it from {tag}."
        elif not (_INNER.fullmatch(value) or _PLAIN.fullmatch(value)):
            yield f"{name}: the value of {attribute} in {tag} refers to something outside; remove it."


def _clean_png(content: bytes, name: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "identity_service.brands.logos"],
        input=content, capture_output=True, timeout=_SECONDS * 2, check=False,
    )  # fmt: skip
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "its decoder was stopped"
        raise BrandError(f"{name}: cannot be read as a PNG ({reason[:200]}).")
    return done.stdout


def _write_anew() -> None:
    """Read a PNG from standard input and write its pixels, and nothing else of it, to standard output."""
    import resource  # noqa: PLC0415 (POSIX has it, and only this process needs it)

    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    from PIL import Image  # noqa: PLC0415 (only this process decodes)

    with Image.open(sys.stdin.buffer, formats=("PNG",)) as image:
        if max(image.size) > LONGEST_SIDE:
            sys.exit(f"it has {image.width} × {image.height} pixels; a side may have {LONGEST_SIDE}")
        pixels = image.convert("RGBA")
        pixels.info.clear()
        pixels.save(sys.stdout.buffer, "PNG")


if __name__ == "__main__":
    _write_anew()
