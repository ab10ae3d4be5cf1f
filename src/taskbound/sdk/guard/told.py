"""A client's settings, its access to the machine, and the handle of a block's task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from ssl import SSLContext

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.guard.holder import Granted
    from taskbound.sdk.guard.link import Place
    from taskbound.sdk.guard.proof import Proof, ProofKey, SubjectToken
    from taskbound.sdk.guard.task import Order


class Outside(Protocol):
    """A client's access to the machine."""

    def place(self, told: Told) -> Place:
        """Returns the daemon's address and the agent; raises TaskboundError."""

    def task(self) -> str:
        """Returns the task that the environment names, or ""."""

    def key(self, file: Path | None) -> ProofKey:
        """Returns a new key or the file's; raises TaskboundError."""

    def now(self) -> float:
        """Returns seconds since 1970, for proofs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A client's settings."""

    origin: str = ""
    """`https://HOST[:PORT]` of the API; empty for the daemon of this machine."""
    agent: str = ""
    task: str = ""
    namespace: str = ""
    home: str = ""
    proof: Proof | None = None
    subject: SubjectToken | None = None
    """Whose token starts the tasks of a client that is over the network."""
    domain: str = ""
    """The trust domain, over the network; the origin's host where it is not said."""
    trust: SSLContext | None = None
    """Whom to believe instead of the system's authorities."""
    wait: float = 0.0
    """Seconds that people may take, should they have to be asked; 0 raises `HeldError` at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHandle:
    """The task of a block."""

    id: str
    purpose: str
    """Empty for one that was joined over the network."""
    deadline: int
    """Instant, µs since 1970."""
    joined: bool
    """Whether it existed before; its starter ends it."""


def order_of(  # noqa: PLR0913, PLR0917 -- what a task is made of
    purpose: str,
    template: str,
    scope: Mapping[str, JsonValue] | None,
    seconds: int,
    evidence: Sequence[str],
    heartbeat: int,
    grace: int,
) -> Order:
    """Returns the task to be started; raises MalformedError if its scope can't be encoded."""
    from taskbound.sdk.guard.task import Order  # noqa: PLC0415 -- rule 1

    if scope is not None:
        canonical(dict(scope))  # what can't be written is refused here
    return Order(
        purpose=purpose,
        template=template,
        scope=scope,
        seconds=seconds,
        evidence=tuple(evidence),
        heartbeat=heartbeat,
        grace=grace,
    )


def handle_afar(granted: Granted, purpose: str, *, joined: bool) -> TaskHandle:
    """Returns the handle of a task over the network."""
    return handle_of(purpose, granted.task, granted.deadline, joined=joined)


def handle_of(purpose: str, task: str, deadline: int, *, joined: bool) -> TaskHandle:
    """Returns the handle of a task on this machine."""
    return TaskHandle(id=task, purpose=purpose, deadline=deadline, joined=joined)
