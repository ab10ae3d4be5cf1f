"""What a server is told that it may ask of the client that calls it.

1. A kind of question is declared where the client has declared it and the task's scope has a grant for it of
   this server; nothing else is. What the client says beside that stays here.
2. That a form can be filled in does not say that a page can be opened: each is declared as the client did.
3. Declaring gives no right: each question is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.tool import SEPARATOR
from taskbound.wire.mcp.offers import PARTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue


_FORM: Final = "elicitation/form"
_PAGE: Final = "elicitation/url"


def offered(server: str, reach: Collection[str], declared: Mapping[str, JsonValue]) -> frozenset[str]:
    """What this server may be told that it can ask: words such as `sampling` and `sampling/tools`.

    Args:
        server: Its name.
        reach: The names of what the task can reach.
        declared: The client's capabilities, as it wrote them.
    """
    found: set[str] = set()
    for word, (question, parts) in PARTS.items():
        said = declared.get(word)
        if isinstance(said, dict) and f"{server}{SEPARATOR}{question}" in reach:
            found |= {word, *(f"{word}/{part}" for part in parts if isinstance(said.get(part), dict))}
            if word == "elicitation" and not said:
                found.add(_FORM)  # what an empty capability has always meant
    return frozenset(found)


def can_answer(method: str, params: Mapping[str, JsonValue], declared: Mapping[str, JsonValue]) -> bool:
    """Whether a client that declared this can be asked so (rule 2)."""
    word = next(word for word, (question, _) in PARTS.items() if question == method)
    words = offered("", {f"{SEPARATOR}{method}"}, declared)
    if method == "elicitation/create":
        return (_PAGE if params.get("mode") == "url" else _FORM) in words
    if params.keys() & {"toolChoice", "tools"}:
        return "sampling/tools" in words
    return word in words
