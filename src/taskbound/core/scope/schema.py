"""The JSON Schema of the scope language for editors, made from the registered constraints.

1. ``parse`` decides what a scope is. The schema refuses nothing that ``parse`` accepts, and passes what it
   cannot express (a minimum above the maximum, an argument named twice).
2. A constraint is an object of one member, so that an editor offers the tags and then the body of the tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import MAX_INTEGER
from taskbound.core.scope.constraints.constraint import TEXT
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.grant import MAX_ARGUMENTS, MAX_GRANTS, MAX_STEPS, MIN_STEPS, Others
from taskbound.core.scope.limits import MAX_RATES, MAX_SECONDS, PLACES
from taskbound.core.scope.values import MAX_EXPONENT

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Registry

    Form = dict[str, JsonValue]


_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PATH: Final[dict[str, JsonValue]] = {"type": "string", "minLength": 1}
_COUNT: Final[dict[str, JsonValue]] = {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER}


def scope_schema(registry: Registry = CONSTRAINTS) -> dict[str, JsonValue]:
    grants: Form = {
        "description": "What may be called; a call is covered when one of them covers it.",
        "type": "array",
        "items": {"$ref": "#/$defs/grant"},
        "minItems": 1,
        "maxItems": MAX_GRANTS,
    }
    step = _object(
        "A part of the task, in which its own grants are in force.",
        {
            "name": {
                "description": "Small letters, digits and hyphens; no other step has it.",
                "type": "string",
                "pattern": "^[a-z][a-z0-9-]{0,63}$",
            },
            "keep": {
                "description": "Whether what was in force in the step before still is.",
                "type": "boolean",
            },
            "grants": grants,
        },
        required=("name", "grants"),
    )
    steps: Form = {
        "description": "Parts of the task, one after another; it begins in the first.",
        "type": "array",
        "items": step,
        "minItems": MIN_STEPS,
        "maxItems": MAX_STEPS,
    }
    return {
        "$schema": _DIALECT,
        "title": "Taskbound scope",
        "description": "What a task may do. Silence refuses.",
        "type": "object",
        "properties": {"grants": grants, "steps": steps},
        "additionalProperties": False,
        "oneOf": [{"required": ["grants"]}, {"required": ["steps"]}],
        "$defs": _definitions(registry),
    }


def grant_schema(registry: Registry = CONSTRAINTS) -> dict[str, JsonValue]:
    return {
        "$schema": _DIALECT,
        "title": "Taskbound grant",
        "$ref": "#/$defs/grant",
        "$defs": _definitions(registry),
    }


def _definitions(registry: Registry) -> Form:
    inner = {tag: one for tag, one in registry.items() if one.kinds}  # what permits nothing stands alone
    return {
        "grant": _grant(),
        "argument": _constraint("What the argument must be.", registry),
        "constraint": _constraint("What the value must be.", inner),
        **{f"constraint-{tag}": dict(one.schema) for tag, one in sorted(registry.items())},
    }


def _constraint(description: str, registry: Registry) -> Form:
    return {
        "description": description,
        "type": "object",
        "properties": {tag: {"$ref": f"#/$defs/constraint-{tag}"} for tag in sorted(registry)},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _grant() -> Form:
    return _object(
        "Leave to call one tool, within constraints and limits.",
        {
            "tool": {
                "description": "The tool, as server__tool, or what there is beside: server__resources/read.",
                "type": "string",
                "pattern": "^[a-z0-9][a-z0-9-]*__.+$",
            },
            "arguments": {
                "description": "One constraint for each path: name, name.name, files[*].path.",
                "type": "object",
                "propertyNames": _PATH,
                "additionalProperties": {"$ref": "#/$defs/argument"},
                "maxProperties": MAX_ARGUMENTS,
            },
            "optional": {
                "description": "Paths that may be left out; the server then does what it does.",
                "type": "array",
                "items": _PATH,
                "maxItems": MAX_ARGUMENTS,
                "uniqueItems": True,
            },
            "others": {
                "description": "Arguments that no path mentions: default-only, or any (breadth).",
                "enum": [one.value for one in Others],
            },
            "uses": {"description": "How many actions it pays for, in all.", **_COUNT},
            "total": {
                "description": "For an argument, what it may add up to.",
                "type": "object",
                "propertyNames": _PATH,
                "additionalProperties": _total(),
            },
            "rate": {
                "description": "At most so many uses in a window; twice as many in any span as long.",
                "anyOf": [
                    _rate(),
                    {"type": "array", "items": _rate(), "minItems": 1, "maxItems": MAX_RATES},
                ],
            },
        },
        required=("tool",),
    )


def _total() -> Form:
    text: Form = {"description": 'Whether the amount may be a text such as "12.50".', "const": True}
    amount: Form = {"type": "string", "pattern": "^[0-9]+([.][0-9]+)?$"}
    one = _object(
        "At most `limit` units of 10^-exponent.",
        {
            "limit": _COUNT,
            "exponent": {"type": "integer", "minimum": 0, "maximum": MAX_EXPONENT},
            "text": text,
        },
        required=("limit", "exponent"),
    )
    codes: Form = {
        "type": "object",
        "properties": dict.fromkeys(sorted(PLACES), amount),
        "additionalProperties": False,
        "minProperties": 1,
    }
    by_currency = _object(
        "A limit for each currency that the argument at `currency` may name.",
        {"currency": TEXT, "limits": codes, "text": text},
        required=("currency", "limits"),
    )
    return {"anyOf": [one, by_currency]}


def _rate() -> Form:
    return _object(
        "At most so many uses in a window that opens at the first.",
        {"uses": _COUNT, "seconds": {"type": "integer", "minimum": 1, "maximum": MAX_SECONDS}},
        required=("uses", "seconds"),
    )


def _object(description: str, properties: Form, *, required: tuple[str, ...]) -> Form:
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }
