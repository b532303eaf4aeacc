"""The exchange's own specification files as JSON schemas. Skips where they are not at hand."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

Json = dict[str, Any]

OPENAPI = "openapi-3.28.0_2026-08-22_merged-from-pages.yaml"
ASYNCAPI = "asyncapi-2.0.0_2026-08-22.yaml"

# What the files do not say yet, or say differently from the wire, each with its date or source. (protocol.md is the
# reference beside them.) `key`: this key may be there too. `any`: this key may hold anything.
NEWER: list[tuple[str, str, str, str]] = [
    # schema, what, key, why
    ("asyncapi *Payload", "key", "sending_ts_ms", "2026-10-01: on every frame"),
    ("asyncapi *Payload", "key", "seq", "2026-09-10: documented on trades, life cycle and fees too"),
    ("asyncapi orderbookSnapshotPayload", "key", "id", "the answer to get_snapshot carries the command's id"),
    ("asyncapi errorResponsePayload", "key", "sid", "an error of one subscription names it"),
    ("asyncapi marketTicker", "any", "pattern", "tickers contain dots: KXBTCD-26JUL0317-T60499.99"),
    ("asyncapi userOrderPayload.msg", "key", "exchange_index", "2026-10: with the shards"),
    ("asyncapi userOrderPayload.msg", "key", "last_update_reason", "2026-10-01"),
    ("asyncapi subscribeCommandPayload.params.channels", "any", "items", "cfbenchmarks_value_5hz is not in the list"),
    ("openapi Market", "key", "settlement_bounds_type", "2026-10-01"),
    ("openapi AmendOrderV2Request", "key", "expiration_time", "2026-10-01"),
]
NEWER_CALLS = {
    ("DELETE", "/portfolio/events/orders"): "2026-08-27: cancel all",
}
NEWER_QUERIES = {
    ("/portfolio/positions", "settlement_status"): "2026-10-01",
}


@cache
def document(name: str) -> Json:
    """One of the files."""
    repository = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("KALSHI_RAY_SPECIFICATION", repository.parent / "shared" / "kalshi"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"no specification at {path}; set KALSHI_RAY_SPECIFICATION")
    with path.open("rb") as file:
        return yaml.load(file, Loader=yaml.CSafeLoader)  # type: ignore[no-any-return]


@cache
def _components(name: str) -> Json:
    kind = "asyncapi" if name == ASYNCAPI else "openapi"
    schemas = {key: strict(schema) for key, schema in document(name)["components"]["schemas"].items()}
    for where, what, key, _ in NEWER:
        owner, path = where.split(" ", 1)
        if owner != kind:
            continue
        names = [n for n in schemas if n.endswith("Payload")] if path == "*Payload" else [path.split(".")[0]]
        for schema_name in names:
            _allow(schemas[schema_name], path.split(".")[1:], what, key)
    return {"components": {"schemas": schemas}}


def _allow(schema: Json, path: list[str], what: str, key: str) -> None:
    for step in path:
        schema = schema["properties"][step]
    if what == "key":
        keys = schema.setdefault("properties", {})
        assert key == "seq" or key not in keys, f"{key} is documented and no exception any more"
        keys.setdefault(key, {})
    else:
        assert key in schema, f"{key} is no exception any more"
        del schema[key]


def strict(schema: Any, *, closed: bool = True) -> Any:
    """A schema of OpenAPI 3.0 as JSON schema: `nullable` spelt out, and no key but the documented ones."""
    if isinstance(schema, list):
        return [strict(one, closed=closed) for one in schema]
    if not isinstance(schema, dict):
        return schema
    together = "allOf" in schema
    found = {
        key: {name: strict(one) for name, one in value.items()}
        if key == "properties"
        else strict(value, closed=not together)
        if key in ("allOf", "items")
        else value
        for key, value in schema.items()
        if key not in ("nullable", "example", "examples", "description", "format")
    }
    if "properties" in found and closed and not together:
        found.setdefault("additionalProperties", False)
    if "enum" in found and None in found["enum"]:
        found["enum"] = [word for word in found["enum"] if word is not None]
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") else found


def _validator(name: str, schema: Json) -> Draft7Validator:
    return Draft7Validator({**_components(name), **schema})


@cache
def payload(name: str) -> Draft7Validator:
    """Checks frames of the stream: `payload("fillPayload")`."""
    return _validator(ASYNCAPI, {"allOf": [{"$ref": f"#/components/schemas/{name}"}]})


@cache
def operation(method: str, template: str) -> Json:
    """What the file says of a call."""
    return document(OPENAPI)["paths"][template][method.lower()]  # type: ignore[no-any-return]


@cache
def body(method: str, template: str, status: int) -> Draft7Validator:
    """Checks the body of a request (status 0) or of an answer."""
    call = operation(method, template)
    content = call["requestBody"] if status == 0 else call["responses"][str(status)]
    return _validator(OPENAPI, strict(content["content"]["application/json"]["schema"]))


@cache
def query(method: str, template: str) -> dict[str, Draft7Validator]:
    """Checks of the words of a query, by key."""
    parameters = [_resolved(one) for one in operation(method, template).get("parameters", [])]
    return {one["name"]: _validator(OPENAPI, strict(one["schema"])) for one in parameters if one["in"] == "query"}


def _resolved(parameter: Json) -> Json:
    reference = parameter.get("$ref")
    if reference is None:
        return parameter
    return document(OPENAPI)["components"]["parameters"][reference.rpartition("/")[2]]  # type: ignore[no-any-return]
