"""What the page `/docs` shows: the OpenAPI document as groups of operations, with an example of each. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson

_TYPES: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
                 "object": "object", "null": "null"}  # fmt: skip
_FORMATS: Final = {"date-time": "time, like `2026-11-29T09:30:00Z`", "date": "day, like `2026-11-29`", "uuid": "UUID",
                   "uri": "URL", "email": "email address", "int64": "whole number"}  # fmt: skip
_CREDENTIALS: Final = {"clientCredentials": '-H "Authorization: Bearer $TOKEN"',
                       "clientSecretBasic": '-u "$CLIENT_ID:$CLIENT_SECRET"',
                       "customerToken": '-H "Authorization: Bearer $CUSTOMER_TOKEN"'}  # fmt: skip
Schema = Mapping[str, Any]


class Row(NamedTuple):
    """A parameter, or a member of an object."""

    name: str
    place: str
    type: str
    text: str


class Failure(NamedTuple):
    """An error that an operation may answer."""

    status: str
    code: str
    sentence: str


class Operation(NamedTuple):
    """One method of one path."""

    name: str
    method: str
    path: str
    summary: str
    paragraphs: list[str]
    scopes: list[str]
    parameters: list[Row]
    body: list[tuple[str, str, list[Row]]]
    request: str
    answers: list[tuple[str, str, str, str]]
    failures: list[Failure]


class Group(NamedTuple):
    """The operations of a tag."""

    name: str
    text: str
    operations: list[Operation]


def facts(document: Schema) -> dict[str, Any]:
    """Return what the template shows."""
    groups = read_groups(document)
    failures = read_failures(groups)
    return {
        "groups": groups, "failures": failures, "objects": read_objects(document), "scopes": read_scopes(document),
        "links": links(document, groups),
    }  # fmt: skip


def read_groups(document: Schema) -> list[Group]:
    """Return the operations by tag, in the order of the tags."""
    found: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            found[told["tags"][0]].append(_operation(document, path, method, told))
    return [Group(tag["name"], tag["description"], found[tag["name"]]) for tag in document["tags"]]


def read_failures(groups: Sequence[Group]) -> list[Failure]:
    """Return every error once, by its code."""
    every = (failure for group in groups for operation in group.operations for failure in operation.failures)
    found = {failure.code: failure for failure in every}
    return [found[code] for code in sorted(found)]


def read_objects(document: Schema) -> list[tuple[str, str, list[Row]]]:
    """Return every object with its description and its members; of a union, what it may be."""
    return [
        (name, schema.get("description", "") or ("" if "properties" in schema else say_type(schema)), _members(schema))
        for name, schema in sorted(document["components"]["schemas"].items())
    ]


def read_scopes(document: Schema) -> Mapping[str, str]:
    """Return every scope with what it allows."""
    flows = document["components"]["securitySchemes"]["clientCredentials"]["flows"]
    scopes: Mapping[str, str] = flows["clientCredentials"]["scopes"]
    return scopes


def links(document: Schema, groups: Sequence[Group]) -> Mapping[str, str]:
    """Return the anchor of every name that a text may mention in backticks."""
    return {
        **{name: f"#object-{name}" for name in document["components"]["schemas"]},
        **{scope: f"#scope-{scope}" for scope in read_scopes(document)},
        **{failure.code: f"#error-{failure.code}" for failure in read_failures(groups)},
        **{operation.name: f"#{operation.name}" for group in groups for operation in group.operations},
    }


def say_type(schema: Schema) -> str:
    """Return the type of a value in words, with names and values in backticks."""
    ways = schema.get("anyOf") or schema.get("oneOf")
    if ways:
        return " or ".join(dict.fromkeys(say_type(way) for way in ways if way.get("type") != "null"))
    if "$ref" in schema:
        return f"`{_last(schema['$ref'])}`"
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return " or ".join(f"`{value}`" for value in values)
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {say_type(schema['items'])}" if "items" in schema else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object whose values are {say_type(schema['additionalProperties'])}"
    return _FORMATS.get(schema.get("format", ""), _TYPES.get(kind, "any value")) + _limits(schema)


def _limits(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""


def _last(reference: str) -> str:
    return reference.rsplit("/", 1)[-1]


def _row(name: str, place: str, schema: Schema, text: str, *, is_needed: bool) -> Row:
    ways = schema.get("anyOf", ())
    may_be = [] if is_needed else ["missing"]
    may_be += ["null"] if any(way.get("type") == "null" for way in ways) and place not in _NEVER_NULL else []
    words = [say_type(schema), *([f"may be {' or '.join(may_be)}"] if may_be else [])]
    default = schema.get("default")
    words += [f"default `{orjson.dumps(default).decode()}`"] if default is not None else []
    said = (
        text or schema.get("description", "") or next((way["description"] for way in ways if "description" in way), "")
    )
    return Row(name, place, ", ".join(words), said)


_NEVER_NULL: Final = ("path", "query", "header")


def _members(schema: Schema) -> list[Row]:
    needed = schema.get("required", ())
    return [_row(name, "", inner, "", is_needed=name in needed) for name, inner in schema.get("properties", {}).items()]


def _operation(document: Schema, path: str, method: str, told: Schema) -> Operation:
    whole = " ".join(told.get("description", told["summary"]).split("\n\n")[0].split())
    summary = re.split(r"(?<=[a-z`)])[.:;] ", whole)[0].rstrip(".") + "."
    responses = {status: _resolved(document, answer) for status, answer in told["responses"].items()}
    return Operation(
        told["operationId"], method.upper(), path, summary,
        [" ".join(part.split()) for part in told.get("description", "").split("\n\n") if part.strip()],
        [scope for way in told.get("security", ()) for scopes in way.values() for scope in scopes],
        [
            _row(one["name"], one["in"], one["schema"], one.get("description", ""), is_needed=one["required"])
            for one in told.get("parameters", ())
        ],
        [
            (kind, say_type(content["schema"]), _members(_resolved(document, content["schema"])))
            for kind, content in _contents(told.get("requestBody", {}))
        ],
        _request(document["servers"][0]["url"], path, method, told),
        [answer for status, response in responses.items() if status < "3" for answer in _answers(status, response)],
        [failure for status, response in responses.items() if status >= "4" for failure in _failures(status, response)],
    )  # fmt: skip


def _resolved(document: Schema, part: Schema) -> Schema:
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].split("/")[-2:]
    found: Schema = document["components"][kind][name]
    return found


def _contents(part: Schema) -> Iterator[tuple[str, Schema]]:
    yield from part.get("content", {}).items()


def _request(server: str, path: str, method: str, told: Schema) -> str:
    """Return the example of an operation as a call of curl, with what is needed and no more."""
    lines = [f"curl {'' if method == 'get' else f'-X {method.upper()} '}'{server}{path}'"]
    for parameter in told.get("parameters", ()):
        if parameter["required"] and parameter["in"] == "path":
            lines[0] = lines[0].replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        elif parameter["required"]:
            lines.append(f"-H '{parameter['name']}: {parameter['example']}'")
    lines += [_CREDENTIALS[scheme] for way in told.get("security", ()) for scheme in way]
    for kind, content in _contents(told.get("requestBody", {})):
        if kind == "application/x-www-form-urlencoded":
            lines += [f"-d '{name}={value}'" for name, value in content["example"].items()]
        else:
            body = _pretty(content["example"]).replace("'", "'\\''")
            lines += [f"-H 'Content-Type: {kind}'", f"-d '{body}'"]
    return " \\\n  ".join(lines)


def _answers(status: str, response: Schema) -> Iterator[tuple[str, str, str, str]]:
    """Yield the status, what it means, the type, and an example of each form of a successful answer."""
    title = f"{status} {HTTPStatus(int(status)).phrase}"
    text = response["description"].removesuffix("Successful Response")
    if "content" not in response:
        yield title, text, "", "(no body)"
    for kind, content in _contents(response):
        schema = content.get("schema") or {}
        yield title, text, say_type(schema) if schema else kind, _pretty(content["example"])


def _failures(status: str, response: Schema) -> Iterator[Failure]:
    for line in response["description"].split("\n\n"):
        found = re.fullmatch(r"`([a-z_]+)`: (.+)", line, re.DOTALL)
        if found is not None:
            yield Failure(status, found[1], found[2])


def _pretty(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
