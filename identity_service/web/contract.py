"""What the OpenAPI document says beside the routes: servers, tags, headers, shared errors, examples. Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import orjson

from identity_service.web import examples

TAGS: Final = {
    "sign in": "Customers who sign in at applications, by OpenID Connect: metadata, pushed requests and userinfo",
    "tokens": "Access tokens by client credentials, their introspection and revocation, and our public keys",
    "accounts": "Accounts: register, read, search, change, verify",
    "business": "A consumer becomes a business, and back",
    "merges": "Two accounts become one, and two again",
    "privacy": "Export, close and erase",
    "approvals": "Changes that wait for a mailbox or a second person",
    "history": "What happened to a customer at any service",
    "contacts": "Conversations with customers, caller checks and hand-overs",
    "consents": "What customers have allowed, with receipts",
    "events": "The feed of everything that happened",
    "audit": "Signed checkpoints and the sealed feed",
    "mail": "Messages with their timelines, relays and suppressions",
    "hooks": "Reports of mail providers",
    "passwords": "Checks of customers' passwords",
    "resets": "Password resets that a service requests",
}
"""The groups of operations; a test compares them with the routes."""
_HEADERS: Final = {
    "X-Request-ID": ("string", "the id of this request in our logs; send one of your own to have it used"),
    "ETag": ("string", "the version of the account, for If-Match and If-None-Match"),
    "Location": ("string", "the path of the new account"),
    "Retry-After": ("integer", "seconds after which a retry makes sense"),
    "RateLimit": ("string", "what is left of the limit that was exceeded, and until when"),
    "RateLimit-Policy": ("string", "the limit that was exceeded"),
    "WWW-Authenticate": ("string", "how to authenticate, or the scope that is missing (RFC 6750, 3)"),
    "Idempotency-Replayed": ("string", "`true` if this is the stored answer of the first request with the key"),
}
_OF_STATUS: Final = {
    "401": ("WWW-Authenticate",),
    "403": ("WWW-Authenticate",),
    "409": ("Retry-After",),
    "429": ("Retry-After", "RateLimit", "RateLimit-Policy"),
    "503": ("Retry-After",),
}
_WITH_ETAG: Final = (
    "register_account", "read_account", "change_account", "become_business", "become_consumer", "put_external_ref",
    "remove_external_ref",
)  # fmt: skip
_PARAMETERS: Final = {
    "user_id": "the User ID, with or without hyphens",
    "check_id": "the `check_id` that the start of the check answered",
    "entry_id": "the id of the entry",
    "message_id": "the id of the message",
    "reset_id": "the id of the reset",
    "suppression_id": "the id of the suppression",
    "wording_id": "the id of the wording",
    "number": "the number of the contact",
    "purpose": "what the consent is for, like `email`",
    "provider": "the mail provider; `dsn` for a mail server that pipes returned mail",
    "after": "the cursor of the previous page",
    "limit": "the most items of a page",
    "kind": "only items of this kind",
    "source": "only entries of this source",
    "desk": "only contacts of this desk",
    "state": "only messages in this state",
    "since": "only messages since this time",
    "type": "only events of these types",
    "language": "the language tag (BCP 47)",
}
"""What parameters mean whose route does not say it."""
PROBLEM_MEMBERS: Final[dict[str, dict[str, Any]]] = {
    "moved_to": {"type": "string", "description": "the User ID that answers now"},
    "known": {"type": "array", "items": {"type": "string"}, "description": "the values that exist"},
    "suggestions": {
        "type": "array", "items": {"$ref": "#/components/schemas/UserIdSuggestion"},
        "description": "User IDs that may have been meant",
    },
    "problem": {"type": "string", "description": "why a User ID is malformed"},
    "symbol": {"type": "string", "description": "the symbol that no User ID has"},
    "position": {"type": "integer", "description": "its place, from 1"},
    "scope": {"type": "string", "description": "the scope that the token lacks"},
    "limit": {"type": "integer", "description": "the largest body in bytes"},
    "retry_after": {"type": "integer", "description": "seconds, as in Retry-After"},
    "reason": {"type": "string", "description": "why, as a stable name"},
    "user_id": {"type": "string", "description": "the account that has the address"},
    "source": {"type": "string", "description": "the source of the entry that is meant"},
    "entry": {"type": "string", "description": "the entry that counts now"},
    "meant": {"type": "string", "description": "the address that may have been meant, where a page asks"},
}  # fmt: skip
"""Members that some kinds of problems have beside those of all (RFC 9457, 3.2)."""


def complete_contract(document: dict[str, Any], *, server: str) -> None:
    """Add to an OpenAPI document what no single route knows; the document is changed in place."""
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    document["servers"] = [{"url": server, "description": "this installation"}]
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    document["components"]["headers"] = {
        name: {"schema": {"type": kind}, "description": text} for name, (kind, text) in _HEADERS.items()
    }
    for operation in _operations(document):
        # Without `security` an open operation looks like a forgotten one.
        operation.setdefault("security", [])
        if "requestBody" not in operation:
            _leave_out_errors_of_bodies(operation["responses"])
        for parameter in operation.get("parameters", []):
            # Its absence has an error of its own, so that the route itself takes it as optional.
            parameter.setdefault("description", _PARAMETERS.get(parameter["name"], ""))
            parameter["required"] |= parameter["description"].startswith("required of everybody")
        for status, answer in operation["responses"].items():
            names = _header_names(operation, status)
            answer.setdefault("headers", {}).update({name: {"$ref": f"#/components/headers/{name}"} for name in names})
            codes = re.findall(r"`([a-z_]+)`:", answer["description"])
            if int(status) >= 400 and codes:
                answer["x-problem-codes"] = sorted(codes)
            for content in answer.get("content", {}).values():
                _narrow(content.get("schema", {}))
    for schema in _answered(document):
        _leave_out_defaults(schema)
    examples.add_examples(document)
    _share_errors(document)


def _leave_out_errors_of_bodies(responses: dict[str, Any]) -> None:
    for status in ("408", "413", "415"):
        responses.pop(status, None)
    lines = responses.get("400", {}).get("description", "").split("\n\n")
    if len(lines) > 1:
        responses["400"]["description"] = "\n\n".join(line for line in lines if not line.startswith("`malformed_json`"))


def _share_errors(document: dict[str, Any]) -> None:
    """Move the error responses that several operations have to `components.responses`, named for their status.

    The most frequent one of a status has its plain name, those in OAuth's form `OAuth…`, and one that adds a single
    code that code; any other one stays with its operation.
    """
    errors = [
        (operation["responses"], status, orjson.dumps(answer))
        for operation in _operations(document)
        for status, answer in operation["responses"].items()
        if status >= "400"
    ]
    counted = Counter((status, raw) for _, status, raw in errors).most_common()
    shared: dict[str, tuple[str, bytes]] = {}
    for (status, raw), count in sorted(counted, key=lambda one: (-one[1], one[0])):
        name = _response_name(status, orjson.loads(raw), shared)
        if count > 1 and name is not None:
            shared.setdefault(name, (status, raw))
    names = {found: name for name, found in shared.items()}
    for responses, status, raw in errors:
        if (status, raw) in names:
            responses[status] = {"$ref": f"#/components/responses/{names[status, raw]}"}
    document["components"]["responses"] = {name: orjson.loads(raw) for name, (_, raw) in shared.items()}


def _response_name(status: str, answer: dict[str, Any], shared: dict[str, tuple[str, bytes]]) -> str | None:
    plain = HTTPStatus(int(status)).name.title().replace("_", "")
    if "application/json" in answer["content"]:
        return f"OAuth{plain}"
    if plain not in shared:
        return plain
    usual = set(orjson.loads(shared[plain][1])["x-problem-codes"])
    codes = set(answer["x-problem-codes"])
    added = codes - usual
    return f"{plain}_{added.pop()}" if len(added) == 1 and usual < codes else None


def _narrow(schema: dict[str, Any]) -> None:
    """Leave the model that a route names for one status, and not the union of all that it may return beside it."""
    if "$ref" in schema:
        for other in set(schema) - {"$ref"}:
            del schema[other]


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _header_names(operation: dict[str, Any], status: str) -> list[str]:
    names = ["X-Request-ID", *_OF_STATUS.get(status, ())]
    if status.startswith("2"):
        parameters = {parameter["name"] for parameter in operation.get("parameters", [])}
        names += ["Idempotency-Replayed"] if "Idempotency-Key" in parameters else []
        names += ["ETag"] if operation["operationId"] in _WITH_ETAG and status != "202" else []
        names += ["Location"] if operation["operationId"] == "register_account" else []
    return names


def _answered(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas that no request contains."""
    schemas = document["components"]["schemas"]
    taken: set[str] = set()
    todo = [name for operation in _operations(document) for name in _names_in(operation.get("requestBody", {}))]
    while todo:
        name = todo.pop()
        if name not in taken:
            taken.add(name)
            todo += _names_in(schemas[name])
    return [schema for name, schema in schemas.items() if name not in taken]


def _names_in(part: Any) -> list[str]:  # noqa: ANN401
    if isinstance(part, list):
        return [name for item in part for name in _names_in(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"].rsplit("/", 1)[-1]] if isinstance(part.get("$ref"), str) else []
    return own + [name for key, item in part.items() if key != "$ref" for name in _names_in(item)]


def _leave_out_defaults(schema: dict[str, Any]) -> None:
    # A reader would put the default where a member was left out; in an answer that would be untrue.
    for name, field in schema.get("properties", {}).items():
        field.pop("default", None)
        if name == "sequence":
            field["format"] = "int64"
