"""A carrier of text messages, as the settings name it. Pure."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class Carrier(BaseModel):
    """A service that takes text messages over HTTP; `api` names its interface (`messages/carriers/`).

    `url` is where messages are posted. `account` is the carrier's name for us: the Account SID of Twilio, the service
    plan of Sinch. `secret` is what it knows us by: Auth Token, API token, or the whole value of `header`. `sender` is
    the number or name that texts come from, or Twilio's Messaging Service SID. `report_key` is what its delivery
    reports are signed with. The others are of `generic` alone: docs/text-messages.md.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    api: Literal["generic", "sinch", "twilio"]
    url: Annotated[str, Field(max_length=500)]
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,100}$")] = ""
    secret: SecretStr
    sender: Annotated[str, Field(min_length=1, max_length=50)]
    report_key: SecretStr | None = None
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")] = "Authorization"
    as_form: bool = False
    fields: dict[str, str] = {
        "to": "{to}", "from": "{from}", "text": "{text}", "id": "{id}", "report_url": "{report_url}",
    }  # fmt: skip
    id_field: str = "id"

    @field_validator("url")
    @classmethod
    def _over_tls(cls, url: str) -> str:
        parts = urlsplit(url)
        if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
            raise ValueError("must be an https URL: messages contain codes")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("must have neither a name nor a query: secrets belong in `secret`")
        return url.rstrip("/")
