"""Examples of request and response bodies for the OpenAPI document, composed from its schemas. Pure.

An example written beside each of the sixty operations would go stale; a value for each name of a member does not, and
a test validates every composed example. What may be null is null unless `VALUES` has its name: an account that was
just registered has moved nowhere.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

_ID, _OTHER = "6WPP-C7QF-7FF6", "4D3Q-6KPB-HK9Q"
_UUID = "0193a5b0-7c4e-7a51-9d2f-3b8f6c1e0a77"
_TOKEN = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.e30.c2lnbmF0dXJl"  # noqa: S105
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_METHODS, _ALGORITHMS = ["client_secret_basic", "private_key_jwt"], ["ES256", "EdDSA", "Ed25519"]
VALUES: Final[Mapping[str, Any]] = {
    "access_token": _TOKEN, "actor": "client:cli_b3a1f0c29d7e4856", "alg": "EdDSA", "amount": "12.50",
    "amounts": {"EUR": "12.50"}, "channel": "phone", "client_id": "cli_b3a1f0c29d7e4856", "code": "4H7K-M2",
    "company_name": "Anna Berg GmbH", "contact": "M45-MHF", "country": "DE", "currency": "EUR", "day": "2026-11-29",
    "description": "News and offers by email", "desk": "berlin", "detail": "No account has this User ID.",
    "display_name": "Anna Berg", "domain": "example.com", "duplicate": _OTHER, "email": "anna@example.com",
    "entry_hash": _HASH, "error": "invalid_request", "error_description": "The form cannot be read.",
    "error_uri": "https://id.example.com/problems/bad_request", "expires_in": 600, "external_ref": "customer-17",
    "from": _OTHER, "grant_type": "client_credentials", "host": "smtp.example.com", "input": "6WPP-C7QF-7FF6",
    "into": _ID, "iss": "https://id.example.com", "issuer": "https://id.example.com", "jti": _UUID,
    "jwks_uri": "https://id.example.com/oauth/jwks.json", "kid": "k1", "kty": "OKP", "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "language": "en", "last_order_at": "2026-11-29T09:30:00Z",
    "name": "first", "note": "Asks where the second parcel is.", "number": "M45-MHF",
    "occurred_at": "2026-11-29T09:30:00Z", "opened_by": "clerk-7", "outcome": "active",
    "password": "winter-garden-4711",
    "phrase": "Martha Victoria", "promise": "No marketing without your consent.", "purpose": "email",
    "read_at": _ID, "reason": "The caller asked for it.", "receipt": _TOKEN, "reference": "order-4711",
    "registration_number": "HRB 12345", "relay": "first", "request_id": "c2013d44838e7d1c25fce00e",
    "requested_by": "clerk-7", "revocation_endpoint": "https://id.example.com/oauth/revoke", "role": "lead",
    "salt": "b1946ac92492d2347c6235b4d2611184", "scope": "accounts:read accounts:write", "seal": _HASH,
    "sentence": "Handed to the mail server.", "sequence": 4711, "sha256": _HASH, "source": "shop", "staff": "ada",
    "statement": _TOKEN, "status": "active", "sub": "cli_b3a1f0c29d7e4856", "subject": _ID, "survivor": _ID,
    "symbol": "U", "text": "Yes, send me news by email.", "title": "Unknown user id", "to": "a…@example.com",
    "token": _TOKEN, "token_endpoint": "https://id.example.com/oauth/token", "token_type": "Bearer",
    "introspection_endpoint": "https://id.example.com/oauth/introspect",
    "tracking_url": "https://id.example.com/reset/4H7KM2Q9", "user_id": _ID, "user_ids": [_ID],
    "vat_number": "DE136695976", "version": 1, "what": "password", "wording": "email-2026-11", "worker": "worker-1",
    "scopes_supported": ["openid", "accounts:read"], "response_types_supported": ["code"],
    "response_modes_supported": ["query"], "acr_values_supported": ["0"], "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["ES256"], "code_challenge_methods_supported": ["S256"],
    "authorization_endpoint": "https://id.example.com/oauth/authorize",
    "userinfo_endpoint": "https://id.example.com/oauth/userinfo",
    "pushed_authorization_request_endpoint": "https://id.example.com/oauth/par",
    "end_session_endpoint": "https://id.example.com/oauth/logout",
    "request_uri": "urn:ietf:params:oauth:request_uri:bPq0Zc6Yw1R8sT2uV3xX4A",
    "redirect_uri": "https://shop.example.org/callback", "response_type": "code",
    **{f"{name}_endpoint_auth_methods_supported": _METHODS for name in ("token", "introspection", "revocation")},
    **{
        f"{name}_endpoint_auth_signing_alg_values_supported": _ALGORITHMS
        for name in ("token", "introspection", "revocation")
    },
    "use": "sig", "grant_types_supported": ["client_credentials"], "aud": "https://id.example.com",
}  # fmt: skip
"""A value for each name of a member, in every schema that has it and takes the value."""
MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "AccountSearch": {"email": "anna@example.com"},
    "ExternalRefPlacement": {"external_ref": "customer-17"},
    "NewReset": {"user_id": _ID},
    "PasswordCheck": {"user_id": _ID, "password": "winter-garden-4711"},
    "PermissionQuestion": {"purpose": "email", "user_ids": [_ID]},
}
"""Requests that take one of several members; all of them together would be refused."""
_PARAMETERS: Final[Mapping[str, str]] = {"X-Clerk-ID": "clerk-7", "wording_id": "email-2026-11"}
_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "2026-11-29T09:30:00Z", "uuid": _UUID, "uri": "https://id.example.com/", "email": "anna@example.com",
    "date": "2026-11-29",
}  # fmt: skip
_PLAIN: Final[Mapping[str, Any]] = {"integer": 1, "number": 1, "boolean": True, "null": None, "string": "text"}


def add_examples(document: dict[str, Any]) -> None:
    """Give every body of a request, every successful answer and every parameter that is needed an `example`; the
    document is changed in place.
    """
    schemas = document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["required"]:
                    parameter["example"] = _PARAMETERS.get(parameter["name"]) or example_of(
                        parameter["schema"], schemas, parameter["name"]
                    )
            bodies = [operation.get("requestBody", {})]
            bodies += [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for body in bodies:
                for kind, content in body.get("content", {}).items():
                    content["example"] = _of_content(kind, content, schemas)


def _of_content(kind: str, content: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if kind == "application/x-www-form-urlencoded":
        return {name: VALUES[name] for name in content["schema"]["required"]}
    if kind == "application/jwt":
        return _TOKEN
    if kind == "text/event-stream":
        told = orjson.dumps(example_of(content["itemSchema"]["properties"]["data"]["contentSchema"], schemas)).decode()
        return f"id: 5d41402abc4b2a76\nevent: message\ndata: {told}\n\n"
    return example_of(content["schema"], schemas) if content["schema"] else {}


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = "") -> Any:  # noqa: ANN401
    """Return an example of `schema`, the member called `name` of an object."""
    if "$ref" in schema:
        model = schema["$ref"].rsplit("/", 1)[-1]
        return dict(MODELS[model]) if model in MODELS else example_of(schemas[model], schemas, name)
    ways = schema.get("anyOf") or schema.get("oneOf")
    if ways:
        return _of_one(ways, schemas, name)
    allowed = schema.get("examples") or schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if allowed:
        return VALUES[name] if VALUES.get(name) in allowed else allowed[0]
    return VALUES[name] if _takes(schema, VALUES.get(name)) else _of_type(schema, schemas, name)


def _of_one(ways: list[Mapping[str, Any]], schemas: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    may_be_null = any(way.get("type") == "null" for way in ways)
    if may_be_null and not any(_takes(way, VALUES.get(name)) for way in ways):
        return None
    return example_of(ways[0], schemas, name)


def _takes(schema: Mapping[str, Any], value: Any) -> bool:  # noqa: ANN401
    kinds = {"string": str, "integer": int, "array": list, "object": dict}
    return type(value) is kinds.get(schema.get("type", ""))


def _of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    kind = schema.get("type")
    if kind == "object":
        members = schema.get("properties", {})
        return {member: example_of(inner, schemas, member) for member, inner in members.items()}
    if kind == "array":
        # `user_ids` is a list of what `user_id` is.
        return [example_of(schema["items"], schemas, name.removesuffix("s"))] if "items" in schema else []
    return _FORMATS.get(schema.get("format", ""), _PLAIN.get(kind or ""))
