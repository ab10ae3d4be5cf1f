"""Opening a connection to the daemon, and what the daemon says unasked."""

from __future__ import annotations

from taskbound.wire.frame import Message
from taskbound.wire.policy import BundleInForce

__all__ = [
    "Bind",
    "Bound",
    "Done",
    "Fault",
    "Open",
    "Opened",
    "Ping",
    "Status",
    "StatusReport",
    "StopPush",
    "TaskPush",
]


class Open(Message, frozen=True, tag="connection:open", tag_field="op"):
    """The first request of every connection: which process speaks, for which agent."""

    role: str
    """One of `gateway`, `run`, `cli`, `egress`, `api`."""
    version: str
    namespace: str = "default"
    agent: str = ""
    """The agent's name; a gateway must give it."""
    resume: str = ""
    """The connection that this process held before the daemon went away: it holds its permits again.

    Only within 5 seconds of the loss (design 4.9); afterwards its open permits are unknown.
    """
    bearer: str = ""
    """A task's bearer: the connection is that task's and no other's, and the agent is the task's."""

    def __repr__(self) -> str:
        """Without its two secrets."""
        return f"Open(role={self.role!r}, namespace={self.namespace!r}, agent={self.agent!r})"


class Opened(Message, frozen=True, tag="opened", tag_field="is"):
    """The daemon knows the peer now (uid and pid read from the socket)."""

    connection: str
    version: str
    stopped: bool
    """Whether the kill switch is on."""
    agent: str = ""
    """The agent that a gateway's connection is for."""
    task: str = ""
    """The task that its bearer is for; empty without one."""


class Bind(Message, frozen=True, tag="connection:bind", tag_field="op"):
    """Ask which task this gateway's calls belong to (design 6); a call binds by itself."""


class Bound(Message, frozen=True, tag="bound", tag_field="is"):
    """The connection belongs to this task until the task ends."""

    task: str
    purpose: str
    deadline: int
    """Instant, µs since the epoch."""


class Ping(Message, frozen=True, tag="connection:ping", tag_field="op"):
    """Ask whether the daemon still answers: a gateway does so each second while calls are in flight."""


class Done(Message, frozen=True, tag="done", tag_field="is"):
    """The operation took effect and is durable; nothing else to say."""

    detail: str = ""


class Fault(Message, frozen=True, tag="fault", tag_field="is"):
    """The operation did not take effect, and why."""

    code: str
    message: str
    advice: str = ""
    where: str = ""
    family: str = ""
    """`malformed`, `denied` or `unavailable`; `unproven` when what was shown is nobody's proof."""


class Status(Message, frozen=True, tag="connection:status", tag_field="op"):
    """Ask how the daemon is."""


class StatusReport(Message, frozen=True, tag="status", tag_field="is"):
    """How the daemon is."""

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
    reserve: str = "whole"
    """`whole`, or `in use` while the disk is full."""
    signer_uid: int = -1
    """The account that the signer was started by; -1 while nobody knows."""
    learning_tasks: int = 0
    """How many of the running tasks are to learn from."""
    demo: bool = False
    """Whether the namespace is for trying out."""
    agent_uids: tuple[int, ...] = ()
    """Accounts under which gateways run, or may."""


class TaskPush(Message, frozen=True, tag="task-changed", tag_field="push"):
    """A task bound on this connection changed its state."""

    task: str
    state: str
    reason: str = ""


class StopPush(Message, frozen=True, tag="stop-changed", tag_field="push"):
    """The kill switch was thrown or lifted."""

    stopped: bool
