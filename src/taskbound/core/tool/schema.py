"""What in a tool object is text for people, and what is meaning.

Rules:

1. Text is: the tool's `title`, `description` and `icons`; `annotations.title`; and at
   every place where a schema stands, `title`, `description` and `$comment`, when they
   are strings. Everything else is meaning, and so is a property *named* `title`.
2. A schema stands where JSON Schema 2020-12 (and draft 7) put one. What no keyword is
   known for is opaque: all of it is meaning.
3. A reference that leaves the document (`$ref` without `#` in front) refuses: what it
   names can change behind the pin, and MCP forbids following it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.tool.errors import RemoteReferenceError
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


_TEXTS: Final = frozenset({"$comment", "description", "title"})
_ONE: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LISTS: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_MAPS: Final = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
_REFERENCES: Final = frozenset({"$dynamicRef", "$recursiveRef", "$ref"})
_SCHEMAS: Final = frozenset({"inputSchema", "outputSchema"})

Texts = dict[str, "JsonValue"]


def part(tool: dict[str, JsonValue]) -> tuple[dict[str, JsonValue], Texts]:
    """The meaning of a tool object, and its texts by place (rule 1).

    Raises:
        RemoteReferenceError: A schema refers to something outside itself (rule 3).
    """
    texts: Texts = {}
    meaning: dict[str, JsonValue] = {}
    for key, value in tool.items():
        if key == "icons" or (key in {"title", "description"} and isinstance(value, str)):
            texts[pointer("", key)] = value
        elif key in _SCHEMAS:
            meaning[key] = _schema(value, pointer("", key), texts)
        elif key == "annotations" and isinstance(value, dict):
            meaning[key] = _annotations(value, texts)
        else:
            meaning[key] = value
    return meaning, texts


def pointer(place: str, key: str) -> str:
    """The JSON pointer (RFC 6901) of a member or item below a place."""
    return f"{place}/{key.replace('~', '~0').replace('/', '~1')}"


def _annotations(value: dict[str, JsonValue], texts: Texts) -> JsonValue:
    if not isinstance(value.get("title"), str):
        return value
    texts["/annotations/title"] = value["title"]
    return {key: one for key, one in value.items() if key != "title"}


def _schema(value: JsonValue, place: str, texts: Texts) -> JsonValue:
    """The meaning of what stands at a schema's place."""
    if not isinstance(value, dict):
        return value
    meaning: dict[str, JsonValue] = {}
    for key, one in value.items():
        at = pointer(place, key)
        if key in _TEXTS and isinstance(one, str):
            texts[at] = one
        else:
            meaning[key] = _keyword(key, one, at, texts)
    return meaning


def _keyword(key: str, value: JsonValue, place: str, texts: Texts) -> JsonValue:
    if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
        raise RemoteReferenceError(f"the schema refers to `{shown(value)}`", where=place)
    if key in _LISTS and isinstance(value, list):
        return [_schema(one, pointer(place, str(at)), texts) for at, one in enumerate(value)]
    if key in _MAPS and isinstance(value, dict):
        return {name: _schema(one, pointer(place, name), texts) for name, one in value.items()}
    if key in _ONE:
        return _schema(value, place, texts)
    return value
