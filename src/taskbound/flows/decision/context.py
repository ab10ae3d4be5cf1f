"""What a call rests on apart from its arguments, cached with the versions it was read at.

- A view may be stale: the commit reads versions again under lock and rejects decisions on old views (design
  4.8). A process forgets what it writes and what a stale decision read.
- Policy answers are cached by all inputs. If policy reads arguments, time, earlier attempts, operands or
  evidence, they are not cached.
- Agents of ancestor tasks must be active too and bound the call by their ceilings.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from taskbound.core.action import Frame
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import ReadVersions
from taskbound.core.errors import DeniedError
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.identity.agent import highest, reach_of
from taskbound.core.policy import LIVED, LOOKED, TIMED, TRIED, VOUCHED, PolicyRequest
from taskbound.core.revocation import require_not_stopped
from taskbound.core.target import renewed_by
from taskbound.core.task import NoTaskError, require_live
from taskbound.core.tool import credential_kind, parse_definition
from taskbound.flows.approval.proof.kept import NOT_VOUCHED, vouch
from taskbound.flows.decision.coverage import bounds_of
from taskbound.flows.decision.facts import NOTHING_SOUGHT, AuthorizedContext, FactsOf, Lookups, PolicyQuery
from taskbound.flows.decision.retries import GROUND, NO_ATTEMPT, LostHolders, look_back
from taskbound.flows.decision.usable import require_usable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.decision import Proposal
    from taskbound.core.errors import TaskboundError
    from taskbound.core.identity import Agent, Person
    from taskbound.core.identity.agent import Reach
    from taskbound.core.policy import ActiveBundle, PolicyReads
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import Task, TaskHead
    from taskbound.core.tool import ToolDefinition
    from taskbound.flows.approval.proof.kept import Vouching
    from taskbound.flows.decision.evaluate import Call
    from taskbound.flows.decision.retries import Attempts
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Store
    from taskbound.ports.tool import PinnedServer, PinnedTool
    from taskbound.wire.jose import SignatureCheck


_STANDINGS: Final = 2_000
_CASES: Final = 32


class CallContext:
    """What calls of one tool by one agent for one task rest on."""

    def __init__(self, call: Call, views: Views, policies: Policies) -> None:
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
        self._ground: AuthorizedContext | None = None
        self._cases: dict[tuple[tuple[str, ...], str, str], PolicyQuery] = {}

    def mints_by(self, arguments: Mapping[str, JsonValue]) -> bool:
        """Whether a new credential is requested; a renewal's secret was handed out before."""
        return self.mints and not (self._tool and renewed_by(self._tool.definition, arguments))

    @property
    def reads_outcome(self) -> bool:
        return not {"checked", "last_outcome"}.isdisjoint(self._policy.reads)

    @property
    def reads_attempts(self) -> bool:
        return not TRIED.isdisjoint(self._read().facts)

    @property
    def checks(self) -> bool:
        return self._tool is not None and bool(self._tool.pinned.checks and "checked" in self._read().facts)

    @property
    def reads_operands(self) -> bool:
        return not LOOKED.isdisjoint(self._read().facts)

    @property
    def reads_life(self) -> bool:
        return self.mints and LIVED in self._read().facts

    @property
    def rests_on(self) -> Task | None:
        if self._lineage is None or VOUCHED.isdisjoint(self._read().facts):
            return None
        return self._lineage.task

    def require(self, unbound: TaskboundError | None, now: Instant) -> AuthorizedContext:
        """Raises DeniedError for a stop, agent, task or tool; `unbound` is why the connection has no task."""
        ground = self._ground
        if ground is None or unbound is not None or now >= ground.until:
            ground = self._ground = self._look(unbound, now)
        return ground

    def case(
        self,
        flags: tuple[str, ...],
        outcome: str,
        proof: str,
        now: Instant,
        sought: Lookups = NOTHING_SOUGHT,
    ) -> PolicyQuery:
        if sought is not NOTHING_SOUGHT or not TIMED.isdisjoint(self._read().facts):
            return self._case(flags, outcome, proof, now, sought)
        key = (flags, outcome, proof)
        known = self._cases.get(key)
        if known is None:
            if len(self._cases) >= _CASES:
                del self._cases[next(iter(self._cases))]
            known = self._cases[key] = self._case(flags, outcome, proof, now, NOTHING_SOUGHT)
        return known

    def _read(self) -> PolicyReads:
        if self._reads is None:
            server = self._tool.server.name if self._tool else ""
            _, agent, tool = self._names
            self._reads = self._policy.reads_of(self._namespace, agent, tool, server)
        return self._reads

    def _look(self, unbound: TaskboundError | None, now: Instant) -> AuthorizedContext:
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
        tool = require_usable(self._tool, tool_name, name, persons, mints=self.mints)
        return AuthorizedContext(
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
        sought: Lookups,
    ) -> PolicyQuery:
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
        basis = ReadVersions(
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
        return PolicyQuery(self._policy, request, basis, reads_arguments=reads.arguments)


class ContextCache:
    """The standings of one generation of views; must be used from one thread at a time."""

    def __init__(self, views: Views, policies: Policies, *, most: int = _STANDINGS) -> None:
        self._views = views
        self._policies = policies
        self._most = most
        self._generation = views.generation
        self._kept: dict[tuple[str, str, str, str], CallContext] = {}

    def of(self, call: Call) -> CallContext:
        if self._generation != self._views.generation:
            self._kept.clear()
            self._generation = self._views.generation
        key = (call.namespace, call.task, call.agent, call.tool)
        known = self._kept.get(key)
        if known is None:
            known = CallContext(call, self._views, self._policies)
            if known.is_whole:
                if len(self._kept) >= self._most:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = known
        return known


_TASKS: Final = 20_000
_TOOLS: Final = 5_000
_AGENTS: Final = 1_000
_ACTS: Final = 50_000

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A task and its ancestors, nearest first."""

    tasks: tuple[Task, ...]
    heads: Mapping[str, TaskHead] = field(init=False)
    """By id: what decides whether each is live."""
    versions: tuple[tuple[str, int], ...] = field(init=False)
    """(id, version) of each."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", {one.id: one.head for one in self.tasks})
        object.__setattr__(self, "versions", tuple((one.id, one.version) for one in self.tasks))

    @property
    def task(self) -> Task:
        return self.tasks[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolView:
    """A pinned tool with its parsed definition and its server."""

    pinned: PinnedTool
    definition: ToolDefinition
    server: PinnedServer


class _ViewCache(Generic[V]):
    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], V] = OrderedDict()

    def get(self, key: tuple[str, str], read: Callable[[], V | None]) -> V | None:
        known = self._kept.get(key)
        if known is not None:
            return known
        found = read()
        if found is not None:
            self._kept[key] = found
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found

    def forget(self, key: tuple[str, str]) -> None:
        self._kept.pop(key, None)

    def clear(self) -> None:
        self._kept.clear()


class Views:
    """The views of one store; must be used from one thread at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.doubts = LostHolders()
        """Whose permits are open though they are lost; a guess of `none` is stale there too."""
        self._tasks: _ViewCache[Lineage] = _ViewCache(_TASKS)
        self._agents: _ViewCache[Agent] = _ViewCache(_AGENTS)
        self._tools: _ViewCache[ToolView] = _ViewCache(_TOOLS)
        self._persons: dict[str, Mapping[str, Person]] = {}
        self._reaches: dict[tuple[str, str], Reach] = {}
        self._switches: dict[str, KillSwitch] = {}
        self._forces: dict[str, ActiveBundle] = {}
        self._outcomes: OrderedDict[tuple[str, str], str] = OrderedDict()
        self.generation = 0
        """How often something was forgotten."""

    def lineage(self, namespace: str, task: str) -> Lineage | None:
        return self._tasks.get((namespace, task), lambda: self._read_lineage(namespace, task))

    def agent(self, namespace: str, name: str) -> Agent | None:
        def read() -> Agent | None:
            with self._store.read() as snapshot:
                return snapshot.identities.agent(namespace, name)

        return self._agents.get((namespace, name), read)

    def tool(self, namespace: str, name: str) -> ToolView | None:
        def read() -> ToolView | None:
            with self._store.read() as snapshot:
                return _read_tool(snapshot, namespace, name)

        return self._tools.get((namespace, name), read)

    def credential(self, namespace: str, credential: str) -> Credential | None:
        """Returns the credential, never cached; only its immutable fields may be relied on."""
        with self._store.read() as snapshot:
            return snapshot.credentials.credential(namespace, credential)

    def persons(self, namespace: str) -> Mapping[str, Person]:
        if namespace not in self._persons:
            with self._store.read() as snapshot:
                self._persons[namespace] = snapshot.identities.persons(namespace)
        return self._persons[namespace]

    def reach(self, namespace: str, person: str) -> Reach:
        known = self._reaches.get((namespace, person))
        if known is None:
            with self._store.read() as snapshot:
                groups = snapshot.identities.groups(namespace)
            known = reach_of(person, self.persons(namespace), groups)
            self._reaches[namespace, person] = known
        return known

    def forget(self) -> None:
        """Forgets everything, after a write that evaluation reads."""
        self.generation += 1
        self._tasks.clear()
        self._agents.clear()
        self._tools.clear()
        self._persons.clear()
        self._reaches.clear()
        self._switches.clear()
        self._forces.clear()

    def forget_task(self, namespace: str, task: str) -> None:
        """Forgets this task; descendants turn out stale at the commit."""
        self.generation += 1
        self._tasks.forget((namespace, task))

    def kill_switch(self, namespace: str) -> KillSwitch:
        known = self._switches.get(namespace)
        if known is None:
            with self._store.read() as snapshot:
                known = self._switches[namespace] = snapshot.revocation.kill_switch(namespace)
        return known

    def in_force(self, namespace: str) -> ActiveBundle:
        known = self._forces.get(namespace)
        if known is None:
            with self._store.read() as snapshot:
                known = self._forces[namespace] = snapshot.policy.in_force(namespace)
        return known

    def last_outcome(self, root: str, act_key: str) -> str:
        """Returns the act's last outcome in its task tree, `none` until a commit shows another."""
        return self._outcomes.get((root, act_key), "none")

    def attempts(self, namespace: str, root: str, act_key: str) -> Attempts:
        with self._store.read() as snapshot:
            return look_back(snapshot, self.doubts, namespace, root, act_key)

    def action(self, namespace: str, action: str) -> StoredAction | None:
        with self._store.read() as snapshot:
            return snapshot.actions.action(namespace, action)

    def vouching(self, task: Task, check: SignatureCheck, now: Instant) -> Vouching:
        with self._store.read() as snapshot:
            return vouch(snapshot, task, check=check, now=now)

    def read_again(self, stale: Proposal) -> None:
        """Forgets what a stale proposal read, and reads its act's last outcome anew."""
        action = stale.action
        key = (stale.root, action.act_key)
        self.generation += 1
        self._tasks.forget((action.namespace, action.task))
        for name in (action.agent, *(above for above, _ in stale.basis.agents)):
            self._agents.forget((action.namespace, name))
        self._tools.forget((action.namespace, action.tool))
        self._switches.pop(action.namespace, None)
        self._forces.pop(action.namespace, None)
        with self._store.read() as snapshot:
            doubted = key in self.doubts.acts(snapshot, action.namespace)
            outcome = "unknown" if doubted else snapshot.actions.act(action.namespace, *key).last_outcome
        self._outcomes.pop(key, None)
        if outcome != "none":
            if len(self._outcomes) >= _ACTS:
                self._outcomes.popitem(last=False)
            self._outcomes[key] = outcome

    def read_anew(self, namespace: str, *, task: str, tool: str) -> None:
        self.generation += 1
        self._tasks.forget((namespace, task))
        self._tools.forget((namespace, tool))
        self._switches.pop(namespace, None)
        self._persons.pop(namespace, None)
        lineage = self.lineage(namespace, task)
        for one in lineage.tasks if lineage is not None else ():
            self._agents.forget((namespace, one.agent))

    def _read_lineage(self, namespace: str, task: str) -> Lineage | None:
        with self._store.read() as snapshot:
            tasks = snapshot.tasks.lineage(namespace, task)
        whole = bool(tasks) and not tasks[-1].parent
        return Lineage(tasks=tasks) if whole else None


def _read_tool(snapshot: Snapshot, namespace: str, name: str) -> ToolView | None:
    pinned = snapshot.tools.tool(namespace, name)
    if pinned is None:
        return None
    server = snapshot.tools.server(namespace, pinned.server)
    if server is None:
        return None
    return ToolView(pinned=pinned, definition=parse_definition(pinned.definition), server=server)
