"""The root of every expected failure.

An expected failure is a class of its own beside the rule that refuses; its docstring is the sentence the caller
reads, its name is the stable `code`. This file stands apart from `problems.py` so that pure rules can be imported
without a web framework (461 ms otherwise).
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, ClassVar


class Problem(Exception):
    """The request was refused."""

    status: ClassVar[int] = 400
    headers: ClassVar[dict[str, str]] = {}
    leads_to: ClassVar[str | None] = None
    """The page where a person goes on from here; a program is only told."""

    def __init__(self, detail: str | None = None, /, **members: Any) -> None:  # noqa: ANN401
        """Take a sentence of this very case, if there is one, and members that the answer carries (RFC 9457, 3.2)."""
        super().__init__(detail or self.title())
        self.detail = detail
        self.members = members

    @classmethod
    def title(cls) -> str:
        """Return the sentence that is true for every case of this problem."""
        return inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].replace("\n", " ")

    @classmethod
    def code(cls) -> str:
        """Return the stable name that programs compare: `EmailTaken` is `email_taken`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def sentence(self, say: Callable[[str], str] = str) -> str:
        """Return what happened, in the language that `say` speaks."""
        return say(self.detail or self.title())

    def extra_headers(self) -> dict[str, str]:
        """Return headers for this case; `retry_after` among the members becomes `Retry-After` (seconds)."""
        retry_after = self.members.get("retry_after")
        return self.headers if retry_after is None else {**self.headers, "Retry-After": str(retry_after)}


class Unprocessable(Problem):
    """The values have the wrong shape."""

    status = 422


class NotFound(Problem):
    """There is nothing here."""

    status = 404


class Conflict(Problem):
    """Something else stands in the way."""

    status = 409


class Forbidden(Problem):
    """You may not do this."""

    status = 403


class Unavailable(Problem):
    """The service cannot do this right now; try again in a moment."""

    status = 503

    def __init__(self, detail: str | None = None, /, *, retry_after: int = 2, **members: Any) -> None:  # noqa: ANN401
        """Take the seconds after which another try makes sense."""
        super().__init__(detail, retry_after=retry_after, **members)
