"""How long what people are asked of a task's calls stays open, when nobody waits for the answer any more.

1. A held action belongs to its call: whoever cancels it, or goes away, takes it back.
2. A task whose template says so leaves it open until its deadline: people may need longer than an agent
   stays. The same call resumes it, from any connection of the task's agent. All else ends it as ever.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from taskbound.core.task.errors import TaskSyntaxError


class Holds(Enum):
    """What becomes of a held action when its call is over, by the word that templates have for it."""

    END_WITH_CALL = "end-with-the-call"
    OUTLIVE_CALL = "outlive-the-call"


_WORDS: Final = {one.value: one for one in Holds}


def parse_holds(word: str) -> Holds:
    """What a template says of its tasks' holds; nothing said is rule 1.

    Raises:
        TaskSyntaxError: It is no word for it.
    """
    if not word:
        return Holds.END_WITH_CALL
    try:
        return _WORDS[word]
    except KeyError as error:
        known = " or ".join(f"`{one}`" for one in _WORDS)
        raise TaskSyntaxError(f"holds can't be `{word}`", where="holds", remedy=f"say {known}") from error
