"""The JSON Schema of a constraint's body, for editors: what its class says with these pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


Form: TypeAlias = "Mapping[str, JsonValue]"

INNER: Final[dict[str, JsonValue]] = {"$ref": "#/$defs/constraint"}
"""A constraint inside of another."""
TEXT: Final[dict[str, JsonValue]] = {"type": "string", "minLength": 1}
TEXTS: Final[dict[str, JsonValue]] = {"type": "array", "items": TEXT, "uniqueItems": True}


def bounds(of: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """An object of ``min``, ``max`` or both."""
    return {
        "type": "object",
        "properties": {"min": of, "max": of},
        "additionalProperties": False,
        "minProperties": 1,
    }
