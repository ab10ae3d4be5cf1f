"""Replaying recorded actions under another bundle: which answers would have been others.

1. The newest actions are asked again, each with the facts as they were recorded.
2. What policy did not decide (the scope, the standing of that moment) no bundle changes: it is counted.
3. What can't be asked again (a row that was edited, another tool, a fact that the candidate reads and that
   nobody recorded) is counted by its reason, never guessed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.policy import conclude, words_of
from taskbound.core.scope import Missed
from taskbound.flows.action.again import NotAsked, ask_again, edited, same_words, told_with, word_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.flows.means import Means
    from taskbound.ports.action import StoredAction
    from taskbound.ports.policy import PolicyEngine
    from taskbound.ports.store import Snapshot


_MOST: Final = 10_000
_PAGE: Final = 200


class BadReplayError(MalformedError):
    """A number of actions that is not replayed."""

    code = "bad-replay"
    remedy = f"replay 1 to {_MOST} actions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An action that would have been answered otherwise."""

    action: str
    agent: str
    tool: str
    was: str
    would: str
    """In words, with the policies that decide."""
    facts: str
    """As they were recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it."""

    asked: int
    same: int
    beside: int
    """How many policy did not decide (rule 2)."""
    differences: tuple[Difference, ...]
    not_asked: tuple[tuple[str, int], ...]
    """By reason: how many could not be asked again (rule 3)."""


def replay(means: Means, namespace: str, engine: PolicyEngine, last: int) -> Replay:
    """The newest actions under this engine; reads one state of the store, and takes its time.

    Args:
        means: What to work with.
        namespace: Whose actions.
        engine: The candidate's.
        last: How many actions at most.

    Raises:
        BadReplayError: It is not a number of actions that is replayed.
    """
    if not 1 <= last <= _MOST:
        raise BadReplayError(f"{last} actions are not replayed")
    now = means.clock.now()
    asked = same = beside = 0
    differences: list[Difference] = []
    missed: Counter[str] = Counter()
    with means.store.read() as snapshot:
        for kept in _newest(snapshot, namespace, last):
            asked += 1
            if edited(snapshot, kept, now):
                missed["its row was changed"] += 1
                continue
            found = _ask(snapshot, kept, engine)
            match found:
                case Difference():
                    differences.append(found)
                case None:
                    beside += 1
                case "":
                    same += 1
                case str() as reason:
                    missed[reason] += 1
    return Replay(
        asked=asked,
        same=same,
        beside=beside,
        differences=tuple(differences),
        not_asked=tuple(sorted(missed.items())),
    )


def _ask(snapshot: Snapshot, kept: StoredAction, engine: PolicyEngine) -> Difference | str | None:
    """How it would have been answered otherwise, nothing if not; why it can't be told; None for rule 2."""
    again = ask_again(snapshot, kept)
    if isinstance(again, NotAsked):
        return None if again.of_standing else again.why
    if kept.code == "outside-scope":
        return None
    if isinstance(again.covered, Missed):
        return "its scope does not cover it now"
    request = told_with(again, engine)
    if isinstance(request, tuple):
        return f"the bundle reads what was not recorded: {', '.join(request)}"
    conclusion = conclude(engine.answer(request))
    if word_of(conclusion, again) == (kept.decision, kept.code):
        return ""
    return Difference(
        action=kept.id,
        agent=kept.agent,
        tool=kept.tool,
        was=f"{kept.decision} ({kept.code})" if kept.code else kept.decision,
        would=words_of(conclusion),
        facts=same_words(again),
    )


def _newest(snapshot: Snapshot, namespace: str, last: int) -> Iterator[StoredAction]:
    before = ""
    while last:
        page = snapshot.actions.actions(namespace, limit=min(last, _PAGE), before=before)
        if not page:
            return
        yield from page
        before = page[-1].id
        last -= len(page)
