"""A plan: an ordered list of held actions that are answered together, each used once, in order.

1. The plan digest is the SHA-256 of the canonical object of version, kind, who asked for the task and for
   which, and the approval digests of the steps, in order. So whoever changes, adds, drops or swaps a step,
   or anything that one of them names, has another plan (I-28).
2. Each step is a question of its own, which names the plan and its place in it. So of a plan and its
   questions neither can be exchanged for others.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval.errors import UnreadablePlanError
from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.approval.question import Question


PLAN_VERSION: Final = 1
"""The version of what stands in the digest; another composition is another version."""
_KIND: Final = "taskbound plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked of people about several held actions at once (rule 1)."""

    namespace: str
    id: str
    task: str
    requester: str
    """Who asked for the task."""
    questions: tuple[str, ...]
    """The approval digests of its steps, in order."""
    nonce: str
    asked: Instant
    deadline: Instant
    canonical: bytes = field(init=False, repr=False, compare=False)
    digest: str = field(init=False)
    """Rule 1: what people sign."""

    def __post_init__(self) -> None:
        """Compute the digest, once."""
        value: dict[str, JsonValue] = {
            "kind": _KIND,
            "version": PLAN_VERSION,
            "questions": list(self.questions),
        }
        for name in (*_TEXTS, *_WHOLE):
            value[name] = getattr(self, name)
        written = canonical(value)
        object.__setattr__(self, "canonical", written)
        object.__setattr__(self, "digest", sha256(written).hexdigest())

    def has(self, question: Question) -> bool:
        """Whether this very question stands in its place in this plan (rule 2)."""
        place = question.step - 1
        named = (question.namespace, question.plan) == (self.namespace, self.id)
        return named and 0 <= place < len(self.questions) and self.questions[place] == question.digest


_TEXTS: Final = ("namespace", "id", "task", "requester", "nonce")
_WHOLE: Final = ("asked", "deadline")


def parse_plan(raw: bytes) -> Plan:
    """The plan that these canonical bytes hold.

    Raises:
        UnreadablePlanError: They hold none, or not in canonical form.
    """
    try:
        plan = _plan(parse_object(raw))
    except MalformedError as error:
        raise UnreadablePlanError(f"a plan can't be read: {error.message}") from error
    if plan.canonical != raw:
        raise UnreadablePlanError("a plan is not as it was asked")
    return plan


def _plan(value: dict[str, JsonValue]) -> Plan:
    texts = {name: said for name in _TEXTS if isinstance(said := value.get(name), str)}
    whole = {
        name: Instant(said)
        for name in _WHOLE
        if isinstance(said := value.get(name), int) and not isinstance(said, bool)
    }
    questions = value.get("questions")
    if len(texts) + len(whole) < len(_TEXTS) + len(_WHOLE) or not isinstance(questions, list):
        raise UnreadablePlanError("a plan has not all that a plan has")
    return Plan(
        namespace=texts["namespace"],
        id=texts["id"],
        task=texts["task"],
        requester=texts["requester"],
        nonce=texts["nonce"],
        questions=tuple(str(one) for one in questions),
        asked=whole["asked"],
        deadline=whole["deadline"],
    )
