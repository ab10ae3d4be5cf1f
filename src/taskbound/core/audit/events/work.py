"""Events of tasks, amendments, actions and credentials."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

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
    """A task got another scope, by a person or because its parent was amended."""

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
    """The approved amendment; empty for a narrowing, which needs no approval."""
    over: tuple[str, ...] = ()
    """``limit=amount`` of what each limit was given, less what it permits; never above zero."""
    spent: tuple[str, ...] = ()
    """What was spent until then, an entry for the calls of each grant as JSON; of much, its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRegistered:
    """A process and its descendants were bound to a task."""

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
    """The agent runs under this account for this task, so the account's person cannot approve for it."""

    kind: ClassVar[str] = "task-accounted"
    task: str
    agent: str
    account: str
    """Such as `peer-uid:1000`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFollowed:
    """A connection outside any run moved from an ended task to its agent's next task."""

    kind: ClassVar[str] = "task-followed"
    task: str
    before: str
    """The task that it belonged to."""
    agent: str
    connection: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRefusedMalformed:
    """Bytes that requested an action could not be parsed."""

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
    """A requested action was refused because it could not be decided."""

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
    """The number and reason of an agent's refusals above the limit of individual records."""

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
    """An action was decided; the decision can be recomputed from the named rows."""

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
    """`unwatched` for a permit without outcome reports, which counts as used; otherwise empty."""
    subject: str = ""
    """Of what was asked by AuthZEN: whom the asker says it is for, as JSON: a claim, and no identity."""
    service: str = ""
    """The service that asked in its own name, with a token that the agent showed it; empty for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReconciled:
    """A person determined the unknown outcome of an action."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialJournaled:
    """A credential was permitted and journaled; its target has not been called."""

    kind: ClassVar[str] = "credential-journaled"
    credential: str
    target: str
    of: str
    """The kind of credential, as the target's file declares it."""
    identity: str
    """Digest of the target's identity."""
    task: str
    agent: str
    action: str
    """The action that was permitted."""
    ends: int
    recipient: str
    """The public key that its secret is sealed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialProlonged:
    """A renewal was permitted and recorded; the target has not been called."""

    kind: ClassVar[str] = "credential-prolonged"
    credential: str
    target: str
    of: str
    """The kind of credential, as the target's file declares it."""
    identity: str
    """Digest of the target's identity."""
    task: str
    agent: str
    action: str
    """The action that was permitted."""
    before: int
    """The previous end, in force until the target is informed."""
    ends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialMoved:
    """A credential changed state; a failed revocation attempt has no event of this kind."""

    kind: ClassVar[str] = "credential-moved"
    credential: str
    target: str
    task: str
    before: str
    after: str
    event: str
    why: str
    until: int = 0
    """When it ends: of one that lives, or that can't be revoked."""
    cut: int = 0
    """How many sessions were ended."""
    notes: tuple[str, ...] = ()
    """What else was done in the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialOverdue:
    """A revocation is open for over a minute; it is retried until the target shows the credential gone."""

    kind: ClassVar[str] = "credential-overdue"
    credential: str
    target: str
    task: str
    agent: str
    seconds: int
    """How long it has been under way."""
    attempts: int
    trouble: str = ""
    """What the last attempt met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReconciled:
    """A broker trusts a restored or replaced store again: nothing older is left in any target."""

    kind: ClassVar[str] = "store-reconciled"
    epoch: int
    """Of the store, as that broker counts; one that lost count began anew at 1, and `why` says so."""
    since: int
    """When it was found: from then on nothing was minted."""
    why: str
    """What it was found by."""
    ended: int
    """How many names the broker ended by itself, which no other record names; at least."""
    targets: int
    """How many targets it looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentAsked:
    """Approval to widen a task was requested; the digest can be recomputed from the named row."""

    kind: ClassVar[str] = "amendment-asked"
    amendment: str
    digest: str
    """What people sign."""
    task: str
    agent: str
    requester: str
    before: str
    """Digest of the scope that the task has."""
    edition: int
    """How often it was given one until then."""
    step: int
    after: str
    """Digest of the scope that it is to have."""
    bundle: str
    lifters: tuple[str, ...]
    deadline: int
    reason: str
    by: str
    """Who asks."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentShown:
    """An amendment was shown to a person for the first time."""

    kind: ClassVar[str] = "amendment-shown"
    amendment: str
    task: str
    person: str
    length: int
    """Characters of what was asked."""
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentAnswered:
    """A person answered, and the signature verified."""

    kind: ClassVar[str] = "amendment-answered"
    amendment: str
    digest: str
    task: str
    answer: str
    """`approve` or `deny`."""
    person: str
    key: str
    statement: str
    """SHA-256 of what was signed."""
    signature: str
    """SHA-256 of the signature."""
    proof: str
    taken: int = -1
    """µs from the first time that it was shown to them to their answer; -1 when it never was."""
    length: int = 0
    """Characters of what was asked."""
    hasty: bool = False
    """Whether it is a yes that came sooner than anybody can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendmentChanged:
    """An amendment was applied or ended."""

    kind: ClassVar[str] = "amendment-changed"
    amendment: str
    task: str
    before: str
    after: str
    reason: str
    by: str
    proof: str


WorkEvent: TypeAlias = (
    TaskStarted
    | TaskChanged
    | TaskStepped
    | TaskAmended
    | RunRegistered
    | TaskAccounted
    | TaskFollowed
    | ActionRefusedMalformed
    | ActionUndecided
    | RefusalsDropped
    | ActionDecided
    | ActionReconciled
    | ActionOutcome
    | CredentialJournaled
    | CredentialProlonged
    | CredentialMoved
    | CredentialOverdue
    | StoreReconciled
    | AmendmentAsked
    | AmendmentShown
    | AmendmentAnswered
    | AmendmentChanged
)
