"""A tool's definition as its server lists it, read once and strictly, and its one digest.

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
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import BadDefinitionError, TooManyToolsError
from taskbound.core.tool.name import is_reserved, join_tool_name, parse_own_name, require_distinct, shown
from taskbound.core.tool.schema import part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import MalformedError


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
