"""One call as policy sees it: what it is told in words and by version, and what follows from that.

1. Policy is asked once for all calls of a case where it reads no arguments.
2. What is looked up for a call is of that call alone: no case of it is kept for another.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.policy import conclude
from taskbound.flows.decision.checking import NOT_CHECKED
from taskbound.flows.decision.facts import fact_words

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Basis
    from taskbound.core.identity import Agent
    from taskbound.core.policy import PolicyConclusion, PolicyRequest
    from taskbound.core.scope import Scope
    from taskbound.flows.approval.proof.vouched import Vouching
    from taskbound.flows.decision.attempts import Attempts
    from taskbound.flows.decision.checking import Checked
    from taskbound.flows.decision.views import Lineage, ToolView
    from taskbound.ports.policy import PolicyEngine


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Nothing stands in the way of a call, until an instant, but its arguments and policy."""

    lineage: Lineage
    agent: Agent
    tool: ToolView
    bounds: tuple[tuple[Scope, str], ...]
    """The ceilings that must cover a call besides the scopes of the line, and whose each is."""
    until: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What is looked up for one call, each where a policy that can apply reads of it (rule 2)."""

    attempts: Attempts | None = None
    operands: tuple[str, ...] | None = None
    """What probes found behind the arguments, each in words."""
    vouching: Vouching | None = None
    """What of the task's evidence stands."""
    checked: Checked = NOT_CHECKED
    """What declared checks show of the attempts before."""
    credential_life: int = 0
    """For how many seconds a credential lives by it."""
    looked: Instant | None = None
    """When anything of it was looked at; None when nothing was."""


NOTHING_SOUGHT: Final = Sought()


class Case:
    """What policy reads of a call, in words and by version, and what follows from it."""

    __slots__ = ("_concluded", "_policy", "_reads_arguments", "_request", "basis", "words")

    def __init__(
        self, policy: PolicyEngine, request: PolicyRequest, basis: Basis, *, reads_arguments: bool
    ) -> None:
        """Keep what to ask."""
        self._reads_arguments = reads_arguments
        self._policy = policy
        self._request = request
        self._concluded: PolicyConclusion | None = None
        self.basis = basis
        self.words = tuple([(name, fact_words(value)) for name, value in request.facts.items()])

    def conclusion(self, arguments: dict[str, JsonValue]) -> PolicyConclusion:
        """What follows from policy's answer; asked once where the arguments don't matter (rule 1)."""
        if self._reads_arguments:
            return conclude(self._policy.answer(replace(self._request, arguments=arguments)))
        if self._concluded is None:
            self._concluded = conclude(self._policy.answer(self._request))
        return self._concluded
