"""What a call stands on: all of its evaluation that its arguments don't change, worked out once.

1. A standing is of one namespace, task, agent and tool, and of one generation of the
   views: once anything was forgotten, all standings are, and are worked out anew. So it
   is of one policy bundle as well.
2. Only that nothing stands in the way is remembered, and only until the first deadline
   of the task and its ancestors. What stands in the way is looked at anew each time.
3. What policy answers is remembered by all that it may read: the standing, the flags,
   the last outcome and the proof. Where it reads the arguments it is asked for
   each call, and where it reads the time, the attempts before, what the arguments name or what of the task's
   evidence stands nothing is.
4. Every agent above is active like the task's own, and bounds it by its ceiling; a ceiling is asked for each
   call unless it covers every call of the tool by its own words.
5. The tool is one that this agent may call, and somebody answers for it (`usable`).
6. Standings and their cases are bounded: beyond the bound the oldest go. One that lacks
   its task, agent or tool is not kept: what is missing may come, and names may be made up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import Frame
from taskbound.core.decision import Basis
from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.identity.risk import highest
from taskbound.core.policy import LIVED, LOOKED, TIMED, TRIED, VOUCHED, PolicyRequest
from taskbound.core.revocation import require_not_stopped
from taskbound.core.target import renewed_by
from taskbound.core.task import NoTaskError, require_live
from taskbound.core.tool import credential_kind
from taskbound.flows.approval.proof.vouched import NOT_VOUCHED
from taskbound.flows.decision.attempts import GROUND, NO_ATTEMPT
from taskbound.flows.decision.bounds import bounds_of
from taskbound.flows.decision.case import NOTHING_SOUGHT, Case, Ground, Sought
from taskbound.flows.decision.facts import FactsOf
from taskbound.flows.decision.usable import require_usable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.errors import TaskboundError
    from taskbound.core.policy import PolicyReads
    from taskbound.core.task import Task
    from taskbound.flows.decision.evaluate import Call
    from taskbound.flows.decision.views import Views
    from taskbound.flows.policy.engines import Policies


_STANDINGS: Final = 2_000
_CASES: Final = 32


class Standing:
    """What calls of one tool by one agent for one task stand on."""

    def __init__(self, call: Call, views: Views, policies: Policies) -> None:
        """Read it from the views.

        Raises:
            DamagedBundleError: The bundle in force is not whole.
        """
        self._views = views
        self._policy = policies.at(call.namespace, views.in_force(call.namespace))
        self._namespace = call.namespace
        self._names = (call.task, call.agent, call.tool)
        self._lineage = views.lineage(call.namespace, call.task) if call.task else None
        self._agent = views.agent(call.namespace, call.agent)
        names = {one.agent for one in self._lineage.tasks[1:]} - {call.agent} if self._lineage else set()
        self._above = {name: views.agent(call.namespace, name) for name in sorted(names)}
        self._tool = tool = views.tool(call.namespace, call.tool)
        self.frame = Frame(
            namespace=call.namespace,
            task=call.task,
            agent=call.agent,
            tool=call.tool,
            server=tool.server.identity if tool else "",
            definition=tool.pinned.digest if tool else "",
        )
        self._switch = views.kill_switch(call.namespace)
        self.root = self._lineage.task.root if self._lineage else call.task
        self.scope = self._lineage.task.scope.digest if self._lineage else ""
        self.is_whole = self._lineage is not None and self._agent is not None and tool is not None
        """Whether there are such a task, agent and tool."""
        self.mints = credential_kind(call.tool) is not None
        """Whether a credential is asked for by it."""
        self._reads: PolicyReads | None = None
        self._ground: Ground | None = None
        self._cases: dict[tuple[tuple[str, ...], str, str], Case] = {}

    def mints_by(self, arguments: Mapping[str, JsonValue]) -> bool:
        """Whether a new credential is asked for: one that is renewed has a secret that was handed out."""
        return self.mints and not (self._tool and renewed_by(self._tool.definition, arguments))

    @property
    def reads_outcome(self) -> bool:
        """Whether a policy in force reads how an act last ended, or what shows it."""
        return not {"checked", "last_outcome"}.isdisjoint(self._policy.reads)

    @property
    def reads_attempts(self) -> bool:
        """Whether a policy that can apply reads of the attempts before."""
        return not TRIED.isdisjoint(self._read().facts)

    @property
    def checks(self) -> bool:
        """Whether a policy that can apply reads what shows an effect, and a person declared what does."""
        return self._tool is not None and bool(self._tool.pinned.checks and "checked" in self._read().facts)

    @property
    def reads_operands(self) -> bool:
        """Whether a policy that can apply reads what the arguments name."""
        return not LOOKED.isdisjoint(self._read().facts)

    @property
    def reads_life(self) -> bool:
        """Whether a policy that can apply reads for how long a credential lives."""
        return self.mints and LIVED in self._read().facts

    @property
    def rests_on(self) -> Task | None:
        """The task, where a policy that can apply reads what of its evidence stands."""
        if self._lineage is None or VOUCHED.isdisjoint(self._read().facts):
            return None
        return self._lineage.task

    def require(self, unbound: TaskboundError | None, now: Instant) -> Ground:
        """Go on only when nothing stands in the way so far.

        Args:
            unbound: Why the connection belongs to no task.
            now: When.

        Raises:
            DeniedError: Everything is stopped, or agent, task or tool are not what they have to be.
        """
        ground = self._ground
        if ground is None or unbound is not None or now >= ground.until:  # 2
            ground = self._ground = self._look(unbound, now)
        return ground

    def case(
        self,
        flags: tuple[str, ...],
        outcome: str,
        proof: str,
        now: Instant,
        sought: Sought = NOTHING_SOUGHT,
    ) -> Case:
        """The case of calls with these flags, of an act that last ended so, proven so."""
        if sought is not NOTHING_SOUGHT or not TIMED.isdisjoint(self._read().facts):
            return self._case(flags, outcome, proof, now, sought)
        key = (flags, outcome, proof)
        known = self._cases.get(key)  # 3
        if known is None:
            if len(self._cases) >= _CASES:
                del self._cases[next(iter(self._cases))]  # 6
            known = self._cases[key] = self._case(flags, outcome, proof, now, NOTHING_SOUGHT)
        return known

    def _read(self) -> PolicyReads:
        """What the policies in force read of such calls; worked out once."""
        if self._reads is None:
            server = self._tool.server.name if self._tool else ""
            _, agent, tool = self._names
            self._reads = self._policy.reads_of(self._namespace, agent, tool, server)
        return self._reads

    def _look(self, unbound: TaskboundError | None, now: Instant) -> Ground:
        task, name, tool_name = self._names
        require_not_stopped(self._switch)
        if self._agent is None:
            raise UnknownIdentityError(f"no agent is named `{name}`")
        require_active(self._agent, self._views.persons(self._namespace))
        if isinstance(unbound, DeniedError):
            raise unbound
        lineage = self._lineage
        if lineage is None:
            raise NoTaskError("no task is open for this agent")
        require_live(task, lineage.heads, now)
        if lineage.task.agent != name:
            raise NoTaskError(f"task `{task}` is not one of agent `{name}`")
        agents = {name: self._agent}
        for other, above in self._above.items():
            if above is None:
                raise UnknownIdentityError(f"no agent is named `{other}`, which an ancestor is for")
            require_active(above, self._views.persons(self._namespace))
            agents[other] = above
        persons = self._views.persons(self._namespace)
        tool = require_usable(self._tool, tool_name, name, persons, mints=self.mints)  # 5
        return Ground(
            lineage=lineage,
            agent=self._agent,
            tool=tool,
            bounds=bounds_of(agents, tool_name),
            until=min(head.deadline for head in lineage.heads.values()),
        )

    def _case(
        self,
        flags: tuple[str, ...],
        outcome: str,
        proof: str,
        now: Instant,
        sought: Sought,
    ) -> Case:
        task, agent, tool = self._names
        known, reads = self._tool, self._read()
        attempts, vouching = sought.attempts, sought.vouching
        names = reads.facts | sought.checked.recorded
        if "changed" in reads.facts:
            names |= GROUND
        facts = FactsOf(
            namespace=self._namespace,
            agent=agent,
            tool=tool,
            proof=proof,
            bundle=self._policy.bundle,
            flags=flags,
            last_outcome=outcome,
            attempts=attempts or NO_ATTEMPT,
            checked=sought.checked,
            operands=sought.operands or (),
            vouching=vouching or NOT_VOUCHED,
            credential_life=sought.credential_life,
            known_agent=self._agent,
            risk=highest(one.risk if one else None for one in (self._agent, *self._above.values())),
            lineage=self._lineage,
            known_tool=known,
            now=now,
        )
        request = PolicyRequest(
            namespace=self._namespace,
            agent=agent,
            tool=tool,
            server=known.server.name if known else "",
            task=task,
            definition=known.pinned.digest if known else "",
            schema=known.definition.input_schema if known else {},
            facts=facts.read(sorted(names)),
        )
        basis = Basis(
            tasks=self._lineage.versions if self._lineage else (),
            agent=self._agent.version if self._agent else None,
            agents=tuple((name, one.version if one else None) for name, one in self._above.items()),
            switch=self._switch.epoch,
            tool=self._tool.pinned.version if self._tool else None,
            bundle=self._policy.bundle,
            last_outcome=outcome,
            reads_outcome=self.reads_outcome,
            attempts=None if attempts is None else attempts.history.attempts,
            looked=sought.looked,
            issuers=None if vouching is None else vouching.issuers,
            vouched_until=None if vouching is None else vouching.until,
        )
        return Case(self._policy, request, basis, reads_arguments=reads.arguments)


class Standings:
    """The standings of one generation of views; used from one thread at a time."""

    def __init__(self, views: Views, policies: Policies, *, most: int = _STANDINGS) -> None:
        """Start empty; keep so many at most."""
        self._views = views
        self._policies = policies
        self._most = most
        self._generation = views.generation
        self._kept: dict[tuple[str, str, str, str], Standing] = {}

    def of(self, call: Call) -> Standing:
        """What this call stands on."""
        if self._generation != self._views.generation:  # 1
            self._kept.clear()
            self._generation = self._views.generation
        key = (call.namespace, call.task, call.agent, call.tool)
        known = self._kept.get(key)
        if known is None:
            known = Standing(call, self._views, self._policies)
            if known.is_whole:  # 6
                if len(self._kept) >= self._most:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = known
        return known
