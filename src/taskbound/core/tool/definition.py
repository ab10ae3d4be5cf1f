"""A tool's definition as listed by its server: schema, digest, comparison, and the methods beside tools.

`schema`: Text is the tool's `title`, `description`, `icons` and `annotations.title`, and each schema's
string `title`, `description` and `$comment`. All else is meaning, including a property *named* `title`.
Schemas are found where JSON Schema 2020-12 and draft 7 put them; the content of unknown keywords is
meaning. An external `$ref` is refused: its document can change, and MCP forbids fetching it.

`mirror` (MCP 2026-07-28, Transports, Streamable HTTP, Custom Headers): A declaration is a token, unique
without case per tool, on a property that a chain of `properties` reaches, of type `integer`, `string` or
`boolean`. A tool with any other declaration is not offered. The value comes from the decided bytes.
Absent, null or other values have no header. Printable ASCII that does not look encoded is sent as is;
other text as Base64 of UTF-8 in `=?base64?` and `?=`.

`definition`: The definition is the tool object without its top-level `_meta`, in canonical bytes. The
digest is the SHA-256 of the canonical object of version, kind and definition. `inputSchema` is an object
of `type` `object`; other members have their MCP types. Missing annotations mean the worst effect: without
`readOnlyHint: true` a tool writes, without `destructiveHint: false` it destroys. Defaults are those of the
schema's top-level properties. Limits: 256 KiB per definition, 1,000 tools and 3 MiB per server. Names in a
list must not be equal, look alike (A163) or be a method's.

`difference`: Equal bytes are the same definition. If only text for people differs (`schema.part`), calls
continue and agents are shown the pinned text. Any other difference, or an unreadable list, is a changed
schema and refuses calls. A pinned tool or method that is not listed any more is gone. Differences are
reported escaped, at most 20, each within a line.

`method`: Each request to a server is an action; one other than `tools/call` has the tool `SERVER__METHOD`
and its parameters without `_meta` as arguments. Method definitions are fixed here, according to MCP, and
pinned with a server that declares the capability. Requests only read, according to MCP; servers may
differ, so the world is open. A server's question (elicitation, sampling) discloses answers irrevocably, so
it has the worst effect. It is pinned only if the person who pins the server allows it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import field
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool.errors import (
    BadDefinitionError,
    BadMirrorError,
    BadToolNameError,
    RemoteReferenceError,
    TooManyToolsError,
)
from taskbound.core.tool.name import (
    METHOD_NAMES,
    QUESTION_NAMES,
    is_reserved,
    join_tool_name,
    parse_own_name,
    require_distinct,
    shown,
)
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue

    Schema = dict[str, JsonValue]


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


DEFINITION_VERSION: Final = 1
"""The version of what stands in a definition's digest."""
MAX_DEFINITION: Final = 262_144
"""Bytes of one tool object."""
MAX_TOOLS: Final = 1_000
MAX_DEFINITIONS: Final = 3 * 1_048_576
"""Bytes of all tool objects of a server: they travel to the daemon in one frame."""

_LIMITS: Final = Limits(size=MAX_DEFINITION)
_HINTS: Final = ("destructiveHint", "idempotentHint", "openWorldHint", "readOnlyHint")


class Effect(Enum):
    """The effect of a call, according to the server."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """One tool as described by its server; made by `parse_definition`."""

    name: str
    """What the server calls it, without the server's name in front."""
    canonical: bytes
    """The whole object but its `_meta`."""
    value: dict[str, JsonValue]
    """The same as a value; not to be changed."""
    effect: Effect
    defaults: Mapping[str, JsonValue]
    """Top-level properties of the input schema that have a default."""
    digest: str = field(init=False)
    """Rule 1: 64 lowercase hexadecimal digits."""

    def __post_init__(self) -> None:
        whole = b'{"definition":%b,"kind":"tool","version":%d}' % (self.canonical, DEFINITION_VERSION)
        object.__setattr__(self, "digest", sha256(whole).hexdigest())

    @property
    def input_schema(self) -> dict[str, JsonValue]:
        """The schema of the arguments; must not be modified."""
        schema = self.value["inputSchema"]
        return schema if isinstance(schema, dict) else {}

    @property
    def denies_idempotence(self) -> bool:
        """True if the server declares `idempotentHint: false`."""
        hints = self.value.get("annotations")
        return isinstance(hints, dict) and hints.get("idempotentHint") is False

    @property
    def open_world(self) -> bool:
        """False only if the server declares `openWorldHint: false`."""
        annotations = self.value.get("annotations")
        return not (isinstance(annotations, dict) and annotations.get("openWorldHint") is False)


def effect_of(definition: ToolDefinition, declared: str) -> Effect:
    """The declared effect, or that of the definition if `declared` is empty."""
    return Effect(declared) if declared else definition.effect


def parse_listed(raw: bytes) -> ToolDefinition:
    """Parses a listed tool; raises like `parse_definition`, and for a method's name."""
    found = parse_definition(raw)
    parse_own_name(found.name)
    return found


def parse_definition(raw: bytes) -> ToolDefinition:
    value = parse_document(raw, limits=_LIMITS)
    if not isinstance(value, dict):
        raise BadDefinitionError("a tool is a JSON object")
    value.pop("_meta", None)
    name = value.get("name")
    if not isinstance(name, str):
        raise BadDefinitionError("a tool has a `name`")
    if not is_reserved(name):
        parse_own_name(name)
    _require_types(name, value)
    part(value)
    return ToolDefinition(
        name=name,
        canonical=canonical(value),
        value=value,
        effect=_effect(value.get("annotations")),
        defaults=_defaults(value["inputSchema"]),
    )


def parse_definitions(raws: Iterable[bytes], *, server: str) -> tuple[ToolDefinition, ...]:
    found: list[ToolDefinition] = []
    size = 0
    for raw in raws:
        size += len(raw)
        if len(found) >= MAX_TOOLS or size > MAX_DEFINITIONS:
            raise TooManyToolsError(f"more than {MAX_TOOLS} tools or {MAX_DEFINITIONS} bytes of them")
        found.append(parse_listed(raw))
        join_tool_name(server, found[-1].name)
    require_distinct(one.name for one in found)
    return tuple(found)


def _require_types(name: str, tool: dict[str, JsonValue]) -> None:
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _bad(name, "`inputSchema` is not a schema of type `object`")
    if not isinstance(schema.get("properties", {}), dict):
        raise _bad(name, "`inputSchema.properties` is not an object")
    if not isinstance(tool.get("outputSchema", {}), dict | None):
        raise _bad(name, "`outputSchema` is not a schema")
    for key in ("title", "description"):
        if not isinstance(tool.get(key, ""), str | None):
            raise _bad(name, f"`{key}` is not a text")
    annotations = tool.get("annotations")
    if not isinstance(annotations, dict | None):
        raise _bad(name, "`annotations` is not an object")
    for hint in _HINTS:
        if annotations is not None and not isinstance(annotations.get(hint), bool | None):
            raise _bad(name, f"`annotations.{hint}` is neither true nor false")


def _bad(name: str, what: str) -> MalformedError:
    return BadDefinitionError(f"tool `{shown(name)}`: {what}")


def _effect(annotations: JsonValue) -> Effect:
    hints = annotations if isinstance(annotations, dict) else {}
    if hints.get("readOnlyHint") is True:
        return Effect.READ
    return Effect.WRITE if hints.get("destructiveHint") is False else Effect.DESTRUCTIVE


def _defaults(schema: JsonValue) -> Mapping[str, JsonValue]:
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    if not isinstance(properties, dict):
        return {}
    return {
        name: one["default"] for name, one in properties.items() if isinstance(one, dict) and "default" in one
    }


_TEXT: Final[Schema] = {"type": "string"}
_DEFINITION_TEXTS: Final[Schema] = {"additionalProperties": _TEXT, "type": "object"}


def _object(properties: Mapping[str, JsonValue], *required: str) -> Schema:
    return {
        "additionalProperties": False,
        "properties": dict(properties),
        "required": list(required),
        "type": "object",
    }


_ANYTHING: Final[Schema] = {"type": "object"}
_LIST: Final[Schema] = {"type": "array"}
_NUMBER: Final[Schema] = {"type": "number"}

_METHODS: Final[Mapping[str, tuple[str, Schema]]] = {
    "completion/complete": (
        "Proposes values for an argument of a prompt or of a resource template.",
        _object(
            {
                "argument": _object({"name": _TEXT, "value": _TEXT}, "name", "value"),
                "context": _object({"arguments": _DEFINITION_TEXTS}),
                "ref": _object(
                    {"name": _TEXT, "type": {"enum": ["ref/prompt", "ref/resource"]}, "uri": _TEXT}, "type"
                ),
            },
            "argument",
            "ref",
        ),
    ),
    "prompts/get": (
        "Gives the messages of a prompt.",
        _object({"arguments": _DEFINITION_TEXTS, "name": _TEXT}, "name"),
    ),
    "resources/read": ("Gives what stands under a URI.", _object({"uri": _TEXT}, "uri")),
    "resources/subscribe": ("Tells when what stands under a URI changes.", _object({"uri": _TEXT}, "uri")),
}
_QUESTIONS: Final[Mapping[str, tuple[str, Schema]]] = {
    "elicitation/create": (
        "The server asks the person: to fill in a form, or to open a URL.",
        _object(
            {
                "elicitationId": _TEXT,
                "message": _TEXT,
                "mode": {"default": "form", "enum": ["form", "url"]},
                "requestedSchema": _ANYTHING,
                "url": _TEXT,
            },
            "message",
        ),
    ),
    "roots/list": ("The server asks for the folders that the client works in.", _object({})),
    "sampling/createMessage": (
        "The server asks the client's model.",
        _object(
            {
                "includeContext": {"default": "none", "enum": ["allServers", "none", "thisServer"]},
                "maxTokens": _NUMBER,
                "messages": _LIST,
                "metadata": _ANYTHING,
                "modelPreferences": _ANYTHING,
                "stopSequences": _LIST,
                "systemPrompt": _TEXT,
                "temperature": _NUMBER,
                "toolChoice": _ANYTHING,
                "tools": _LIST,
            },
            "maxTokens",
            "messages",
        ),
    ),
}


@cache
def method_definition(name: str) -> ToolDefinition:
    hints: dict[str, JsonValue] = {"idempotentHint": True, "readOnlyHint": True}
    if name in _QUESTIONS:
        description, schema = _QUESTIONS[name]
        hints = {"idempotentHint": False, "openWorldHint": True}
    elif name in _METHODS:
        description, schema = _METHODS[name]
    else:
        raise BadToolNameError(f"`{shown(name)}` is nothing that a server is asked for beside its tools")
    return parse_definition(
        canonical(
            {
                "annotations": hints,
                "description": description,
                "inputSchema": schema,
                "name": name,
            }
        )
    )


_MOST: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Same(NoTruth):
    """The definition is byte-for-byte the pinned one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChanged(NoTruth):
    """Only text for people differs; the pinned text is still served."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChanged(NoTruth):
    """The meaning differs or cannot be read; calls are refused."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone(NoTruth):
    """The server no longer lists the tool; calls are refused."""


Comparison: TypeAlias = Same | TextChanged | SchemaChanged | Gone


def compare(pinned: ToolDefinition, seen: ToolDefinition | None) -> Comparison:
    """Compares the pinned definition with the listed one, None if it is not listed."""
    if seen is None:
        return Gone()
    if seen.canonical == pinned.canonical:
        return Same()
    before, texts_before = part(pinned.value)
    after, texts_after = part(seen.value)
    meaning = tuple(_differences(before, after, ""))
    if meaning or canonical(before) != canonical(after):
        return SchemaChanged(words=_few(meaning) or ("the definition differs",))
    words = _few(tuple(_text_differences(texts_before, texts_after)))
    return TextChanged(words=words)


def compare_list(
    pinned: Sequence[ToolDefinition], raws: Sequence[bytes], *, server: str, methods: Sequence[str] = ()
) -> Mapping[str, Comparison]:
    """Compares a server's list with its pins, by own name; an unreadable list changes all."""
    try:
        seen = {one.name: one for one in parse_definitions(raws, server=server)}
        seen |= {one: method_definition(one) for one in methods if one in METHOD_NAMES}
        # What it may ask is a person's word at the pin; no server takes it back or adds to it.
        seen |= {one: method_definition(one) for one in QUESTION_NAMES}
    except MalformedError as error:
        words = (f"the server's list can't be read: {error.message}",)
        return {one.name: SchemaChanged(words=words) for one in pinned}
    return {one.name: compare(one, seen.get(one.name)) for one in pinned}


def _differences(before: JsonValue, after: JsonValue, place: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            at = pointer(place, key)
            if key not in after:
                yield f"`{shown(at)}` was {_value(before[key])} and is gone"
            elif key not in before:
                yield f"`{shown(at)}` is new: {_value(after[key])}"
            else:
                yield from _differences(before[key], after[key], at)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, pointer(place, str(number)))
    elif canonical(before) != canonical(after):
        yield f"`{shown(place)}` was {_value(before)} and is {_value(after)}"


def _text_differences(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> Iterator[str]:
    for place in sorted(before.keys() | after.keys()):
        if place not in after:
            yield f"the text at `{shown(place)}` is gone"
        elif place not in before:
            yield f"there is new text at `{shown(place)}`: {_value(after[place])}"
        elif canonical(before[place]) != canonical(after[place]):
            yield f"the text at `{shown(place)}` is now {_value(after[place])}"


def _value(value: JsonValue) -> str:
    return f"`{shown(canonical(value).decode())}`"


def _few(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) <= _MOST:
        return words
    return (*words[:_MOST], f"and {len(words) - _MOST} more")
