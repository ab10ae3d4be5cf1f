"""Comparing the bundles of policies with the log: what is kept, what was put in force, and what is.

1. A row is what the record says whose number it has, and a record has its row. So what was recorded while
   the log was read counts too.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.audit import PolicyActivated, PolicyProposed, PolicyRebased, PolicyRolledBack
from taskbound.core.dataclass import dataclass
from taskbound.core.policy import DamagedBundleError, InForce
from taskbound.flows.policy.engines import recorded, require_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Event, Record
    from taskbound.ports.store import Snapshot


_Told: TypeAlias = "tuple[InForce, str, str]"
"""What was put in force, how, and by whom."""


@dataclass(slots=True)
class PolicyLedger:
    """What the log says of bundles."""

    snapshot: Snapshot
    bundles: dict[str, dict[str, None]] = field(default_factory=dict)
    activations: dict[str, dict[int, _Told]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Follow one record."""
        space, event = record.namespace, record.event
        known = self.bundles.setdefault(space, {})
        if isinstance(event, PolicyProposed | PolicyRebased | PolicyRolledBack) and event.bundle:
            known[event.bundle] = None
        told = _told(event)
        if told is not None:
            self.activations.setdefault(space, {})[told[0].epoch] = told

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        for space in sorted({*self.bundles, *self.snapshot.policy.governed()}):
            yield from self._bundles(space)
            yield from self._activations(space)

    def _bundles(self, space: str) -> Iterator[str]:
        rows = {one.digest: one for one in self.snapshot.policy.bundles(space)}
        for digest in self.bundles.get(space, {}):
            if digest not in rows:
                yield f"policy bundle {digest} was recorded, and is not there"
        for digest, row in rows.items():
            try:
                require_bundle(self.snapshot, space, digest)
            except DamagedBundleError as error:
                yield error.message
                continue
            event = recorded(self.snapshot, space, row.record)
            if isinstance(event, PolicyProposed) and event.note != row.note:
                yield f"policy bundle {digest} has another note than its record"

    def _activations(self, space: str) -> Iterator[str]:
        rows = {one.force.epoch: one for one in self.snapshot.policy.activations(space)}
        for epoch in self.activations.get(space, {}):
            if epoch not in rows:
                yield f"activation {epoch} in {space} was recorded, and is not there"
        for epoch, row in rows.items():
            event = recorded(self.snapshot, space, row.record)
            if event is None or _told(event) != (row.force, row.how, row.by):
                yield f"activation {epoch} in {space} is not as its record says"
        now = self.snapshot.policy.in_force(space)
        if now != (rows[max(rows)].force if rows else InForce()):
            yield f"the policy bundle in force in {space} is not what was put in force last"


def _told(event: Event) -> _Told | None:
    """What an event says was put in force; None when it says nothing of the kind."""
    match event:
        case PolicyActivated(bundle=digest, epoch=epoch, by=by):
            return InForce(epoch=epoch, digest=digest), "activated", by
        case PolicyRolledBack(bundle=digest, epoch=epoch, by=by):
            return InForce(epoch=epoch, digest=digest), "rolled-back", by
        case PolicyRebased(bundle=digest, epoch=epoch):
            return InForce(epoch=epoch, digest=digest), "rebased", "daemon"
        case _:
            return None
