"""A tool's definition as its server lists it, its digest, and how two differ.

Of `definition`:

Rules:

1. The definition is the whole tool object but its top-level `_meta`, in canonical bytes.
   Its digest is the SHA-256 of the canonical object of version, kind and definition.
2. `name` is a tool's own name; `inputSchema` is an object whose `type` is `object`
   (MCP, Tools, Data Types); what else is there has the type that MCP gives it.
3. The effect is read from the annotations, and is the worst where they say nothing:
   without `readOnlyHint: true` a tool writes, without `destructiveHint: false` it destroys.
4. The schema's defaults are those of its top-level properties.
5. A definition has at most 256 KiB, a server at most 1,000 tools and 3 MiB of them.
6. In one server's list no two names are equal or look alike (A163), and none is a method's (`method`).

Of `difference`:

Rules:

1. Equal bytes are the same, whatever else.
2. When only text for people differs (`schema.part`), the text changed: the call may go
   on, and agents are still shown the pinned text.
3. Anything else is a changed schema, which refuses: types, enums, defaults, required,
   names, annotations, output schema, keywords that nobody knows, a list that can't be read.
4. A pinned tool that the list lacks is gone, and so is a method that the server doesn't declare any more.
   What is not pinned is nothing yet.
5. Differences are said in words, escaped, at most 20 of them, none longer than a line.

Of `method`:

1. Each request to a server is an action. One that is no `tools/call` has the tool `SERVER__METHOD`, and its
   arguments are the request's parameters without `_meta`.
2. The definitions are written here, not by servers: what a method takes is said by MCP. They are pinned with
   a server that declares the capability, and from then on treated as any tool's.
3. What a server is asked for only reads, by what MCP says of it. Whether a server keeps to that nobody knows:
   the world is open.
4. A question of a server is an action of the agent's too: it tells that server what a person, or the client's
   model, says, and that can't be taken back. So it has the worst effect, each time. It is pinned where the
   person who pins the server says that it may ask so.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool.errors import BadDefinitionError, BadToolNameError, TooManyToolsError
from taskbound.core.tool.name import (
    METHOD_NAMES,
    QUESTION_NAMES,
    is_reserved,
    join_tool_name,
    parse_own_name,
    require_distinct,
    shown,
)
from taskbound.core.tool.schema import part, pointer
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue

    Schema = dict[str, JsonValue]


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
    """What a call may do to the world, by the server's own word."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """One tool as its server describes it; made by `parse_definition`."""

    name: str
    """What the server calls it, without the server's name in front."""
    canonical: bytes
    """The whole object but its `_meta` (rule 1)."""
    value: dict[str, JsonValue]
    """The same as a value; not to be changed."""
    effect: Effect
    defaults: Mapping[str, JsonValue]
    """Top-level properties of the input schema that have a default (rule 4)."""
    digest: str = field(init=False)
    """Rule 1: 64 lowercase hexadecimal digits."""

    def __post_init__(self) -> None:
        """Compute the digest, once."""
        whole = b'{"definition":%b,"kind":"tool","version":%d}' % (self.canonical, DEFINITION_VERSION)
        object.__setattr__(self, "digest", sha256(whole).hexdigest())

    @property
    def input_schema(self) -> dict[str, JsonValue]:
        """The schema of the arguments; not to be changed."""
        schema = self.value["inputSchema"]
        return schema if isinstance(schema, dict) else {}

    @property
    def denies_idempotence(self) -> bool:
        """Whether its server says outright that a repeated call has further effects."""
        hints = self.value.get("annotations")
        return isinstance(hints, dict) and hints.get("idempotentHint") is False

    @property
    def open_world(self) -> bool:
        """Whether it may reach anyone; only `openWorldHint: false` says that it doesn't."""
        annotations = self.value.get("annotations")
        return not (isinstance(annotations, dict) and annotations.get("openWorldHint") is False)


def effect_of(definition: ToolDefinition, declared: str) -> Effect:
    """What a call of a tool may do: what a person declared, or what its definition says (rule 3).

    Args:
        definition: Of the tool.
        declared: An effect's word; empty where nothing was declared.
    """
    return Effect(declared) if declared else definition.effect


def parse_listed(raw: bytes) -> ToolDefinition:
    """The definition of a tool that a server lists; raises as `parse_definition`, and for a method's name."""
    found = parse_definition(raw)
    parse_own_name(found.name)  # 6
    return found


def parse_definition(raw: bytes) -> ToolDefinition:
    """The definition that these bytes of a tool object hold, a server's own or a method's.

    Raises:
        BadDefinitionError: It is no tool object that can be pinned (rules 2 and 5).
        RemoteReferenceError: A schema refers to something outside itself.
        BadToolNameError: Its name can't be a tool's (with `ForeignCharacterError` beside it).
        MalformedError: The bytes are not one strict JSON document.
    """
    value = parse_document(raw, limits=_LIMITS)
    if not isinstance(value, dict):
        raise BadDefinitionError("a tool is a JSON object")
    value.pop("_meta", None)  # 1
    name = value.get("name")
    if not isinstance(name, str):
        raise BadDefinitionError("a tool has a `name`")
    if not is_reserved(name):
        parse_own_name(name)
    _require_types(name, value)  # 2
    part(value)
    return ToolDefinition(
        name=name,
        canonical=canonical(value),
        value=value,
        effect=_effect(value.get("annotations")),
        defaults=_defaults(value["inputSchema"]),
    )


def parse_definitions(raws: Iterable[bytes], *, server: str) -> tuple[ToolDefinition, ...]:
    """The definitions of one server's list, in its order.

    Args:
        raws: Each tool object as it was received.
        server: The server's name, with which each tool's name must make a name.

    Raises:
        TooManyToolsError: More than rule 5 allows.
        DuplicateToolError: Two tools have one name (rule 6).
        LookAlikeToolError: Two names can be taken for each other.
        MalformedError: One of them can't be pinned; its name is in the message.
    """
    found: list[ToolDefinition] = []
    size = 0
    for raw in raws:
        size += len(raw)
        if len(found) >= MAX_TOOLS or size > MAX_DEFINITIONS:
            raise TooManyToolsError(f"more than {MAX_TOOLS} tools or {MAX_DEFINITIONS} bytes of them")  # 5
        found.append(parse_listed(raw))
        join_tool_name(server, found[-1].name)
    require_distinct(one.name for one in found)  # 6
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
    """What the annotations admit to (rule 3); MCP gives `destructiveHint` no meaning for a reader."""
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
_TEXTS: Final[Schema] = {"additionalProperties": _TEXT, "type": "object"}


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
                "context": _object({"arguments": _TEXTS}),
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
        _object({"arguments": _TEXTS, "name": _TEXT}, "name"),
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
    """The definition of a method, under its own name.

    Raises:
        BadToolNameError: There is no such method (`name.RESERVED_NAMES`).
    """
    hints: dict[str, JsonValue] = {"idempotentHint": True, "readOnlyHint": True}
    if name in _QUESTIONS:
        description, schema = _QUESTIONS[name]
        hints = {"idempotentHint": False, "openWorldHint": True}  # 4
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
    """The definition is the pinned one, byte for byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChanged(NoTruth):
    """Only text for people differs; the pinned text goes on being served."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChanged(NoTruth):
    """What the tool means differs, or can't be read; calls refuse."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone(NoTruth):
    """The server lists no such tool; calls refuse."""


Comparison: TypeAlias = Same | TextChanged | SchemaChanged | Gone


def compare(pinned: ToolDefinition, seen: ToolDefinition | None) -> Comparison:
    """What the definition that was seen is to the pinned one.

    Args:
        pinned: The definition that a person accepted.
        seen: The one of the same name in the server's list, or none.
    """
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
    """What a server's list is to its pinned tools, by the tool's own name; it never raises.

    A list that can't be read as a whole (rule 3) changes every pinned tool: which of two
    tools of one name a call would reach, nobody knows.

    Args:
        pinned: The server's pinned definitions.
        raws: Each tool object as the server lists it now.
        server: The server's name.
        methods: What it says that it can be asked for beside its tools.
    """
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
    """Each difference in one sentence, the outermost place at which it shows."""
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
