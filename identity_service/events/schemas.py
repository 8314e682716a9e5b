"""Response models of events, one for each form of data."""

from collections import defaultdict
from datetime import datetime
from typing import Annotated, Any, Literal, Union

from pydantic import Field, RootModel, create_model

from identity_service.events import rules
from identity_service.events.data import DATA
from identity_service.events.data_models import EventData
from identity_service.web.schemas import ResponseModel


class _Event(ResponseModel):
    """An event in the format of CloudEvents 1.0."""

    specversion: Literal["1.0"]
    id: str = Field(
        description="unique for ever: a restore of this service gives no id to another event",
        examples=["0193a5b0-7c4e-7a51-9d2f-3b8f6c1e0a77"],
    )
    source: str
    subject: str | None = Field(description="the User ID that the event is about, if any")
    time: datetime
    sequence: int = Field(
        description="the position in the sealed order. It has gaps where events are filtered or not yours to see. "
        "After a restore positions are given again: compare them within one `epoch` only"
    )
    actor: str = Field(
        description="`client:<id>`, `staff`, `customer`, `worker` or `operator`; with `audit:read` also the person: "
        "`client:<id>/<person>`, `staff:<name>`"
    )


def _views() -> tuple[type[_Event], ...]:
    names: dict[type[EventData], list[str]] = defaultdict(list)
    for name, model in DATA.items():
        names[model].append(name)
    views = []
    for model, types in names.items():
        title = model.__name__.removesuffix("Data") + "Event"
        known: Any = Literal[tuple(types)]
        views.append(
            create_model(title, __base__=_Event, __doc__=f"An event: {', '.join(types)}.", type=known, data=model)
        )
    return tuple(views)


_AnyEvent: Any = Annotated[Union[_views()], Field(discriminator="type")]  # noqa: UP007 (the members are computed)


class EventView(RootModel[_AnyEvent]):
    """One event in the format of CloudEvents 1.0; `type` tells which members `data` has.

    Types and members may be added: ignore those that you do not know.
    """


class EventList(ResponseModel):
    """A page of the feed. `next` continues from here, even when there is nothing new yet: keep it also after a page
    without events. Of the events of one account it is null after the last one. `epoch` rises when the service is
    restored from a backup."""

    items: list[EventView]
    next: str | None
    epoch: int


EventType: Any = Literal[tuple(rules.NAMES)]
"""The names of all events, for query parameters."""
