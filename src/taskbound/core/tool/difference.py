"""How a definition that a server lists now differs from the one that a person pinned.

Rules:

1. Equal bytes are the same, whatever else.
2. When only text for people differs (`schema.part`), the text changed: the call may go
   on, and agents are still shown the pinned text.
3. Anything else is a changed schema, which refuses: types, enums, defaults, required,
   names, annotations, output schema, keywords that nobody knows, a list that can't be read.
4. A pinned tool that the list lacks is gone, and so is a method that the server doesn't declare any more.
   What is not pinned is nothing yet.
5. Differences are said in words, escaped, at most 20 of them, none longer than a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool.definition import ToolDefinition, parse_definitions
from taskbound.core.tool.method import method_definition
from taskbound.core.tool.name import METHOD_NAMES, QUESTION_NAMES, shown
from taskbound.core.tool.schema import part, pointer
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue


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
