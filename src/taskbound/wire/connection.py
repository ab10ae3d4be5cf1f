"""Messages that open a connection to the daemon, and its pushes."""

from __future__ import annotations

from taskbound.wire.frame import Message, Request, Response
from taskbound.wire.network import Shown
from taskbound.wire.policy import BundleInForce


class Open(Request, frozen=True, tag="connection:open", tag_field="op"):
    """The first request of every connection: the role of the process, and its agent."""

    role: str
    """One of `gateway`, `front`, `run`, `cli`, `egress`, `broker`, `api`."""
    version: str
    namespace: str = "default"
    agent: str = ""
    """The agent's name; a gateway must give it."""
    resume: str = ""
    """The connection that this process held before the daemon went away: it holds its permits again.

    Only within 5 seconds of the loss (design 4.9); afterwards its open permits are unknown.
    """
    token: str = ""
    """A task's token that a front was shown with its key: the gateway's connection is that task's alone."""
    task: str = ""
    """Of a gateway: which task is meant, where several of the agent run; empty for the only one.

    It counts for a process that stands beneath no gateway and no run; who opens compares what it is bound to.
    """
    origin: str = ""
    """How a front is known outside; it has to be what the daemon knows it as."""

    def __repr__(self) -> str:
        return f"Open(role={self.role!r}, namespace={self.namespace!r}, agent={self.agent!r})"


class Opened(Response, frozen=True, tag="opened", tag_field="is"):
    """The daemon accepted the peer (uid and pid are read from the socket)."""

    connection: str
    version: str
    stopped: bool
    """Whether the kill switch is on."""
    agent: str = ""
    """The agent that a gateway's connection is for."""
    task: str = ""
    """The task that its token is of; empty without one."""
    issuer: str = ""
    """Who issues tokens for a front's gateways; told to fronts alone."""


class Bind(Request, frozen=True, tag="connection:bind", tag_field="op"):
    """Ask for the task to which this gateway's calls belong (design 6); a call binds by itself."""

    tokens: tuple[str, ...] = ()
    """Tokens with which something was begun that is open, by name: a front asks whether they still hold."""
    last: str = ""
    """The task that the gateway belonged to before; empty without one. A daemon that was restarted does not
    know it."""


class Bound(Response, frozen=True, tag="bound", tag_field="is"):
    """The connection belongs to this task until the task ends."""

    task: str
    purpose: str
    deadline: int
    """Instant, µs since the epoch."""
    expired: tuple[str, ...] = ()
    """Those of the named tokens whose time is over, and no more than that."""
    ended: tuple[str, ...] = ()
    """Those that hold no more for another reason."""


class ShowProof(Request, frozen=True, tag="connection:show", tag_field="op"):
    """Ask for the task of a request to an HTTP front. Only a front's connection may."""

    agent: str
    """The agent whose gateway was asked."""
    shown: Shown
    """What came with it."""


class Seated(Response, frozen=True, tag="seated", tag_field="is"):
    """The request is of this task's agent."""

    task: str
    token: str
    """The name of the token that was shown."""
    until: int
    """When that token ends: instant, µs since the epoch."""


class Ping(Request, frozen=True, tag="connection:ping", tag_field="op"):
    """Ask whether the daemon answers; a gateway does so each second while calls are in flight."""


class Done(Response, frozen=True, tag="done", tag_field="is"):
    """The operation took effect and is durable."""

    detail: str = ""


class Fault(Response, frozen=True, tag="fault", tag_field="is"):
    """The operation did not take effect, and the reason."""

    code: str
    message: str
    advice: str = ""
    where: str = ""
    family: str = ""
    """One of `core.errors.FAMILIES`, or `unproven` if the shown credential proves no principal."""
    acr: str = ""
    """Of `step-up` alone (RFC 9470): how the person has to sign in, ways by a space; empty for any."""
    within: int = 0
    """Of `step-up` alone: how long ago at most, seconds; 0 for any time."""


class EndDaemon(Request, frozen=True, tag="daemon:end", tag_field="op"):
    """Ask whether the caller may end this daemon (`taskbound serve --end`), and have that recorded."""


class BackUpStore(Request, frozen=True, tag="db:backup", tag_field="op"):
    """Ask whether the caller may copy the store (`taskbound db backup`), and have that recorded."""


class ReconcileStore(Request, frozen=True, tag="db:reconcile", tag_field="op"):
    """Ask whether the caller may reconcile the store (`taskbound db reconcile`), and have that recorded."""


class RestoreStore(Request, frozen=True, tag="db:restore", tag_field="op"):
    """Ask whether the caller may restore the store (`taskbound db restore`), and have that recorded."""


class UpgradeStore(Request, frozen=True, tag="db:upgrade", tag_field="op"):
    """Ask whether the caller may upgrade the database (`taskbound db upgrade`), and have that recorded."""


class StartDaemon(Request, frozen=True, tag="daemon:start", tag_field="op"):
    """Ask whether the caller may start a daemon in a terminal (`taskbound serve`), and have that recorded."""


class BeginInit(Request, frozen=True, tag="init:begin", tag_field="op"):
    """Ask whether the caller may rewrite client configurations (`taskbound init`), and have that recorded."""


class UndoInit(Request, frozen=True, tag="init:undo", tag_field="op"):
    """Ask whether the caller may restore client configurations, past the gateway, and have that recorded."""


class ForgetOriginals(Request, frozen=True, tag="init:forget", tag_field="op"):
    """Ask whether the caller may delete the kept originals of configurations, and have that recorded."""


class Status(Request, frozen=True, tag="connection:status", tag_field="op"):
    """Ask for the state of the daemon."""


class StatusReport(Response, frozen=True, tag="status", tag_field="is"):
    """The state of the daemon."""

    version: str
    home: str
    pid: int
    started: int
    stopped: bool
    store: str
    """The database's kind, library version and path in words."""
    running_tasks: int
    records: int
    covered: int
    """Records that the newest checkpoint covers."""
    checkpoint_at: int
    monitor_delivered_at: int
    policy: BundleInForce
    signer: str
    """`reachable` or the reason why not."""
    undecided: str = ""
    """Why the daemon refuses decisions until the signer confirms the log; empty where it decides."""
    reserve: str = "whole"
    """`whole`, or `in use` while the disk is full."""
    signer_uid: int = -1
    """The account that started the signer; -1 while unknown."""
    learning_tasks: int = 0
    """How many of the running tasks are to learn from."""
    demo: bool = False
    """Whether the namespace is for trying out."""
    agent_uids: tuple[int, ...] = ()
    """Accounts under which gateways run, or may."""
    fronts: tuple[str, ...] = ()
    """How each gateway over HTTP that runs is known outside."""
    targets: int = 0
    """How many targets there are, in which credentials are minted."""
    brokers: int = 0
    """How many brokers are connected to this daemon."""
    living_credentials: int = 0
    """How many credentials live in targets, or are being minted; 1,000 at most are counted of each kind."""
    revoking_credentials: int = 0
    """How many are being revoked."""
    overdue_credentials: int = 0
    """How many of these since more than a minute."""
    oldest_revocation: int = 0
    """Seconds that the oldest of these revocations has been under way."""
    epoch: int = 0
    """Of the store, as the broker counts: one more each time that it was restored; 0 where no broker says."""
    doubted: int = 0
    """Instant since which the broker takes it for restored, and nothing is minted; 0 where it doesn't."""
    doubt: str = ""
    """What that was found by."""
    doubted_targets: int = 0
    """Targets, of all namespaces, that have not shown so far that nothing is left in them."""


class TaskPush(Message, frozen=True, tag="task-changed", tag_field="push"):
    """A task bound on this connection changed its state."""

    task: str
    state: str
    reason: str = ""


class StopPush(Message, frozen=True, tag="stop-changed", tag_field="push"):
    """The kill switch was set or lifted."""

    stopped: bool
