"""Separation of text and meaning in a tool's schema, and arguments mirrored as headers.

Of `schema`:

1. Text is the tool's `title`, `description`, `icons` and `annotations.title`, and each schema's string
   `title`, `description` and `$comment`. All else is meaning, including a property *named* `title`.
2. Schemas are found where JSON Schema 2020-12 and draft 7 put them; the content of unknown keywords is
   meaning.
3. An external `$ref` is refused: its document can change, and MCP forbids fetching it.

Of `mirror` (MCP 2026-07-28, Transports, Streamable HTTP, Custom Headers):

1. A declaration is a token, unique without case per tool, on a property that a chain of `properties` reaches,
   of type `integer`, `string` or `boolean`. A tool with any other declaration is not offered.
2. The value comes from the decided bytes. Absent, null or other values have no header.
3. Printable ASCII that does not look encoded is sent as is; other text as Base64 of UTF-8 in `=?base64?` and
   `?=`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import BadMirrorError, RemoteReferenceError
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """The meaning of a tool object and its texts by place (rule 1); raises RemoteReferenceError (rule 3)."""
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
    """The JSON pointer (RFC 6901) of a member or item."""
    return f"{place}/{key.replace('~', '~0').replace('/', '~1')}"


def _annotations(value: dict[str, JsonValue], texts: Texts) -> JsonValue:
    if not isinstance(value.get("title"), str):
        return value
    texts["/annotations/title"] = value["title"]
    return {key: one for key, one in value.items() if key != "title"}


def _schema(value: JsonValue, place: str, texts: Texts) -> JsonValue:
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


_KEY: Final = "x-mcp-header"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_PLAIN: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_LOOKS_ENCODED: Final = re.compile(r"=\?base64\?.*\?=")
_TYPES: Final = frozenset({"boolean", "integer", "string"})
_DATA: Final = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are no schemas, whatever they look like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """One argument that is repeated as a header."""

    header: str
    """The whole name, `Mcp-Param-…`."""
    path: tuple[str, ...]
    """The properties that lead to it."""


def parse_mirrors(schema: JsonValue) -> tuple[Mirror, ...]:
    """The declarations in an input schema; raises BadMirrorError (rule 1)."""
    found: dict[str, Mirror] = {}
    for path, one in _schemas(schema):
        if _KEY not in one:
            continue
        token, kind = one[_KEY], one.get("type")
        if not path:
            raise BadMirrorError(f"`{_KEY}` stands where no chain of properties leads to")
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise BadMirrorError(f"`{_KEY}` of `{shown(path[-1])}` can't name a header")
        if not isinstance(kind, str) or kind not in _TYPES:
            raise BadMirrorError(f"`{_KEY}` of `{shown(path[-1])}` is on no integer, string or boolean")
        if found.setdefault(token.lower(), Mirror(header=f"Mcp-Param-{token}", path=path)).path != path:
            raise BadMirrorError(f"two properties have the `{_KEY}` `{shown(token)}`")
    return tuple(found.values())


def mirrored(mirrors: tuple[Mirror, ...], arguments: JsonValue) -> tuple[tuple[str, str], ...]:
    """The headers of a call (rule 2)."""
    found: list[tuple[str, str]] = []
    for one in mirrors:
        value = arguments
        for key in one.path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool):
            found.append((one.header, "true" if value else "false"))
        elif isinstance(value, str | int):
            found.append((one.header, encoded(str(value))))
    return tuple(found)


def encoded(text: str) -> str:
    """A text as a header value (rule 3)."""
    if _PLAIN.fullmatch(text) is not None and _LOOKS_ENCODED.fullmatch(text) is None:
        return text
    return f"=?base64?{b64encode(text.encode()).decode('ascii')}?="


def _schemas(root: JsonValue) -> Iterator[tuple[tuple[str, ...], dict[str, JsonValue]]]:
    waiting: list[tuple[tuple[str, ...], bool, JsonValue]] = [((), True, root)]
    while waiting:
        path, chained, value = waiting.pop()
        if isinstance(value, list):
            waiting += [((), False, one) for one in value]
        if not isinstance(value, dict):
            continue
        yield path, value
        for key, one in value.items():
            if key in _DATA:
                continue
            if key == "properties" and isinstance(one, dict):
                waiting += [((*path, name) if chained else (), chained, inner) for name, inner in one.items()]
            elif key != _KEY:
                waiting.append(((), False, one))
