"""What is owed by whatever mints credentials in a system, and proves that they are gone."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeVar

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.tool.oauth.exchange import Whom


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
