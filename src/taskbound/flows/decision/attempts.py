"""Looking back at the last attempt of an act, for policies that read of it (law 7).

1. Only when a policy that can apply reads it; then it is read for each call, and never remembered.
2. What is read is one snapshot: the act, its last action, and whether that one's holder is lost.
3. Whom the last attempt was answered for, what its arguments named, and how risky it was, is known by what
   it recorded; `changed` has it recorded.
4. When attempts were lost is known while none is under way, and of so many.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.decision import ActHistory, AttemptGround

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.flows.decision.doubts import Doubts
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot


PEOPLE: Final = ("agent.approvers", "agent.owner", "task.requester")
"""The facts by which it is known whether the people have changed."""
GROUND: Final = frozenset({*PEOPLE, "operands", "risk"})
"""What is recorded of an attempt so that the next one can be compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What is known of the attempts of an act before this call."""

    history: ActHistory = field(default_factory=ActHistory)
    last: StoredAction | None = None
    """The action of the last attempt."""
    lost: Instant | None = None
    """When the last of those whose outcome is unknown was given up; None when there is none, one is under way
    or in doubt, or there are too many to tell."""

    @property
    def ground(self) -> AttemptGround | None:
        """What the last attempt was judged by; None when that is not known."""
        if self.last is None:
            return None
        facts = dict(self.last.facts)
        return AttemptGround(
            definition=self.last.definition,
            scope=self.last.scope,
            policy=self.last.bundle,
            operands=_lines(facts["operands"]) if "operands" in facts else None,  # 3
            risk=facts.get("risk"),  # 3
            people=tuple(facts[name] for name in PEOPLE) if facts.keys() >= set(PEOPLE) else None,  # 3
        )


def _lines(words: str) -> tuple[str, ...]:
    return tuple(words.split("\n")) if words else ()


NO_ATTEMPT: Final = Attempts()
_MANY: Final = 16
"""Attempts with an unknown outcome that are looked back at (rule 4)."""


def look_back(snapshot: Snapshot, doubts: Doubts, namespace: str, root: str, act_key: str) -> Attempts:
    """What the snapshot says of the act (rule 2); its outcome is unknown while a holder is lost."""
    history = snapshot.actions.act(namespace, root, act_key)
    last = snapshot.actions.action(namespace, history.last_action) if history.last_action else None
    if (root, act_key) in doubts.acts(snapshot, namespace):
        return Attempts(history=replace(history, last_outcome="unknown"), last=last)
    if history.last_outcome != "unknown":
        return Attempts(history=history, last=last)
    return Attempts(history=history, last=last, lost=_lost(snapshot, namespace, root, act_key))


def _lost(snapshot: Snapshot, namespace: str, root: str, act_key: str) -> Instant | None:
    """When the last of them was given up (rule 4)."""
    open_ones = snapshot.actions.open_permits(namespace)
    if any((one.root, one.act_key) == (root, act_key) for one in open_ones):
        return None
    names = snapshot.actions.unknowns(namespace, root, act_key)
    found = [snapshot.actions.action(namespace, one) for one in names[:_MANY]]
    times = [one.finished for one in found if one is not None and one.finished is not None]
    return max(times) if times and len(times) == len(names) else None
