"""The root of every expected failure.

An expected failure is a class beside the rule that raises it; its docstring is the sentence the caller reads, its name
is the stable `code`. This file is separate from `web/problems.py` so that pure rules can be imported without a web
framework (which takes 461 ms).
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

_ABBREVIATIONS = {word.lower(): word for word in ("CSRF", "ID", "JSON", "VAT")}


class Problem(Exception):
    """We refused this request."""

    status: ClassVar[int] = 400
    headers: ClassVar[dict[str, str]] = {}
    leads_to: ClassVar[str | None] = None
    """The page that a person is redirected to; a program gets the problem itself."""
    leads_always: ClassVar[bool] = False
    """Whether a form that was sent leads there, too; what was typed is lost."""

    def __init__(
        self,
        detail: str | None = None,
        /,
        *,
        places: Mapping[str, object] | None = None,
        **members: Any,  # noqa: ANN401
    ) -> None:
        """Take an optional sentence about this case, and extension members of the response (RFC 9457, 3.2).

        `places` fills the places of the sentence (`{sign}`) after it was translated.
        """
        self._sentence, self._places = detail or self.title(), places
        self.detail = detail if detail is None or places is None else detail.format(**places)
        super().__init__(self.detail or self.title())
        self.members = members

    @classmethod
    def title(cls) -> str:
        """Return the sentence that holds for every case: the first paragraph of the docstring."""
        return inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")

    @classmethod
    def short_title(cls) -> str:
        """Return the name of the kind in words: `Email taken` (RFC 9457, 3.1.3)."""
        words = " ".join(_ABBREVIATIONS.get(word, word) for word in cls.code().split("_"))
        return words[0].upper() + words[1:]

    @classmethod
    def code(cls) -> str:
        """Return the stable name that programs compare: `email_taken` for `EmailTaken`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def sentence(self, translate: Callable[[str], str] = str) -> str:
        """Return the detail, or else the title, translated by `translate`."""
        said = translate(self._sentence)
        return said if self._places is None else said.format(**self._places)

    def extra_headers(self) -> dict[str, str]:
        """Return the response headers of this case; the member `retry_after` (seconds) becomes `Retry-After`."""
        retry_after = self.members.get("retry_after")
        return self.headers if retry_after is None else {**self.headers, "Retry-After": str(retry_after)}


class Unprocessable(Problem):
    """Some values aren't in the right format. Check them and try again."""

    status = 422


class NotFound(Problem):
    """We can't find what you're looking for."""

    status = 404


class Conflict(Problem):
    """The request conflicts with the current state. Check that, then try again."""

    status = 409


class Forbidden(Problem):
    """You don't have permission to do this."""

    status = 403


class Unavailable(Problem):
    """We can't do this right now. Try again in a moment."""

    status = 503

    def __init__(self, detail: str | None = None, /, *, retry_after: int = 2, **members: Any) -> None:  # noqa: ANN401
        """Take the seconds after which a retry makes sense."""
        super().__init__(detail, retry_after=retry_after, **members)
