"""What a server may be told that the clients of it can be asked, and how that is written.

1. A kind of question, and the parts of it that MCP knows, are words: `elicitation`, `elicitation/form`,
   `elicitation/url`, `roots`, `sampling`, `sampling/context`, `sampling/tools`.
2. What is told are capabilities of these words and nothing else, in canonical bytes: one set of words has one
   text, so that nobody can say anything beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue


PARTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "elicitation": ("elicitation/create", ("form", "url")),
    "roots": ("roots/list", ()),
    "sampling": ("sampling/createMessage", ("context", "tools")),
}
"""Each capability with its question, and what it can say in parts."""


def capabilities(words: Collection[str]) -> bytes:
    """These words as capabilities, canonical (rule 2)."""
    found: dict[str, JsonValue] = {}
    for word, (_, parts) in PARTS.items():
        if word in words:
            said: dict[str, JsonValue] = {part: {} for part in parts if f"{word}/{part}" in words}
            found[word] = {} if said.keys() == {"form"} else said
    return canonical(found)


def are_offers(raw: bytes) -> bool:
    """Whether these bytes say some of the words, and nothing else (rule 2)."""
    try:
        said = msgspec.json.decode(raw, type=dict[str, dict[str, object]])
    except msgspec.DecodeError:
        return False
    words = {*said, *(f"{word}/{part}" for word, parts in said.items() for part in parts)}
    if said.get("elicitation") == {}:
        words.add("elicitation/form")  # what an empty capability has always meant
    return capabilities(words) == raw
