"""Targets: the system, stored targets, and optional capabilities.

A target that cannot list logins is no `Discovers`. A `StoresRevocation` needs stored data to revoke a
credential, sealed to the broker; others need its name only. A `Restarts` can lose what it acknowledged when
it restarts.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.target import TargetState
    from taskbound.core.target.kind import ExistingAccess
    from taskbound.core.tool.oauth.token import AssertionParties


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The logins discovered in a target."""

    found: tuple[ExistingAccess, ...]
    """The worst first."""
    count: int
    """How many there are, those that are not among `found` too."""
    notes: tuple[str, ...] = ()
    """What could not be seen, in words of ours."""
    whole: bool = True
    """Whether no possible login was omitted because of bounds or missing rights."""


@runtime_checkable
class Discovers(Protocol):
    """A target that can list its logins; thread-safe."""

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        """Returns logins that were not minted here.

        It MUST change nothing, omit exactly the names with these installations' marks
        (`core.credential.pattern_of`), and return at most `most` others, worst first, without secrets or
        their digests. Raises as `Target`.
        """


class TargetUnavailableError(UnavailableError):
    """A target is unreachable or did not answer in time."""

    code = "target-unavailable"
    remedy = "look at the target; what has to be revoked there is tried again until it is gone"


class TargetUnreachedError(TargetUnavailableError):
    """A target is unreachable or rejects the admin login: nothing was sent."""

    code = "target-unreached"


class TargetRefusedError(DeniedError):
    """A target refused the admin access."""

    code = "target-refused"
    remedy = "give the admin access the rights that it needs in the target"


class NameTakenError(DeniedError):
    """The name to mint exists in the target."""

    code = "name-taken"
    remedy = "what was minted under the name before is revoked; ask for another credential"


class RenewalUnsupportedError(TargetRefusedError):
    """A target cannot extend a credential."""

    code = "renewal-unsupported"
    remedy = "leave out `renewable` in the target's file; ask for another credential instead"


MAX_KEPT = 8_192
"""Bytes of what is kept of one credential."""


@runtime_checkable
class StoresRevocation(Protocol):
    """A target that revokes by stored data; thread-safe.

    `mint` MUST set `Minted.kept`, 8 to `MAX_KEPT` bytes of text; if a minted secret cannot be handed out or
    kept, `mint` MUST try to end it before it raises. `revoke` MUST return `ExpiresAt`, `look` MUST raise
    `TargetRefusedError`, and `sweep` finds nothing.
    """

    @property
    def lasts(self) -> int:
        """Returns the longest life in seconds, 1 to a day; `mint` MUST refuse more."""

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:
        """Ends the credential that this was kept of; repeatable after any interruption.

        `ends` is when it ends by itself. Returns and raises as `revoke`: `Gone` only if the system showed it
        afterwards.
        """


@runtime_checkable
class Restarts(Protocol):
    """A target that is swept after each of its restarts; thread-safe."""

    def starts(self, *, patience: float) -> tuple[str, ...]:
        """Returns what identifies each part's current start, at least one. MUST change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTarget:
    """A target as declared."""

    namespace: str
    name: str
    file: bytes
    """Its file as canonical JSON (`core.target.parse_target_file`)."""
    identity: str
    """Digest of the target's identity."""
    state: TargetState
    sealed: str
    """Its admin access as only the broker can read it: a JWE."""
    number: int = 1
    """How many admin accesses it had."""
    trouble: str = ""
    """Why the last preflight failed, in our words; empty where it didn't."""
    begun: Instant | None = None
    """When the last preflight began: its canaries were made at this instant (`Credential.made`)."""
    tested: Instant | None = None
    """When the last preflight was over."""
    version: int = 1


class TargetReads(Protocol):
    """Reads targets."""

    def target(self, namespace: str, name: str) -> StoredTarget | None:
        pass

    def targets(self, namespace: str) -> tuple[StoredTarget, ...]:
        pass

    def all_targets(self) -> tuple[StoredTarget, ...]:
        """Returns targets of all namespaces, by namespace and name."""

    def mark(self) -> str:
        """Returns the installation's mark (`core.credential.name`), '' before there is one."""

    def has_epoch(self, epoch: int, since: Instant) -> bool:
        """Whether the log has the record of this epoch, found by a broker at this instant."""


class TargetWrites(TargetReads, Protocol):
    """Writes targets."""

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        pass

    def put_target(self, target: StoredTarget, *, expect: int) -> None:
        """Overwrites version `expect`, 0 for a new row. MUST raise `ConflictError` for another version."""

    def drop_target(self, namespace: str, name: str) -> None:
        """Deletes it; `ToolWrites.drop_server` deletes server and tools."""

    def put_mark(self, mark: str) -> None:
        """Stores the mark. MUST raise `ConflictError` if there is one."""

    def put_epoch(self, epoch: int, since: Instant) -> None:
        """Notes that its record is written. MUST raise `ConflictError` if it is noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintOrder:
    """What to mint."""

    name: str
    """What the target calls it (`core.credential.name`)."""
    ends: Instant
    """When it ends there by itself, in whole seconds (`core.credential.end_in_target`)."""
    context: Mapping[str, str] = field(default_factory=dict)
    """What the kind leaves to who asks: values by name."""
    whom: AssertionParties | None = None
    """The requester and agent, for systems that record them; None for a canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """The minted values; hidden in repr."""

    open: Mapping[str, str]
    """What may be shown: by the name of the variable that programs of the target read."""
    secret: Mapping[str, str] = field(repr=False)
    """What may not."""
    kept: str = field(default="", repr=False)
    """What the target needs beside its name to end it (`StoresRevocation`); only the broker sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a target shows under a name."""

    exists: bool
    """Whether anything of it is there."""
    open: int
    """How many sessions of it are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The target showed that nothing of it exists and no session is open."""

    cut: int
    """How many sessions were ended."""
    notes: tuple[str, ...] = ()
    """What else was done, for the record: what it owned and who has it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiresAt:
    """The target cannot revoke it: it expires at this instant, and sessions open by then may go on."""

    until: Instant


K_contra = TypeVar("K_contra", contravariant=True)


class Target(Protocol[K_contra]):
    """One system with its admin access; `K_contra` is the type of its credential kinds.

    Each call MUST end within its patience, also if the system hangs. It MUST raise `TargetUnavailableError`
    if the system is unreachable, too slow or not itself (certificate, read-only follower),
    `TargetUnreachedError` only if certainly nothing was sent, and `TargetRefusedError` if the admin access is
    refused. Other errors count as `TargetUnavailableError`. No error or log may hold a secret. Thread-safe.
    """

    def mint(self, order: MintOrder, kind: K_contra, *, patience: float) -> Minted:
        """Whole or not at all; MUST expire at `order.ends` if it can. May raise NameTakenError."""

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:
        """A missing or revoked one MUST NOT become usable. Raises RenewalUnsupportedError without effect."""

    def use(self, minted: Minted, *, patience: float) -> None:
        """Uses it once as its holder would, changing nothing; raises if refused."""

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:
        """Ends it and its sessions; repeatable after any interruption.

        `ends` is its latest expiry. MUST return `Gone` only if the system showed it afterwards, never from an
        error or a "not found" in between (I-07). MUST NOT touch other names.
        """

    def look(self, name: str, *, patience: float) -> Shown:
        pass

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        """Yields all names with this prefix, unordered."""
