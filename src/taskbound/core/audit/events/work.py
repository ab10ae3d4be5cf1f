"""What happens when work is done: tasks, the processes that run for them, actions."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass
from taskbound.core.quick import quick


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted:
    """A task was declared and runs."""

    kind: ClassVar[str] = "task-started"
    task: str
    agent: str
    requester: str
    purpose: str
    scope: str
    deadline: int
    holds: str
    """What becomes of its held actions when their calls are over."""
    by: str
    proof: str
    template: str = ""
    parent: str = ""
    evidence: tuple[str, ...] = ()
    learning: bool = False
    """Whether it is to learn from; `by` is the agent's owner then, proven as `proof` says."""
    carved: tuple[str, ...] = ()
    """``limit=amount`` of each limit of the parent that this took of."""
    heartbeat: int = 0
    grace: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanged:
    """A task changed its state."""

    kind: ClassVar[str] = "task-changed"
    task: str
    before: str
    after: str
    event: str
    reason: str
    by: str
    proof: str
    learning: bool = False
    returned: tuple[str, ...] = ()
    """``limit=amount`` of each limit of the parent that something went back to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStepped:
    """A task entered another step of its scope."""

    kind: ClassVar[str] = "task-stepped"
    task: str
    step: int
    """Counted from 0."""
    name: str
    by: str
    proof: str
    learning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAmended:
    """A task was given another scope, by a person or because its parent was."""

    kind: ClassVar[str] = "task-amended"
    task: str
    before: str
    """Digest of the scope that it had."""
    scope: str
    version: int
    """How often it was given one."""
    left: tuple[str, ...]
    """``limit=amount`` of what each limit has left from now on."""
    reason: str
    by: str
    proof: str
    above: tuple[str, ...] = ()
    """``limit=amount`` of what each limit of its parent has left then, of those that changed."""
    learning: bool = False
    amendment: str = ""
    """The amendment that people approved for it; empty for a narrowing, which needs nobody."""
    over: tuple[str, ...] = ()
    """``limit=amount`` of what each limit was given, less what it permits; never above zero."""
    spent: tuple[str, ...] = ()
    """What was spent until then, an entry for the calls of each grant as JSON; of much, its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRegistered:
    """A process, and all beneath it, belongs to a task."""

    kind: ClassVar[str] = "run-registered"
    task: str
    agent: str
    pid: int
    started: int
    """The process's start in clock ticks since boot."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAccounted:
    """The agent runs under this account for this task: whoever has the account approves nothing of it."""

    kind: ClassVar[str] = "task-accounted"
    task: str
    agent: str
    account: str
    """Such as `peer-uid:1000`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFollowed:
    """A connection outside every run, whose task has ended, belongs to the next one of its agent."""

    kind: ClassVar[str] = "task-followed"
    task: str
    before: str
    """The task that it belonged to."""
    agent: str
    connection: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRefusedMalformed:
    """Bytes that asked for an action could not be read, so there was no action."""

    kind: ClassVar[str] = "action-refused-malformed"
    code: str
    connection: str
    agent: str
    size: int
    digest: str
    """SHA-256 of the raw bytes."""
    tool: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionUndecided:
    """An action was asked for, and refused because nothing here could decide it."""

    kind: ClassVar[str] = "action-undecided"
    code: str
    connection: str
    agent: str
    tool: str
    task: str
    size: int
    digest: str
    """SHA-256 of the bytes of its arguments."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalsDropped:
    """An agent was refused more than is recorded one by one: so many more there were, and why."""

    kind: ClassVar[str] = "refusals-dropped"
    agent: str
    """Empty for all names together that no agent has."""
    since: int
    count: int
    codes: tuple[str, ...]
    """``code=count`` of each code; `too-many-refusals` are calls that nothing was decided for."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDecided:
    """An action was answered; with the rows that it names, the answer can be computed again."""

    kind: ClassVar[str] = "action-decided"
    action: str
    task: str
    agent: str
    tool: str
    server: str
    definition: str
    digest: str
    act_key: str
    decision: str
    """`permit`, `hold`, `refuse`, or `duplicate` when a stored answer was given again."""
    reasons: tuple[str, ...]
    grant: str
    policies: tuple[str, ...]
    bundle: str
    scope: str
    attempt: int
    charges: tuple[str, ...] = ()
    """``limit=amount`` of each limit that the action was charged to."""
    flags: tuple[str, ...] = ()
    last_outcome: str = ""
    effect: str = ""
    proof: str = ""
    epoch: int = 0
    connection: str = ""
    for_call: str = ""
    """The client's id of the call on this connection for whose probe it was made; empty for all others."""
    outcome: str = ""
    """`unwatched` of a permit whose outcome nobody tells, and which counts as used; empty for all others."""
    subject: str = ""
    """Of what was asked by AuthZEN: whom the asker says it is for, as JSON: a claim, and no identity."""
    service: str = ""
    """The service that asked in its own name, with a token that the agent showed it; empty for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReconciled:
    """A person found out what came of an action whose outcome was unknown."""

    kind: ClassVar[str] = "action-reconciled"
    action: str
    task: str
    after: str
    """`reconciled-succeeded` or `reconciled-failed`."""
    note: str
    """How they know, in their words."""
    by: str
    proof: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """An action changed its state."""

    kind: ClassVar[str] = "action-outcome"
    action: str
    task: str
    before: str
    after: str
    released: bool
    """Whether the result may leave the gateway."""
    answer: str = ""
    """Digest of the answer's bytes."""
    reason: str = ""
