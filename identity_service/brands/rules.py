"""What a brand is, and what it may say: names, colours that can be read, links, sender, languages. Pure."""

import contextlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from identity_service import translations
from identity_service.values import names, text

DEFAULT: Final = "default"
"""The brand of whatever belongs to no other; its values come from the settings where it has no file."""
LEAST_CONTRAST: Final = 4.5
"""WCAG 2.2, 1.4.3 (AA): text against what is behind it."""
LIGHT, DARK = ("#ffffff", "#f4f5f2", "#e6efe9"), ("#172a24", "#10201b", "#1f362e")
"""What stands behind the accent colour on light and on dark pages: cards, paper, soft boxes (`static/style.css`)."""
_ON_ACCENT: Final = {"accent": "#ffffff", "accent_dark": "#0d1f19"}
"""What a button writes on the accent colour."""
_HOST = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


_LOOK_LATIN: Final = str.maketrans("авекмнорстухіѕјһԁԛԝαβεικνορτυχω", "abekmhopctyxisjhdqwabeikvoptuxw")
"""Small Cyrillic and Greek letters, and the Latin ones that they look like."""


class BrandError(ValueError):
    """Brands cannot be used; each of `mistakes` is a sentence that names the file and what to change.

    `readable` has what could be read all the same, for checks that find more.
    """

    def __init__(self, *mistakes: str, readable: "tuple[Brand, ...]" = ()) -> None:
        """Take the sentences; the text of the error is all of them, a line each."""
        super().__init__("\n".join(mistakes))
        self.mistakes, self.readable = mistakes, readable


class Mistakes(list[str]):
    """Mistakes of several files, collected so that whoever mends them sees all of them at once."""

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep the mistakes of a `BrandError` inside the block, and go on behind it."""
        try:
            yield
        except BrandError as problem:
            self.extend(problem.mistakes)

    def tell(self, *readable: "Brand") -> None:
        """Raise a `BrandError` with every mistake, if there was one."""
        if self:
            raise BrandError(*self, readable=readable)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours `#rrggbb`, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    parts = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _line(line: str) -> str:
    fault = text.find_line_fault(line)
    if fault is not None or line != line.strip():
        why = "" if fault is None else f"; it {fault}"
        raise ValueError(f"must be one printable line, without blanks around it{why}")
    return line


def _https(url: str) -> str:
    """Refuse everything but an https address of a plain host: what reaches `href` opens nothing else (BRD-03)."""
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.netloc != parts.hostname or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("must be an https:// address with a host in ASCII, without user and port")
    if not re.fullmatch(r"[!#-;=?-~]+", url):
        raise ValueError("must be printable ASCII without blanks, quotes and angle brackets")
    return url


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise ValueError("must be a host name in lower case, like id.example.com")
    return name


def _zone(name: str) -> str:
    if not translations.is_time_zone(name):
        raise ValueError("must be a time zone, like Europe/Berlin")
    return name


Line = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_line)]
Host = Annotated[str, AfterValidator(_host)]
TimeZone = Annotated[str, AfterValidator(_zone)]
Link = Annotated[str, Field(max_length=500), AfterValidator(_https)]
Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$"), BeforeValidator(lambda text: str(text).lower())]


class Colors(BaseModel):
    """The accent colour: buttons, links, bars. Its pairs with what stands around it must be readable (BRD-03)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accent: Color = "#1d5c4a"
    accent_dark: Color = "#7fd0b6"

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        wrong = []
        for name, behind in (("accent", LIGHT), ("accent_dark", DARK)):
            color = getattr(self, name)
            found, other = min((contrast(color, one), one) for one in (*behind, _ON_ACCENT[name]))
            if found < LEAST_CONTRAST:
                side = "darker" if name == "accent" else "lighter"
                wrong.append(
                    f"{name}: {color} has a contrast of {found:.1f} to {other}, and needs "
                    f"{LEAST_CONTRAST} (WCAG 2.2, 1.4.3); choose a {side} colour"
                )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class Links(BaseModel):
    """Where the footer of pages and emails leads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    imprint: Link | None = None
    privacy: Link | None = None
    terms: Link | None = None
    help: Link | None = None


class Mail(BaseModel):
    """Who writes the emails. Relays are those of the settings, by name; none named: all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    from_address: Annotated[str, Field(alias="from", pattern=r"^[a-z0-9._+-]{1,64}@[a-z0-9.-]+\.[a-z0-9-]+$")]
    from_name: Line | None = None
    reply_to: Annotated[str, Field(pattern=r"^[a-z0-9._+-]{1,64}@[a-z0-9.-]+\.[a-z0-9-]+$")] | None = None
    bounce_domain: Host | None = None
    relays: tuple[str, ...] = ()
    dkim_selector: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] | None = None

    @property
    def domain(self) -> str:
        """Return the domain of the sender, which is also used in Message-IDs."""
        return self.from_address.rpartition("@")[2]


class Logo(BaseModel):
    """An image that was made harmless; `media_type` is `image/svg+xml` or `image/png`."""

    model_config = ConfigDict(frozen=True)

    media_type: str
    content: bytes


class Brand(BaseModel):
    """The face of an operator. `words` holds sentences of its own for emails, by language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = DEFAULT
    name: Line
    legal_name: Line | None = None
    postal_address: Annotated[str, Field(max_length=200), AfterValidator(_line)] | None = None
    telephone: Annotated[str, Field(pattern=r"^\+[1-9]([ -]?[0-9]){6,14}$")] | None = None
    host: Host | None = None
    languages: tuple[str, ...] = ()
    default_language: str = translations.SOURCE
    time_zone: TimeZone = "UTC"
    colors: Colors = Colors()
    links: Links = Links()
    mail: Mail | None = None
    logo: Logo | None = None
    words: dict[str, Any] = {}

    @field_validator("default_language", "languages", mode="after")
    @classmethod
    def _known(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        unknown = {value} if isinstance(value, str) else set(value)
        unknown -= set(translations.languages())
        if unknown:
            have = ", ".join(translations.languages())
            raise ValueError(f"there is no locales/{sorted(unknown)[0]}.po; there are {have}")
        return value

    @field_validator("default_language", mode="after")
    @classmethod
    def _default_is_offered(cls, value: str, info: ValidationInfo) -> str:
        offered = info.data.get("languages", ())
        if offered and value not in offered:
            raise ValueError("must be one of the brand's languages")
        return value

    @property
    def offered(self) -> tuple[str, ...]:
        """Return the languages of the brand's pages, its default first."""
        others = (one for one in self.languages or translations.languages() if one != self.default_language)
        return self.default_language, *others

    @property
    def dialled(self) -> str | None:
        """Return the telephone number as a link dials it (E.164); `telephone` has it in groups that can be read."""
        return self.telephone and re.sub("[ -]", "", self.telephone)


def skeleton(name: str) -> str:
    """Return a name as it looks at a glance: `Acrne` and `Acmé` are like `Acme`, and so is one in Cyrillic (UTS 39)."""
    marks = unicodedata.normalize("NFKD", names.as_seen(name).casefold())
    plain = re.sub(r"[\W_]", "", names.as_seen(marks)).translate(_LOOK_LATIN)
    for pair, like in (("rn", "m"), ("vv", "w"), ("cl", "d"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s")):
        plain = plain.replace(pair, like)
    return plain
