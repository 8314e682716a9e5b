"""Read the crossing table (`crossing.txt`), and find in the code what must stand in it."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import identity_service
from identity_service import app as web
from identity_service import database_schema
from identity_service.database.privacy import HOLDS
from identity_service.one_time_tokens import confirmations, tracking
from identity_service.one_time_tokens import rules as token_rules
from identity_service.openid import rules as openid_rules
from identity_service.web.forms import FormRoute

PACKAGE = Path(identity_service.__file__).parent
_SETTINGS = PACKAGE / "settings.py"
SECRET_FIELDS = frozenset(
    "link code seed password secret digits receipt request handle request_id after token refresh_token access_token "
    "client_secret client_assertion id_token_hint request_uri".split()
)
"""Names under which a secret comes in, whatever the route."""
PLAIN_FIELDS = frozenset(
    "Idempotency-Key If-Match X-Clerk-ID X-Contact again agreed as_typed asked back billing_address change_id channel "
    "check_id client_id company_name contact contact_person corrects country decision desk display_name done duplicate "
    "email emails entries entry_id evidence external_ref from granted key kind language limit locale mark meant "
    "message_id method moved_from name network next note number proof provider purpose reason registration_number "
    "relay reset_id result saved session_id signed_out since source state strict superseded suppression_id type typed "
    "user_id user_ids value vat_number verb wait what who wording wording_id "
    # Of further addresses: its row, and what it is for.
    "address_id for_notices for_recovery "
    # Of recovery: a box of the form.
    "factor "
    # Of texts: names in the settings and ids; a number is no secret.
    "carrier number_id "
    # Of passkeys: names of a challenge and of a new account, both bound to the browser, and what a device signed.
    "account ceremony chosen passkey_id response "
    # Of OAuth and OpenID Connect: what a client says of itself or of its request.
    "acr_values claims claims_locales client_assertion_type code_challenge code_challenge_method code_verifier display "
    "grant_type login_hint max_age nonce post_logout_redirect_uri prompt redirect_uri registration resource "
    "response_mode response_type scope token_type_hint ui_locales".split()
)
"""Names under which no secret of ours comes in: ids, facts, and what a client has made itself."""
PLAIN_HEADERS = frozenset(
    "accept accept-language content-encoding content-length content-type etag host if-none-match last-event-id origin "
    "sec-fetch-dest sec-fetch-mode sec-fetch-site user-agent x-amz-sns-rawdelivery x-envelope-to "
    "x-forwarded-for x-twilio-signature".split()
)
SECRET_HEADERS = {
    "clients/dependencies.py authorization": "POST /oauth/token basic",
    "openid/api.py authorization": "GET /oauth/userinfo bearer",
    "web/authentication.py authorization": "GET /v1/accounts/{user_id} bearer",
    "messages/inbound/webhooks.py authorization": "POST /webhooks/{provider} bearer",
    "messages/inbound/webhooks.py x-webhook-secret": "POST /webhooks/{provider} header:X-Webhook-Secret",
}
"""Where a header that carries a secret is read, and a place that stands for all which are read there."""
_READ = ("form", "given", "fields", "parameters")
"""How endpoints of the protocols call what they read."""
NEW_PASSWORDS = frozenset(
    {
        "POST /reset/choose", "POST /reset/choose/{handle}", "POST /reset/{handle}/code", "POST /reset/strength",
        "POST /console/enrolled", "POST /signin/code", "POST /recover/password",
    }
)  # fmt: skip
"""Where `password` is a new one, or ignored: there is nothing that it could be compared with."""


class Line(NamedTuple):
    """A place that takes a secret."""

    route: str
    where: str
    beside: str
    refused: tuple[str, ...]
    counted: tuple[str, ...]
    takes: frozenset[str]
    of_anybody: bool

    @property
    def place(self) -> str:
        return f"{self.route} {self.where}"


def _sections() -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in (Path(__file__).parent / "crossing.txt").read_text().splitlines():
        if line.startswith("# "):
            rows = found[line[2:]] = []
        elif found and line:
            rows.append([cell.strip() for cell in line.split("|")])
    return {name: rows[1:] for name, rows in found.items()}


_TABLE = _sections()
NO_SECRETS = {row[0]: row[1] for row in _TABLE["no secrets"]}
CONFIRMED = tuple(confirmations.CONFIRMATIONS)


def _lines() -> Iterator[Line]:
    for place, *cells in _TABLE["places"]:
        beside, refused, counted, takes = [*cells, "", "", "", ""][:4]
        route, _, where = place.rpartition(" ")
        for purpose in CONFIRMED if "{confirmed}" in beside else ("",):
            told = (text.replace("{confirmed}", purpose) for text in (beside, takes))
            filled, kinds = told
            whose, _, listed = kinds.partition(": ")
            own = frozenset(listed.split(", ") if listed else ())
            yield Line(route, where, filled, tuple(refused.split()), tuple(counted.split()), own, whose == "any")


LINES = tuple(_lines())


def kinds_in_table() -> set[str]:
    """The kinds of the first table, one for each purpose or type where it says so."""
    kinds = set()
    for name, made_from in _made_from():
        types = re.findall(r"\S+\+jwt", made_from)
        each = {"{purpose}": token_rules.LIFETIMES, "{page}": tracking.PAGES, "{type}": types}
        mark = next((mark for mark in each if mark in name), "")
        kinds |= {name.replace(mark, filled) for filled in each[mark]} if mark else {name}
    return kinds


def _made_from() -> Iterator[tuple[str, str]]:
    name = ""
    for row in _TABLE["secrets"]:
        name = row[0] or name
        yield name, row[1]


OTHER_TYPES = tuple(kind.removeprefix("signed as ") for kind in kinds_in_table() if kind.startswith("signed as "))


def sources_in_table() -> set[str]:
    """What the tables say secrets are made from, or is none."""
    return {source.strip() for _, made in _made_from() for source in made.split(",")} | set(NO_SECRETS)


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if "dev" not in path.relative_to(PACKAGE).parts:
            yield path, ast.parse(path.read_text())


def sources_in_code() -> set[str]:
    """What the code makes secrets from: columns, labels, sealed values, cookies, signed types, settings."""
    found = {
        f"{table.name}.{column.name}"
        for table in database_schema.METADATA.sorted_tables
        for column in table.columns
        if column.info.get(HOLDS) == "proving"
    }
    found |= {f"setting {name}" for name in re.findall(r"^ +(\w+): .*SecretStr", _SETTINGS.read_text(), re.M)}
    for _, tree in _trees():
        found |= set(_of_module(tree))
    return found


def _of_module(tree: ast.Module) -> Iterator[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "keyed_hash" and isinstance(call.args[1], ast.Constant):
            yield f"label {call.args[1].value}"
        if name in ("seal", "unseal") and isinstance(call.args[0], ast.Constant):
            yield f"seal {call.args[0].value}"
    seals = any(isinstance(call.func, ast.Attribute) and call.func.attr in ("seal", "unseal") for call in calls)
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        named, value = getattr(target, "id", ""), getattr(getattr(node, "value", None), "value", None)
        if seals and named.endswith("_LABEL"):
            yield f"seal {value}"
        if isinstance(value, str) and value.startswith("__Host-"):
            yield f"cookie {value}"
        if isinstance(value, str) and (value.endswith("+jwt") or named == "ID_TOKEN_TYPE"):
            yield value


def _dependants(dependant) -> Iterator:
    yield dependant
    for one in dependant.dependencies:
        yield from _dependants(one)


def _taken(endpoint) -> Iterator[str]:
    """The fields that a page takes from its form."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(endpoint)))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "take":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def inputs_in_code() -> dict[str, set[str]]:
    """Every route with what comes in: `path:handle`, `form:link`, `query:after`, `json:code`, `header:X-Contact`."""
    found: dict[str, set[str]] = {}
    for route in (route for router in web.ROUTERS for route in router.routes):
        comes = {f"path:{name}" for name in re.findall(r"\{(\w+)\}", route.path)}
        for one in _dependants(route.dependant):
            comes |= {f"query:{field.alias}" for field in one.query_params}
            comes |= {f"header:{field.alias}" for field in one.header_params}
            comes |= {f"cookie:{field.alias}" for field in one.cookie_params}
        if route.body_field is not None:
            comes |= {f"json:{name}" for name in route.body_field.field_info.annotation.model_fields}
        for method in route.methods - {"HEAD"}:
            taken = {f"form:{name}" for name in _taken(route.endpoint)} if isinstance(route, FormRoute) else set()
            found[f"{method} {route.path}"] = comes | taken
    return found


def protocol_fields() -> set[str]:
    """Every field that the endpoints of OAuth and OpenID Connect read from a query or form of any other name."""
    found = set(openid_rules.KNOWN)
    for path, tree in _trees():
        if path.parent.name not in ("clients", "openid"):
            continue
        for node in ast.walk(tree):
            found |= set(_read_by(node))
    return found


def _read_by(node: ast.AST) -> Iterator[str]:
    """The name in `form.get("name")`, `form["name"]` and `"name" in form`."""
    read: tuple[ast.AST | None, ast.AST | None] = (None, None)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        read = node.func.value, node.args[0]
    elif isinstance(node, ast.Subscript):
        read = node.value, node.slice
    elif isinstance(node, ast.Compare):
        read = node.comparators[0], node.left
    mapping, name = read
    if getattr(mapping, "id", "") in _READ and isinstance(name, ast.Constant) and isinstance(name.value, str):
        yield name.value


def headers_in_code() -> set[str]:
    """Every header that is read, as `web/forms.py origin`, but for those in which no secret comes."""
    found = set()
    for path, tree in _trees():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
            read = getattr(call.func, "value", None)
            of_headers = "headers" in (getattr(read, "attr", ""), getattr(read, "id", ""))
            if of_headers and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
                found.add((path.relative_to(PACKAGE).as_posix(), call.args[0].value.lower()))
    return {f"{path} {name}" for path, name in found if name not in PLAIN_HEADERS}


def secret_inputs() -> set[str]:
    """Every place of a route that takes a secret by the name of its field, but form tokens and tokens of bearers."""
    return {
        f"{route} {where}"
        for route, comes in inputs_in_code().items()
        for where in comes
        if where.partition(":")[2] in SECRET_FIELDS
        and not (where in ("form:password", "json:password") and route in NEW_PASSWORDS)
    }
