"""Ports of targets: the system, what is kept, and discovery.

Of `discovery`:

Not every target can: what can't is no `Discovers`, and is said to be none.

Of `keeping`:

Such a target keeps something of each credential, which the broker seals to itself. It is no `Keeps` where the
credential's name is enough.

Of `starting`:

Most can't: what they say to have done stays done.
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
    from taskbound.core.target.kind import Standing
    from taskbound.core.tool.oauth.token import Whom


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What was found in one target."""

    found: tuple[Standing, ...]
    """The worst first (`core.target.standing`, rule 3)."""
    count: int
    """How many there are, those that are not among `found` too."""
    notes: tuple[str, ...] = ()
    """What could not be seen, in words of ours."""
    whole: bool = True
    """Whether nothing was passed over that may let somebody in, by bounds or for want of rights."""


@runtime_checkable
class Discovers(Protocol):
    """A target that can be looked through; used by several threads at once."""

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        """What lets anybody in there, and is not minted here.

        It MUST change nothing, MUST leave out exactly what these installations' marks name
        (`core.credential.pattern_of`) and nothing else, and MUST answer no more than `most` of the rest,
        the worst of them. No secret, no part and no digest of one may be in it. It raises as the calls of
        `ports.target.Target` do.
        """


class TargetUnavailableError(UnavailableError):
    """A target can't be reached, or didn't answer in time."""

    code = "target-unavailable"
    remedy = "look at the target; what has to be revoked there is tried again until it is gone"


class TargetUnreachedError(TargetUnavailableError):
    """A target can't be reached, or lets nobody in with this admin access: nothing was sent to it."""

    code = "target-unreached"


class TargetRefusedError(DeniedError):
    """A target said no to the admin access."""

    code = "target-refused"
    remedy = "give the admin access the rights that it needs in the target"


class NameTakenError(DeniedError):
    """A target has what is to be minted already."""

    code = "name-taken"
    remedy = "what was minted under the name before is revoked; ask for another credential"


class RenewalUnsupportedError(TargetRefusedError):
    """A target has no means to let anything live longer than it was minted for."""

    code = "renewal-unsupported"
    remedy = "leave out `renewable` in the target's file; ask for another credential instead"


MAX_KEPT = 8_192
"""Bytes of what is kept of one credential."""


@runtime_checkable
class Keeps(Protocol):
    """A target that ends a credential by what was kept of it; used by several threads at once.

    Its `mint` MUST set `Minted.kept`: 8 to `MAX_KEPT` bytes of text. Where something was given that can't be
    handed out or kept, `mint` MUST try to end it before it raises. Its `revoke` MUST answer `Left`, as
    nothing can be found by a name; `look` MUST raise `TargetRefusedError`, and `sweep` finds nothing.
    """

    @property
    def lasts(self) -> int:
        """Seconds that anything lives there at most, whatever was asked for: 1 to a day.

        `mint` MUST refuse what would live for longer.
        """

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | Left:
        """End what this was kept of; as well after an earlier call, wherever that one was cut off.

        `ends` is when it ends there by itself at the latest. It answers and raises as `revoke` does: `Gone`
        only for what the system showed afterwards of exactly this credential.
        """


@runtime_checkable
class Restarts(Protocol):
    """A target that is looked through as soon as it was started anew; used by several threads at once."""

    def starts(self, *, patience: float) -> tuple[str, ...]:
        """What tells this start of each of its parts from each other start; one part at least.

        It MUST change nothing, and raises as the calls of `ports.target.Target` do.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTarget:
    """A target as a person declared it."""

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
    """Reads them."""

    def target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target of this name."""

    def targets(self, namespace: str) -> tuple[StoredTarget, ...]:
        """Every target, by name."""

    def all_targets(self) -> tuple[StoredTarget, ...]:
        """Those of every namespace, by namespace and name."""

    def mark(self) -> str:
        """What tells this installation's names apart (`core.credential.name`); empty before there is one."""

    def has_epoch(self, epoch: int, since: Instant) -> bool:
        """Whether the log has the record of this epoch, which a broker found at this instant."""


class TargetWrites(TargetReads, Protocol):
    """Writes them."""

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target, which nobody else changes until this transaction is over."""

    def put_target(self, target: StoredTarget, *, expect: int) -> None:
        """Write it over the row of this version; 0 for one that must not exist.

        MUST raise `ConflictError` if that is not the row's.
        """

    def drop_target(self, namespace: str, name: str) -> None:
        """Take it away. Its server and tools are taken away by `ToolWrites.drop_server`."""

    def put_mark(self, mark: str) -> None:
        """Keep the mark. MUST raise `ConflictError` where there is one."""

    def put_epoch(self, epoch: int, since: Instant) -> None:
        """Keep that its record is written. MUST raise `ConflictError` where it is kept already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintOrder:
    """What is to be minted."""

    name: str
    """What the target calls it (`core.credential.name`)."""
    ends: Instant
    """When it ends there by itself, in whole seconds (`core.credential.end_in_target`)."""
    context: Mapping[str, str] = field(default_factory=dict)
    """What the kind leaves to who asks: values by name."""
    whom: Whom | None = None
    """For whom it is, and who acts, where a system is told that; None of a canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """What who asked needs to use it; it has no repr of its values."""

    open: Mapping[str, str]
    """What may be shown: by the name of the variable that programs of the target read."""
    secret: Mapping[str, str] = field(repr=False)
    """What may not."""
    kept: str = field(default="", repr=False)
    """What the target needs to end it, where its name is not enough (`ports.target.keeping`); nobody but the
    broker sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a target shows under a name."""

    exists: bool
    """Whether anything of it is there."""
    open: int
    """How many sessions of it are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The target itself showed that nothing of it is there, and that none of its sessions is open."""

    cut: int
    """How many sessions were ended."""
    notes: tuple[str, ...] = ()
    """What else was done, for the record: what it owned and who has it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The target has no means to end it: it ends by itself at this instant.

    What is open by then may go on, where the target has no means to end that either.
    """

    until: Instant


K_contra = TypeVar("K_contra", contravariant=True)


class Target(Protocol[K_contra]):
    """One system with its admin access; `K_contra` is what its kinds of credentials are.

    Each call MUST return or raise within its patience, also where the system accepts a connection and then
    says nothing. It MUST raise `TargetUnavailableError` where the system can't be reached, is not itself (its
    certificate, a follower that can't be written to) or is too slow, `TargetUnreachedError` only where it is
    certain that nothing of the call was sent, and `TargetRefusedError` where the admin access is refused
    something. Any other error is taken as `TargetUnavailableError`. No error, and nothing that is logged, may
    hold a secret, the admin access' neither. It is used by several threads at once.
    """

    def mint(self, order: MintOrder, kind: K_contra, *, patience: float) -> Minted:
        """Make it, whole or not at all.

        It MUST end by itself at `order.ends`, where the system has means for that. Where anything of this
        name is there already, nothing of it MUST be changed.

        Raises:
            NameTakenError: Something of this name is there.
        """

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:
        """Let it end there by itself at this instant; nothing else of it changes.

        What is not there, or was revoked, MUST NOT be able to begin anything by that: a call may arrive late.

        Raises:
            RenewalUnsupportedError: The system can't move an end; then it did nothing.
        """

    def use(self, minted: Minted, *, patience: float) -> None:
        """Use it once as who asked would, and change nothing; raises where that is refused."""

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone | Left:
        """End it, and what is open with it; as well after an earlier call, wherever that one was cut off.

        `ends` is when it ends there by itself at the latest: of what nobody knows, the latest there may be.
        It MUST answer `Gone` only for what the system showed afterwards: no error and no "not found" of
        anything between is taken for it (I-07). It MUST touch nothing of another name.
        """

    def look(self, name: str, *, patience: float) -> Shown:
        """What is there under a name."""

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        """The names that begin like this of all that is there, in no order."""
