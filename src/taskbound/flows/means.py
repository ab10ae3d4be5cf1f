"""What every flow is given, who asks it, and what it tells of tasks that moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.core.task import TaskState
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.approval import FarOperands, Operands
    from taskbound.ports.clock import Chance, Clock
    from taskbound.ports.identity import Signatures, Svids
    from taskbound.ports.monitor import Monitor
    from taskbound.ports.store import Store
    from taskbound.wire.jose import SignatureCheck

__all__ = ["Actor", "Means", "Moved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The adapters that flows work with, plugged together in `wiring`."""

    store: Store
    clock: Clock
    chance: Chance
    policy: Policies
    monitor: Monitor
    tokens: SignatureCheck
    """Computes what signatures of tokens are worth; the gate is in `wire/jose`."""
    signatures: Signatures
    svids: Svids
    """Tells what certificates of workloads prove."""
    operands: Operands
    """Looks at what the arguments of a call name on this machine's disk; it never waits."""
    far: FarOperands
    """Looks at what they name elsewhere; it may wait, and is never asked where calls are decided."""
    writer: str
    """The name under which this process start writes records."""

    @property
    def daemon(self) -> str:
        """The end of that name: under it this process is present (`ports.store.presence`)."""
        return self.writer[-13:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks for something, as records name them."""

    name: str
    """The person's name, `uid:1000` for an account without a person, or `daemon`."""
    proof: str
    """How they were proven, such as `peer-uid:1000 (unproven)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A task that changed its state, for those who hold connections of it."""

    namespace: str
    task: str
    state: TaskState
    reason: str
