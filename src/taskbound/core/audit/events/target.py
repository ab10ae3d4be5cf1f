"""Events of targets; see `core.audit.events`. No event holds an admin access, or the words of a target."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAdded:
    """A target was declared. It has no tools before its first test was over."""

    kind: ClassVar[str] = "target-added"
    target: str
    identity: str
    """Digest of the target's identity."""
    of: str
    """What kind of system it is."""
    owner: str
    approvers: tuple[str, ...]
    """Persons, and groups as `group:NAME`."""
    credentials: tuple[str, ...]
    """The kinds of credentials that it declares."""
    sealed: str
    """SHA-256 of its admin access as it is sealed, in hexadecimal."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetAdminSet:
    """The broker was given another admin access of a target; it is known to the broker alone."""

    kind: ClassVar[str] = "target-admin-set"
    target: str
    identity: str
    number: int
    sealed: str
    """SHA-256 of what was sealed, in hexadecimal."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTestBegun:
    """A target's preflight is under way."""

    kind: ClassVar[str] = "target-test-begun"
    target: str
    identity: str
    canaries: tuple[str, ...]
    """Ids of the credentials that are minted for it, one of each kind."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTested:
    """A target's preflight is over."""

    kind: ClassVar[str] = "target-tested"
    target: str
    identity: str
    before: str
    after: str
    """Where it stands: `refused`, or `ready`, which it stays whatever a later test shows."""
    trouble: str = ""
    """Why it failed, in our words; empty where it worked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRemoved:
    """A target and its tools were taken away; nothing of ours was left in it."""

    kind: ClassVar[str] = "target-removed"
    target: str
    identity: str
    by: str
    proof: str


TargetEvent: TypeAlias = TargetAdded | TargetAdminSet | TargetTestBegun | TargetTested | TargetRemoved
"""Whatever is recorded of targets."""
