"""Who may import whom, how long things may be, who commits: each rule yields a sentence for every violation."""

import ast
import re
from collections.abc import Iterator, Sequence

from tests.source import Module, called, enclosing, frameworks, imports

LAYERS = (
    "__init__ errors clock entry_points translations",
    "values",
    "brands carriers",
    "settings",
    "start_checks logs keys",
    "database",
    "key_store web",
    "events",
    "account_access audit clients",
    "accounts",
    "messages",
    "brand_records one_time_tokens",
    "second_factors",
    "approvals consents passkeys passwords",
    "recovery_codes",
    "phone_numbers",
    "credentials",
    "history merges resets sign_in verification",
    "contacts openid registration",
    "addresses business",
    "recovery",
    "console dev imports",
    "database_schema metrics worker",
    "privacy telemetry",
    "portal",
    "app",
    "cli",
)
"""Lowest first. A folder, or a file of the top level, imports those of lower layers alone."""
_LAYER = {name: number for number, names in enumerate(LAYERS) for name in names.split()}

PURE, TABLES, ACTIONS, ROUTES = range(4)
_ROLES = ("rules", "tables", "actions", "routes")
_BY_ROLE = {
    "__init__": PURE, "rules": PURE, "kinds": PURE, "scopes": PURE, "networks": PURE, "pagination": PURE,
    "tables": TABLES, "schemas": TABLES,
    "api": ROUTES, "pages": ROUTES, "views": ROUTES, "dependencies": ROUTES,
}  # fmt: skip
"""Files by name; one that ends in `_api` or `_pages` holds routes, too. Any other is an action."""
_BY_NAME = {
    "messages.descriptions": PURE, "messages.copy": PURE, "messages.parts": PURE, "messages.security_copy": PURE,
    "messages.delivery.replies": PURE,
    "messages.text_copy": PURE, "messages.text_descriptions": PURE,
    "passwords.strength": PURE, "passwords.cpu": PURE,
    "portal.changes": ROUTES, "verification.fast_route": ROUTES, "messages.inbound.dsn": PURE,
    "clients.redirect_uris": PURE, "events.data": TABLES, "events.data_models": TABLES, "events.client_data": TABLES,
    "events.brand_data": TABLES, "events.proof_data": TABLES, "events.staff_data": TABLES,
    **dict.fromkeys(
        (
            "messages.inbound.automatic_replies", "messages.inbound.complaints", "messages.inbound.delivery_status",
            "messages.inbound.mail_parts", "messages.inbound.return_addresses", "messages.inbound.verdicts",
            "messages.inbound.worded_notices",
        ),
        PURE,
    ),
}  # fmt: skip
_BY_FOLDER = {
    "values": PURE,
    "brands": PURE,
    "keys": PURE,
    "web": ROUTES,
    "dev": ROUTES,
    "cli": ROUTES,
    "database": TABLES,
}
_IN_WEB = {"outbound": ACTIONS, "rate_limits": ACTIONS, "schemas": TABLES}
_TOP = {
    PURE: "__init__ errors clock entry_points translations settings start_checks logs carriers",
    TABLES: "database_schema",
    ROUTES: "app metrics telemetry worker",
}
_TOP_ROLE = {name: role for role, names in _TOP.items() for name in names.split()}

WEB = {"fastapi", "starlette", "uvicorn"}
STORES = {"sqlalchemy", "asyncpg", "alembic"}
_BEGINS = {
    ("database.transactions", "transaction"): "the one place",
    ("database.transactions", "attempt"): "and its short form",
    ("database_schema", "migrate"): "the owner migrates, each step in a transaction of its own",
    ("database_schema", "_take_migration_lock"): "and so it waits for its turn, without holding anybody up",
    ("database_schema", "_upgrade"): "and looks what is there",
}
_MAY_COMMIT = ("database.transactions", "database.engine")
_OF_DATABASE = re.compile(r"(session|sessions\(\)|engine|connection|database|db)\.begin$")
_BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "core", "misc", "service", "services"}
_MAY_KNOW = {
    "brands.rules": {"pydantic"}, "brands.files": {"pydantic"}, "carriers": {"pydantic"},
    "settings": {"pydantic", "sqlalchemy"}, "start_checks": {"pydantic", "sqlalchemy"},
    "logs": {"structlog"}, "web.rate_limits": WEB, "web.scopes": set(),
}  # fmt: skip
LONGEST_FILE, LONGEST_FUNCTION = 400, 40


def role_of(module: Module) -> int | None:  # noqa: PLR0911
    """Return the role of a file as a number, None where it has no place."""
    if module.concept is None:
        return _TOP_ROLE.get(module.name or "__init__")
    if module.concept not in _LAYER:
        return None
    last = "__init__" if module.path.endswith("__init__.py") else module.name.rpartition(".")[2]
    if module.name in _BY_NAME:
        return _BY_NAME[module.name]
    if last in ("rules", "scopes", "networks", "pagination", "__init__"):
        return PURE
    if module.concept == "web" and last in _IN_WEB:
        return _IN_WEB[last]
    if module.concept in _BY_FOLDER:
        return _BY_FOLDER[module.concept]
    return ROUTES if last.endswith(("_api", "_pages")) else _BY_ROLE.get(last, ACTIONS)


def arrows(modules: Sequence[Module]) -> Iterator[str]:
    """Imports from a lower layer to a higher one, from one role to one above, and between routes."""
    known = {module.name: module for module in modules}
    for module in modules:
        mine, here = role_of(module), module.concept or module.name or "__init__"
        if mine is None or here not in _LAYER:
            yield f"{module.path}: this file has no place in the layers"
            continue
        for name, line in imports(module, set(known)):
            there = name.split(".", maxsplit=1)[0]
            target = known.get(name)
            theirs = (ACTIONS if target is None else role_of(target)) or PURE
            where = f"{module.path}:{line}"
            if module.path.endswith("/__init__.py"):
                yield f"{where}: a folder's __init__ imports nothing"
            if there != here and _LAYER.get(there, -1) >= _LAYER[here]:
                yield f"{where}: {here} imports {name}, which stands in its own layer or above"
            # The schema imports whatever declares a table, also the two in web/.
            if theirs > mine and module.name != "database_schema":
                yield f"{where}: {_ROLES[mine]} import {_ROLES[theirs]} ({name})"
            if target is not None and _is_route(module) and _is_route(target) and module.name != name:
                yield f"{where}: routes import routes ({name}); share schemas, views or dependencies"


def _is_route(module: Module) -> bool:
    last = module.name.rpartition(".")[2]
    return module.concept != "web" and (last in ("api", "pages", "changes") or last.endswith(("_api", "_pages")))


def circles(modules: Sequence[Module]) -> Iterator[str]:
    """Files that import one another, at any distance."""
    known = {module.name for module in modules}
    edges = {module.name: {name for name, _ in imports(module, known) if name in known} for module in modules}
    done: set[str] = set()

    def walk(name: str, road: tuple[str, ...]) -> Iterator[str]:
        if name in road:
            yield " → ".join((*road[road.index(name) :], name))
        elif name not in done:
            for target in sorted(edges[name]):
                yield from walk(target, (*road, name))
            done.add(name)

    for name in sorted(edges):
        yield from walk(name, ())


def layers(modules: Sequence[Module]) -> Iterator[str]:
    """Rules that know a library of tables or routes; actions that know the web; routes that query the database."""
    for module in modules:
        mine = role_of(module)
        # A row is a value that an action returns; naming it asks nothing.
        used = frameworks(module, without={"sqlalchemy.Row"})
        banned = {
            PURE: WEB | STORES | {"pydantic", "httpx2", "aiosmtplib", "structlog", "jinja2"},
            TABLES: WEB, ACTIONS: WEB, ROUTES: STORES if _is_route(module) else set(),
        }.get(mine if mine is not None else ROUTES, set())  # fmt: skip
        banned = banned - _MAY_KNOW.get(module.name or "__init__", set())
        for name in sorted(used & banned):
            yield f"{module.path}: {_ROLES[mine or 0]} know nothing of {name}"


def sizes(modules: Sequence[Module]) -> Iterator[str]:
    """Files and functions that are too long to be read in one go."""
    for module in modules:
        if len(module.text.splitlines()) > LONGEST_FILE:
            yield f"{module.path}: more than {LONGEST_FILE} lines; it is two files, or two concepts"
        for function in module.functions():
            first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
            if (function.end_lineno or 0) - first + 1 > LONGEST_FUNCTION:
                yield f"{module.path}: {function.name} has more than {LONGEST_FUNCTION} lines"


def docstrings(modules: Sequence[Module]) -> Iterator[str]:
    """Files, public classes and public functions that do not say what they are."""
    for module in modules:
        if not ast.get_docstring(module.tree):
            yield f"{module.path}: says nothing about itself"
        for outer in (module.tree, *(node for node in module.tree.body if isinstance(node, ast.ClassDef))):
            for node in outer.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    public = not node.name.startswith("_") and not getattr(outer, "name", "").startswith("_")
                    if public and not ast.get_docstring(node):
                        yield f"{module.path}: {node.name} has no docstring"


def commits(modules: Sequence[Module]) -> Iterator[str]:
    """Transactions that begin or end anywhere but in `database/`."""
    for module in modules:
        for call in module.calls():
            name = called(call)
            if name in ("commit", "rollback", "begin_nested", "create_async_engine", "async_sessionmaker"):
                if module.name not in _MAY_COMMIT:
                    yield f"{module.path}:{call.lineno}: {name}() belongs to database/"
            elif name == "begin" and _OF_DATABASE.search(ast.unparse(call.func)):
                if (module.name, enclosing(module, call)) in _BEGINS:
                    continue
                yield f"{module.path}:{call.lineno}: a transaction begins in database/ alone"


def hidden_imports(modules: Sequence[Module]) -> Iterator[str]:
    """Imports inside functions that do not say why."""
    for module in modules:
        lines = module.text.splitlines()
        for function in module.functions():
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    reason = re.search(r"# noqa: PLC0415 \(\w.{10,}\)", lines[node.lineno - 1])
                    if reason is None:
                        yield f"{module.path}:{node.lineno}: an import inside a function says why (# noqa: PLC0415 (…))"


def names(modules: Sequence[Module]) -> Iterator[str]:
    """Drawers: files, folders and classes whose name says that anything may be in them."""
    for module in modules:
        for part in module.path.removesuffix(".py").split("/"):
            if set(part.split("_")) & _BANNED_NAMES:
                yield f"{module.path}: {part} is a drawer, not a concept"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and re.search("(Utils?|Helper|Manager|Service|Repository)$", node.name):
                yield f"{module.path}: {node.name} says nothing about what it knows"


def who_reads(modules: Sequence[Module]) -> set[tuple[str, str]]:
    """Return which functions take the read pool."""
    return {
        (module.name, function.name)
        for module in modules
        for function in module.functions()
        if any(argument.arg == "reads" for argument in [*function.args.args, *function.args.kwonlyargs])
    }
