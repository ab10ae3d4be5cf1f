"""How a task goes, told as the progress of its call.

1. The server's words for the state of its task are progress, where progress was asked for: all that are other
   words than those before. Words with the task's name in them are not told.
2. Numbers do not fall: words count one more than what was told last, and what the server itself tells of the
   call's progress is counted on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.ports.upstream import Told


class Teller:
    """Tells whoever made one call of its progress; used in the loop."""

    def __init__(self, told: Told | None) -> None:
        """Tell this one, if anybody."""
        self.told = told
        self._words = ""
        self._more = 0
        self._last: int | float = 0

    def heard(self, params: Mapping[str, JsonValue]) -> None:
        """What the server notifies of."""
        if self.told is None:
            return
        found = dict(params)
        for member in ("progress", "total"):
            value = found.get(member)
            if self._more and isinstance(value, int | float) and not isinstance(value, bool):
                found[member] = value + self._more  # 2
        progress = found.get("progress")
        if isinstance(progress, int | float):
            self._last = max(self._last, progress)
        self.told(found)

    def say(self, words: str, name: str) -> None:
        """The server's words for the state of its task of this name."""
        if self.told is None or words in {"", self._words} or name in words:
            return  # 1
        self._words = words
        self._more += 1
        self._last += 1
        self.told({"message": words, "progress": self._last})
