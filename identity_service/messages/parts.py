"""The paragraphs that emails are made of, and those that many of them have. Pure."""

import re
from typing import Final, NamedTuple

PLACE: Final = re.compile(r"\{([a-z_]+)\}")


class Part(NamedTuple):
    """One paragraph: its name for brands that word it differently, its sentence, and what stands below it.

    `shows` is the name of a fact: `link` (with the words of its button), `code`, `user_id`, `spoken`, `promise`,
    `wording` or `phrase`.
    """

    name: str
    text: str
    shows: str | None = None
    button: str | None = None


class EmailCopy(NamedTuple):
    """The words of a kind of email."""

    subject: str
    parts: tuple[Part, ...]


SAFETY: Final = Part(
    "safety", "We never ask for your password. Only read a code out to us if the email it came in says so."
)
FINE: Final = Part("fine", "If this is what you want, you don't need to do anything.")
CODE_THERE: Final = Part("code", "Or enter this code on that page:", shows="code")
IF_YOU: Final = Part("fine", "If this was you, you don't need to do anything.")
IF_NOT_YOU: Final = Part(
    "not_you", "If this wasn't you, set a new password here and contact us. That ends new recovery codes and signs out "
    "all devices:", shows="link", button="Choose a new password",
)  # fmt: skip
