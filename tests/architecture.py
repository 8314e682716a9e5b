"""Who may import whom, how long things may be, who commits: each rule yields a sentence for every violation."""

import ast
import re
from collections.abc import Iterator, Sequence

from tests.source import Module, called, enclosing, frameworks, imports

CONCEPTS = (
    "console", "contacts", "life", "signin", "resets", "passwords", "consents", "accounts", "history", "proofs",
    "mail", "events",
)  # fmt: skip
"""Downwards only: each may import those behind it. `clients` stands on its own."""

PURE, TABLES, ACTIONS, DOORS, WAYS_IN = range(5)
_ROLES = ("rules", "tables", "actions", "doors", "ways in")
_TOP = {
    PURE: "__init__ errors lines user_ids email_addresses tokens languages",
    TABLES: "settings logs turns database keyring",
    ACTIONS: "throttle",
    DOORS: "doors forms problems idempotency envelope pages security_txt",
    WAYS_IN: "app metrics telemetry server schema worker processes development cli start",
}
_TOP_RANK = {name: rank for rank, names in _TOP.items() for name in names.split()}
_IN_CONCEPT = {"rules": PURE, "tables": TABLES, "api": DOORS, "pages": DOORS, "access": DOORS}
_BY_NAME = {"mail.words": PURE, "mail.bounces": PURE, "passwords.strength": PURE, "life.me": DOORS}
"""Files of other names than the usual ones. One that ends in `_door` is a door; any other is an action."""

WEB = {"fastapi", "starlette", "uvicorn"}
STORES = {"sqlalchemy", "asyncpg", "alembic"}
_MAY_START_EMBEDDED = {"development", "processes"}
_BEGINS = {
    ("database", "transaction"): "the one place",
    ("schema", "migrate"): "the owner migrates, each step in a transaction of its own",
    ("schema", "_alone"): "and so it waits for its turn, without holding anybody up",
    ("schema", "_upgrade"): "and looks what is there",
}
_OF_DATABASE = re.compile(r"(session|sessions\(\)|engine|connection|database|db)\.begin$")
_BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "core", "misc", "service", "services"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 40


def rank(module: Module) -> int | None:
    """Return the role of a file as a number, None where it has no place."""
    if module.concept is None:
        return _TOP_RANK.get(module.name or "__init__")
    if module.concept in ("embedded", "commands"):
        return WAYS_IN
    if module.concept not in (*CONCEPTS, "clients"):
        return None
    if module.path.endswith("__init__.py"):
        return PURE
    role = module.name.split(".", 1)[1]
    return _BY_NAME.get(module.name, DOORS if role.endswith("_door") else _IN_CONCEPT.get(role, ACTIONS))


def arrows(modules: Sequence[Module]) -> Iterator[str]:
    """Who imports somebody above: by role, by concept, or the embedded extra."""
    known = {module.name: module for module in modules}
    for module in modules:
        mine = rank(module)
        if mine is None:
            yield f"{module.path}: this file has no place in the arrows"
            continue
        for name, line in imports(module, set(known)):
            target = known.get(name)
            theirs = (ACTIONS if target is None else rank(target)) or PURE
            if theirs > mine:
                yield f"{module.path}:{line}: {_ROLES[mine]} import {_ROLES[theirs]} ({name})"
            yield from _between_concepts(module, mine, name, theirs, line)


def _between_concepts(module: Module, mine: int, name: str, theirs: int, line: int) -> Iterator[str]:
    here, there = module.concept, name.split(".", maxsplit=1)[0]
    if there not in (*CONCEPTS, "clients", "embedded") or here == there:
        return
    where = f"{module.path}:{line}"
    if module.path.endswith("__init__.py"):
        yield f"{where}: a concept's __init__ imports nothing"
    elif there == "embedded":
        if module.name not in _MAY_START_EMBEDDED:
            yield f"{where}: the embedded extra is not there in production"
    elif here is None:
        if mine < WAYS_IN:
            yield f"{where}: what every concept stands on knows no concept ({name})"
    elif here not in ("embedded", "commands"):
        # A door stands above every verb, so it may ask one of any concept; other doors only downwards.
        asks = mine == DOORS and theirs < DOORS and "clients" not in (here, there)
        if not asks:
            yield from _upwards(here, there, f"{where}: {here} import {name}", door=mine == DOORS)


def _upwards(here: str, there: str, sentence: str, *, door: bool) -> Iterator[str]:
    if there == "clients":
        if not (door and sentence.endswith(" clients.access")):
            yield f"{sentence}; only doors know clients, and only clients.access"
    elif here == "clients":
        if there != "events":
            yield f"{sentence}; clients stand on their own, and record events"
    elif CONCEPTS.index(there) < CONCEPTS.index(here):
        yield f"{sentence}, which stands above"


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
    """Rules that know a library of tables or doors; verbs that know the web; doors that ask the database themselves."""
    for module in modules:
        mine = rank(module)
        # A row is a shape that a verb returns; naming it asks nothing.
        used = frameworks(module, without={"sqlalchemy.Row"})
        banned = {
            PURE: WEB | STORES | {"pydantic", "httpx", "aiosmtplib", "structlog", "jinja2"},
            TABLES: WEB, ACTIONS: WEB, DOORS: STORES if module.concept else set(),
        }.get(mine if mine is not None else WAYS_IN, set())  # fmt: skip
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
    """Transactions that begin or end anywhere but in `database.py`."""
    for module in modules:
        for call in module.calls():
            name = called(call)
            if name in ("commit", "rollback", "begin_nested", "create_async_engine", "async_sessionmaker"):
                if module.name != "database":
                    yield f"{module.path}:{call.lineno}: {name}() belongs to database.py"
            elif name == "begin" and _OF_DATABASE.search(ast.unparse(call.func)):
                if (module.name, enclosing(module, call)) in _BEGINS:
                    continue
                yield f"{module.path}:{call.lineno}: a transaction begins in database.py alone"


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
