"""The data of events about clients, and about applications that sign customers in."""

from identity_service.events.data_models import EventData


class ApplicationData(EventData):
    """The application, and what it may read."""

    client_id: str
    scopes: list[str]


class ApplicationEndedData(EventData):
    """The application that lost its access, and why."""

    client_id: str
    why: str


class ClientData(EventData):
    """The client."""

    client_id: str


class ClientChangedData(ClientData):
    """The client, the names of the fields that changed, and their values unless they may name a person."""

    fields: list[str]
    source: str | None = None
    scopes: list[str] | None = None


class ClientSignInChangedData(ClientData):
    """The application, the names of the fields that changed, and the two that an operator has to answer for."""

    fields: list[str]
    first_party: bool
    pkce: bool


class ClientAddedData(ClientData):
    """The client, its source, and what it may do."""

    source: str
    desk: bool
    scopes: list[str]


class ResourceServerData(EventData):
    """The audience of an API."""

    audience: str


class ResourceServerSetData(ResourceServerData):
    """The API, its scopes, and the client that introspects tokens for it."""

    scopes: list[str]
    client_id: str | None
