"""Targets, in which credentials are minted. No message here holds an admin access that can be read."""

from __future__ import annotations

from typing import Literal

import msgspec

from taskbound.wire.frame import Message


class AddTarget(Message, frozen=True, tag="target:add", tag_field="op"):
    """Declare a target, and have its preflight made. An act of whoever says what may be granted."""

    file: msgspec.Raw
    """The target's file, as JSON (`core.target.parse_target_file`)."""
    sealed: str
    """Its admin access, sealed to the broker for the slot `admin:access`, with the number 1."""


class TestTarget(Message, frozen=True, tag="target:test", tag_field="op"):
    """Have its preflight made once more. A person's act."""

    name: str


class SetAdmin(Message, frozen=True, tag="target:admin", tag_field="op"):
    """Give the broker another admin access of a target. An act of whoever says what may be granted."""

    name: str
    sealed: str
    number: int
    """One more than the number of the one before (`TargetRow.number`)."""


class RemoveTarget(Message, frozen=True, tag="target:remove", tag_field="op"):
    """Take a target away, in which nothing of ours is left. An act of whoever says what may be granted."""

    name: str


class ListTargets(Message, frozen=True, tag="target:list", tag_field="op"):
    """Ask for every target, or the one of this name."""

    name: str = ""


class TargetTesting(Message, frozen=True, tag="target-testing", tag_field="is"):
    """A preflight is under way: its canaries are written down."""

    name: str
    identity: str
    credentials: tuple[str, ...]
    """Ids of the canaries, one of each kind."""


class KindRow(Message, frozen=True):
    """One kind of credential."""

    name: str
    tool: str
    """As what it is asked for: `TARGET__credential/KIND`."""
    description: str
    seconds: int
    effect: str
    parameters: tuple[str, ...] = ()
    renewable: bool = False
    """Whether one that lives may be asked to live longer."""


class TargetRow(Message, frozen=True, tag="target", tag_field="is"):
    """One target."""

    name: str
    kind: str
    where: msgspec.Raw
    """What its file says of the place, as JSON."""
    owner: str
    approvers: tuple[str, ...]
    identity: str
    state: Literal["untested", "refused", "ready"]
    number: int
    kinds: tuple[KindRow, ...]
    revocable: bool
    """Whether what was minted there can be ended before it ends by itself, as the target's file says."""
    trouble: str = ""
    """Why the last preflight failed."""
    tested: int | None = None
    """Instant at which the last preflight was over."""
    swept: int | None = None
    """Instant of the last sweep that this daemon was told of."""
    living: int = 0
    """How many credentials live there; 1,000 at most are counted."""
    revoking: int = 0
    """How many are being revoked; 1,000 at most are counted."""
    left: int = 0
    """How many may be of use until they end by themselves: nothing ends them. 1,000 at most are counted."""
    left_until: int | None = None
    """Instant at which the last of these has ended, at the latest; none where there are none."""


class TargetRows(Message, frozen=True, tag="targets", tag_field="is"):
    """Targets, by name."""

    rows: tuple[TargetRow, ...]
    broker: bool
    """Whether a broker is connected to this daemon."""
    epoch: int = 0
    """Of the store, as the broker counts: one more each time that it was restored; 0 where no broker says."""
    doubted: int = 0
    """Instant since which the broker takes it for restored, and nothing is minted; 0 where it doesn't."""
    doubt: str = ""
    """What that was found by."""
    doubted_targets: int = 0
    """Targets, of all namespaces, that have not shown so far that nothing is left in them."""
