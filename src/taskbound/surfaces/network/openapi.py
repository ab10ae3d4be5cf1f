"""The OpenAPI 3.1 description of the API, derived from routes and message types.

1. Parameters, body and answer of a route are the fields of its messages, so the description cannot differ
   from the parser.
2. Each operation may be refused with a problem under the listed statuses.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound import __version__
from taskbound.surfaces.network.problem import Problem
from taskbound.wire.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.wire.routes import Route


_REFUSED: Final = (
    *(
        "400",
        "401",
        "403",
        "404",
        "405",
        "406",
        "408",
        "409",
        "411",
        "413",
        "415",
        "422",
        "429",
        "431",
        "500",
        "503",
    ),
)
_CURSOR: Final = {"type": "string", "maxLength": 512}
_KEY: Final = {"type": "string", "pattern": "^[!-~]{1,128}$"}
_UNSEEN: Final = r"\u0000-\u001f\u007f-\u009f"
_SEGMENT: Final = {"type": "string", "pattern": rf"^(?!\.{{1,2}}$)[^/{_UNSEEN}]+$"}
_TEXT: Final = {"pattern": f"^[^{_UNSEEN}]*$"}
_NUMBER: Final = {"minimum": -(10**15) + 1, "maximum": 10**15 - 1}


def describe(origin: str) -> bytes:
    """Returns the description as JSON."""
    kinds = {one.message for one in ROUTES} | {one.answer for one in ROUTES} | {Problem}
    ordered = sorted(kinds, key=lambda one: one.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        if "description" in schema:  # a docstring, which Python compiles without its indentation since 3.13
            schema["description"] = cleandoc(schema["description"])
    for route in ROUTES:
        if route.page:
            schemas[route.answer.__name__]["properties"]["next"] = _CURSOR
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route, schemas)
    asked = {one.message.__name__ for one in ROUTES}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Taskbound",
            "version": __version__,
            "summary": "Authorizes one action of an AI agent at a time, against a task.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": origin}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: one for name, one in schemas.items() if name not in asked},
            "responses": {
                "problem": {
                    "description": "It was refused, and why (RFC 9457).",
                    "content": {
                        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                    },
                }
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "DPoP",
                    "description": "A person's or a task's token, bound to a key by DPoP (RFC 9449) or by the"
                    " client's certificate (RFC 8705).",
                }
            },
        },
    }
    return msgspec.json.encode(document, order="deterministic")


def _operation(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    asked = schemas[route.message.__name__]
    fields = {name: one for name, one in asked["properties"].items() if name != "op"}
    needed = [one for one in asked.get("required", []) if one != "op"]
    summary = str(asked.get("description", "")).split(". ")[0]
    parameters = [
        {"name": one, "in": "path", "required": True, "schema": _SEGMENT} for one in route.within_path
    ]
    rest = {name: one for name, one in fields.items() if name not in route.within_path}
    described: dict[str, Any] = {
        "operationId": route.operation.replace(":", "-"),
        "summary": summary,
        "tags": [route.segments[1]],
        "x-taskbound-operation": f"api:{route.operation}",
        "responses": {
            "200": {
                "description": "What was asked.",
                "content": {
                    "application/json": {"schema": {"$ref": f"#/components/schemas/{route.answer.__name__}"}}
                },
            },
            **{one: {"$ref": "#/components/responses/problem"} for one in _REFUSED},
        },
    }
    if route.reads:
        for name, one in rest.items():
            told = "cursor" if name == "before" else name
            schema = _CURSOR if name == "before" else _in_query(one)
            listed = {"style": "form", "explode": False} if one.get("type") == "array" else {}
            parameters.append(
                {"name": told, "in": "query", "required": name in needed, "schema": schema, **listed}
            )
    elif rest:
        wanted = [one for one in needed if one in rest]
        described["requestBody"] = {
            "required": bool(wanted),
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": rest,
                        "additionalProperties": False,
                        **({"required": wanted} if wanted else {}),
                    }
                }
            },
        }
    if not route.reads:
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": _KEY})
    if parameters:
        described["parameters"] = parameters
    return described


def _in_query(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Narrows a field's schema to what a query can carry."""
    match schema.get("type"):
        case "string":
            return {**schema, **_TEXT}
        case "integer":
            return {**schema, **_NUMBER}
        case "array":
            return {**schema, "items": {**schema["items"], "pattern": f"^[^,{_UNSEEN}]+$"}}
        case _:
            return dict(schema)
