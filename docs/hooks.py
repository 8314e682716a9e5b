"""Adds the pages at the top of the repository to the site, and rewrites relative links.

Pages link relatively, for readers of the repository. In the site `docs/` is the top, so each link is resolved in the
repository and written for the site. The strict build refuses a link to a file that is neither in `docs/` nor listed.
"""  # noqa: INP001

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
FILES = ("LICENSE", "Dockerfile", "compose.yaml", "openapi/openapi.json")

_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, *, config: Any) -> Files:  # noqa: ANN401
    """Add the files outside of `docs/`."""
    for name in (*PAGES, *FILES):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:  # noqa: ANN401
    """Rewrite the relative links of a page for the site."""
    uri: str = page.file.src_uri
    folder = posixpath.dirname(uri if uri in PAGES else f"docs/{uri}")

    def rewritten(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[2])).removeprefix("docs/")
        return found[1] + posixpath.relpath(target, posixpath.dirname(uri) or ".")

    return _LINK.sub(rewritten, markdown)
