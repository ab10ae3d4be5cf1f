"""Arguments that are slots: what an agent is offered of such a tool, and what is sent for its call.

Rules:

1. The argument is a top-level property of the tool's pinned input schema, and can be a text. Otherwise nobody
   could tell what a value in it does, and the server isn't pinned.
2. An agent is offered the schema without it, and without the word that it is required.
3. What an agent sends does not have it. A call that has it is not sent: whose value it is can't be told.
4. What is sent is what was decided on, and in it the values, in canonical bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.tool.errors import BadSlotError, SlotTakenError
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.definition import ToolDefinition
    from taskbound.core.tool.slot import Slot


def require_arguments(slots: Iterable[Slot], definitions: Iterable[ToolDefinition]) -> None:
    """Go on only with slots whose tools have such an argument (rule 1).

    Raises:
        BadSlotError: One has not.
    """
    known = {one.name: one for one in definitions}
    for slot in slots:
        if not slot.tool:
            continue
        if slot.tool not in known:
            raise BadSlotError(
                f"the server lists no tool `{shown(slot.tool)}`, which `{shown(slot.text)}` names"
            )
        properties = known[slot.tool].input_schema.get("properties")
        found = properties.get(slot.name) if isinstance(properties, dict) else None
        kind = found.get("type", "string") if isinstance(found, dict) else None
        if "string" not in (kind if isinstance(kind, list) else [kind]):
            raise BadSlotError(f"`{shown(slot.tool)}` takes no text as `{shown(slot.name)}`")


def offered(definition: bytes, names: Collection[str]) -> bytes:
    """The definition as an agent is offered it: without these arguments (rule 2).

    Args:
        definition: A pinned definition's canonical bytes.
        names: Its arguments that are slots.
    """
    if not names:
        return definition
    value = parse_object(definition)
    schema = value.get("inputSchema")
    if isinstance(schema, dict):
        properties, required = schema.get("properties"), schema.get("required")
        if isinstance(properties, dict):
            schema["properties"] = {name: one for name, one in properties.items() if name not in names}
        if isinstance(required, list):
            schema["required"] = [one for one in required if one not in names]
    return canonical(value)


def filled(arguments: bytes, values: Mapping[str, str]) -> bytes:
    """The arguments with these values (rule 4).

    Raises:
        SlotTakenError: They have one already (rule 3).
    """
    if not values:
        return arguments
    given: dict[str, JsonValue] = parse_object(arguments)
    taken = given.keys() & values.keys()
    if taken:
        raise SlotTakenError(f"`{shown(min(taken))}` is filled on the way, and the call has it already")
    return canonical({**given, **values})
