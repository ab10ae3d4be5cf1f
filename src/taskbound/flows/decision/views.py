"""What evaluation reads, kept in memory between decisions, each with the version it was read at.

1. A view is never the truth: the commit reads the versions again under lock, and
   a decision on an old view is stale (design 4.8).
2. What this process writes it forgets here; a stale decision forgets what it read. How an act
   last ended is guessed to be `none` until a commit knew better: a wrong guess is stale.
3. Views are bounded: beyond the bound the oldest go.
4. Whoever keeps something that was worked out from views keeps it for one `generation`
   of them: whatever is forgotten, the generation is another one.
5. What is asked about and not decided meets no commit that would show that a view is old: what it stands on
   is read anew before it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.grantable import reach_of
from taskbound.core.tool import parse_definition
from taskbound.flows.approval.proof.vouched import vouch
from taskbound.flows.decision.attempts import look_back
from taskbound.flows.decision.doubts import Doubts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.decision import Proposal
    from taskbound.core.identity import Agent, Person
    from taskbound.core.identity.grantable import Reach
    from taskbound.core.policy import InForce
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import Task, TaskHead
    from taskbound.core.tool import ToolDefinition
    from taskbound.flows.approval.proof.vouched import Vouching
    from taskbound.flows.decision.attempts import Attempts
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot, Store
    from taskbound.ports.tool import PinnedServer, PinnedTool
    from taskbound.wire.jose import SignatureCheck


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
        """Work out, once, what every evaluation asks for."""
        object.__setattr__(self, "heads", {one.id: one.head for one in self.tasks})
        object.__setattr__(self, "versions", tuple((one.id, one.version) for one in self.tasks))

    @property
    def task(self) -> Task:
        """The task itself."""
        return self.tasks[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolView:
    """A pinned tool with its parsed definition and its server."""

    pinned: PinnedTool
    definition: ToolDefinition
    server: PinnedServer


class _Shelf(Generic[V]):
    """A bounded map that forgets what was put on it first."""

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
    """The views of one store; used from one thread at a time."""

    def __init__(self, store: Store) -> None:
        """Start empty."""
        self._store = store
        self.doubts = Doubts()
        """Whose permits are open though they are lost; a guess of `none` is stale there too."""
        self._tasks: _Shelf[Lineage] = _Shelf(_TASKS)
        self._agents: _Shelf[Agent] = _Shelf(_AGENTS)
        self._tools: _Shelf[ToolView] = _Shelf(_TOOLS)
        self._persons: dict[str, Mapping[str, Person]] = {}
        self._reaches: dict[tuple[str, str], Reach] = {}
        self._switches: dict[str, KillSwitch] = {}
        self._forces: dict[str, InForce] = {}
        self._outcomes: OrderedDict[tuple[str, str], str] = OrderedDict()
        self.generation = 0
        """How often something was forgotten (rule 4)."""

    def lineage(self, namespace: str, task: str) -> Lineage | None:
        """The task and its ancestors."""
        return self._tasks.get((namespace, task), lambda: self._read_lineage(namespace, task))

    def agent(self, namespace: str, name: str) -> Agent | None:
        """The agent."""

        def read() -> Agent | None:
            with self._store.read() as snapshot:
                return snapshot.identities.agent(namespace, name)

        return self._agents.get((namespace, name), read)

    def tool(self, namespace: str, name: str) -> ToolView | None:
        """The pinned tool."""

        def read() -> ToolView | None:
            with self._store.read() as snapshot:
                return _read_tool(snapshot, namespace, name)

        return self._tools.get((namespace, name), read)

    def credential(self, namespace: str, credential: str) -> Credential | None:
        """The credential, read anew each time: only what never changes of it is to be believed."""
        with self._store.read() as snapshot:
            return snapshot.credentials.credential(namespace, credential)

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Every person of the namespace."""
        if namespace not in self._persons:
            with self._store.read() as snapshot:
                self._persons[namespace] = snapshot.identities.persons(namespace)
        return self._persons[namespace]

    def reach(self, namespace: str, person: str) -> Reach:
        """All that this person may grant."""
        known = self._reaches.get((namespace, person))
        if known is None:
            with self._store.read() as snapshot:
                groups = snapshot.identities.groups(namespace)
            known = reach_of(person, self.persons(namespace), groups)
            self._reaches[namespace, person] = known
        return known

    def forget(self) -> None:
        """Forget all: something was written that evaluation reads."""
        self.generation += 1  # 4
        self._tasks.clear()
        self._agents.clear()
        self._tools.clear()
        self._persons.clear()
        self._reaches.clear()
        self._switches.clear()
        self._forces.clear()

    def forget_task(self, namespace: str, task: str) -> None:
        """Forget this task; what hangs beneath it turns out stale at the commit and is forgotten then."""
        self.generation += 1  # 4
        self._tasks.forget((namespace, task))

    def kill_switch(self, namespace: str) -> KillSwitch:
        """The kill switch."""
        known = self._switches.get(namespace)
        if known is None:
            with self._store.read() as snapshot:
                known = self._switches[namespace] = snapshot.revocation.kill_switch(namespace)
        return known

    def in_force(self, namespace: str) -> InForce:
        """The policy bundle in force."""
        known = self._forces.get(namespace)
        if known is None:
            with self._store.read() as snapshot:
                known = self._forces[namespace] = snapshot.policy.in_force(namespace)
        return known

    def last_outcome(self, root: str, act_key: str) -> str:
        """How the act last ended in its tree; `none` as long as no commit has shown another."""
        return self._outcomes.get((root, act_key), "none")

    def attempts(self, namespace: str, root: str, act_key: str) -> Attempts:
        """What is known of the act's attempts now; not kept."""
        with self._store.read() as snapshot:
            return look_back(snapshot, self.doubts, namespace, root, act_key)

    def action(self, namespace: str, action: str) -> StoredAction | None:
        """The action of this id as it is now; not kept."""
        with self._store.read() as snapshot:
            return snapshot.actions.action(namespace, action)

    def vouching(self, task: Task, check: SignatureCheck, now: Instant) -> Vouching:
        """What of this task's evidence stands now; not kept."""
        with self._store.read() as snapshot:
            return vouch(snapshot, task, check=check, now=now)

    def read_again(self, stale: Proposal) -> None:
        """Forget what a stale proposal had read, and read anew how its act last ended."""
        action = stale.action
        key = (stale.root, action.act_key)
        self.generation += 1  # 4
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
        """Forget what a question about calls of this task stands on, so that it is read as it is (rule 5)."""
        self.generation += 1  # 4
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
