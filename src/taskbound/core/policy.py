"""What the organisation's rules answered, and what follows from it.

The engine answers with names; this module draws the conclusion, so that no
engine's own verdict (or its truth value) is ever read. Rules, strongest first:

1. a policy that erred refuses, whichever way it would have gone;
2. a `forbid` without a lifter refuses;
3. when only `forbid` policies with a lifter stand in the way, the answer is hold;
4. at least one named `permit` permits;
5. silence refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import MalformedError
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FACTS",
    "Forbid",
    "Forbidden",
    "Held",
    "Permitted",
    "PolicyAnswer",
    "PolicyConclusion",
    "PolicyRequest",
    "PolicySyntaxError",
    "conclude",
]

FACTS: Final = ("attempt", "covered", "effect", "flags", "last_outcome", "proof")
"""Names of the facts that a policy may read from `context`, in order; each has one type, below."""


class PolicySyntaxError(MalformedError):
    """A policy bundle that can't be read, or that reads a fact that does not exist."""

    code = "bad-policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRequest:
    """One question to the engine: who, what, on which tool, with which facts."""

    namespace: str
    agent: str
    tool: str
    server: str
    facts: Mapping[str, str | int | bool | tuple[str, ...]]
    """Only those that the bundle's policies read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbid:
    """A `forbid` that matched, and what would lift it (empty: nothing)."""

    policy: str
    lifter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAnswer(NoTruth):
    """Which policies matched and which erred, by their own names; not yet a conclusion."""

    permits: tuple[str, ...]
    forbids: tuple[Forbid, ...]
    erred: tuple[str, ...]
    bundle: str
    """Digest of the bundle that answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted(NoTruth):
    """Policy lets it pass."""

    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(NoTruth):
    """Policy lets it pass once somebody has lifted these."""

    policies: tuple[str, ...]
    lifters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden(NoTruth):
    """Policy refuses."""

    code: str
    """`policy-erred`, `forbidden` or `not-permitted`."""
    policies: tuple[str, ...]


PolicyConclusion = Permitted | Held | Forbidden


def conclude(answer: PolicyAnswer) -> PolicyConclusion:
    """What follows from the engine's answer, by the module's rules."""
    if answer.erred:
        return Forbidden(code="policy-erred", policies=answer.erred)  # 1
    barred = tuple(one.policy for one in answer.forbids if not one.lifter)
    if barred:
        return Forbidden(code="forbidden", policies=barred)  # 2
    if answer.forbids and answer.permits:
        return Held(  # 3
            policies=tuple(one.policy for one in answer.forbids),
            lifters=tuple(sorted({one.lifter for one in answer.forbids})),
        )
    if answer.permits:
        return Permitted(policies=answer.permits)  # 4
    return Forbidden(code="not-permitted", policies=())  # 5
