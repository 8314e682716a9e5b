"""What would break a caller between two OpenAPI documents: less taken than before, or less answered."""

from collections.abc import Iterator
from typing import Any

_DEEPEST = 12


def breaking(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a sentence for every change that a caller written against `old` would notice in `new`."""
    return sorted(set(_changes(old, new)))


def with_answers(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with each shared response put where an operation refers to it."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if "$ref" in answer:
                    operation["responses"][status] = document["components"]["responses"][name_of(answer)]
    return document


def name_of(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[-1]


def _changes(old: dict, new: dict) -> Iterator[str]:
    for path, methods in old["paths"].items():
        for method, was in methods.items():
            where = f"{method.upper()} {path}"
            is_now = new["paths"].get(path, {}).get(method)
            if is_now is None:
                yield f"{where} is gone"
                continue
            yield from _parameters(where, was, is_now)
            yield from _security(where, was, is_now)
            yield from _bodies(where, old, new, was, is_now)
            yield from _answers(where, old, new, was, is_now)


def _parameters(where: str, was: dict, is_now: dict) -> Iterator[str]:
    before, now = ({(p["in"], p["name"]): p for p in op.get("parameters", [])} for op in (was, is_now))
    for place, name in before.keys() - now.keys():
        yield f"{where}: the {place} parameter {name} is gone"
    for key, parameter in now.items():
        if parameter.get("required") and not before.get(key, {}).get("required"):
            yield f"{where}: the {key[0]} parameter {key[1]} is now required"


def _security(where: str, was: dict, is_now: dict) -> Iterator[str]:
    before, now = (
        {scope for way in op.get("security", []) for s in way.values() for scope in s} for op in (was, is_now)
    )
    for scope in now - before:
        yield f"{where}: the scope {scope} is now needed"


def _bodies(where: str, old: dict, new: dict, was: dict, is_now: dict) -> Iterator[str]:
    before, now = (op.get("requestBody", {}).get("content", {}) for op in (was, is_now))
    for kind in before.keys() - now.keys():
        yield f"{where}: {kind} is no longer taken"
    for kind in before.keys() & now.keys():
        yield from _taken(f"{where} body", _Pair(old, new, before[kind]["schema"], now[kind]["schema"]))


def _answers(where: str, old: dict, new: dict, was: dict, is_now: dict) -> Iterator[str]:
    for status, answer in was["responses"].items():
        if not status.startswith("2"):
            continue
        found = is_now["responses"].get(status)
        if found is None:
            yield f"{where}: {status} is no longer answered"
            continue
        for kind, content in answer.get("content", {}).items():
            if kind not in found.get("content", {}):
                yield f"{where} {status}: {kind} is no longer answered"
            else:
                pair = _Pair(old, new, *(_described(way) for way in (content, found["content"][kind])))
                yield from _given(f"{where} {status}", pair)


def _described(content: dict) -> dict:
    """Return the schema of an answer, or of one event of a stream."""
    return content.get("schema") or content.get("itemSchema", {})


class _Pair:
    """One schema in both documents, its references followed."""

    def __init__(self, old: dict, new: dict, was: Any, is_now: Any, depth: int = 0) -> None:
        self.old, self.new, self.depth = old, new, depth
        self.was, self.now = _follow(old, was), _follow(new, is_now)

    def inner(self, was: Any, is_now: Any) -> "_Pair":
        return _Pair(self.old, self.new, was, is_now, self.depth + 1)

    def parts(self) -> Iterator[tuple[str, "_Pair"]]:
        if self.depth > _DEEPEST:
            return
        before, now = self.was.get("properties", {}), self.now.get("properties", {})
        for name in before.keys() & now.keys():
            yield f"/{name}", self.inner(before[name], now[name])
        ways, ways_now = (one.get("discriminator", {}).get("mapping", {}) for one in (self.was, self.now))
        for name in ways.keys() & ways_now.keys():
            yield f"<{name}>", self.inner({"$ref": ways[name]}, {"$ref": ways_now[name]})
        if "items" in self.was and "items" in self.now:
            yield "[]", self.inner(self.was["items"], self.now["items"])


def _follow(document: dict, schema: Any) -> dict:
    while "$ref" in schema:
        schema = document["components"]["schemas"][name_of(schema)]
    return schema


def _kinds(document: dict, schema: dict) -> set[str]:
    ways = schema.get("anyOf") or schema.get("oneOf")
    if ways:
        return {kind for way in ways for kind in _kinds(document, _follow(document, way))}
    found = schema.get("type", "any")
    return set(found) if isinstance(found, list) else {found}


def _values(schema: dict) -> set[Any] | None:
    return {schema["const"]} if "const" in schema else set(schema["enum"]) if "enum" in schema else None


def _taken(where: str, pair: _Pair) -> Iterator[str]:
    before, now = _kinds(pair.old, pair.was), _kinds(pair.new, pair.now)
    if not before <= now and "any" not in now:
        yield f"{where}: {', '.join(sorted(before - now))} is no longer taken"
    for name in pair.was.get("properties", {}).keys() - pair.now.get("properties", {}).keys():
        yield f"{where}: /{name} is no longer taken"
    for name in set(pair.now.get("required", [])) - set(pair.was.get("required", [])):
        yield f"{where}: /{name} is now required"
    was, is_now = _values(pair.was), _values(pair.now)
    if is_now is not None and (was is None or not was <= is_now):
        yield f"{where}: fewer values are taken"
    for limit in ("maxLength", "maxItems", "maximum"):
        if pair.now.get(limit, float("inf")) < pair.was.get(limit, float("inf")):
            yield f"{where}: {limit} is smaller"
    for name, part in pair.parts():
        yield from _taken(where + name, part)


def _given(where: str, pair: _Pair) -> Iterator[str]:
    before, now = _kinds(pair.old, pair.was), _kinds(pair.new, pair.now)
    if not now <= before and "any" not in before:
        yield f"{where}: {', '.join(sorted(now - before))} may now be answered"
    for name in pair.was.get("properties", {}).keys() - pair.now.get("properties", {}).keys():
        yield f"{where}: /{name} is no longer answered"
    for name in set(pair.was.get("required", [])) - set(pair.now.get("required", [])):
        yield f"{where}: /{name} may now be missing"
    for name, part in pair.parts():
        yield from _given(where + name, part)
