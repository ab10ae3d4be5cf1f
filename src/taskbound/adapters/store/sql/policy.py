"""Policy bundles, the kill switch and the feed's entries in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.record import FLAG, Form, reader
from taskbound.adapters.store.sql.rows import TableGroup
from taskbound.core.clock import Instant
from taskbound.core.policy import ActiveBundle
from taskbound.core.revocation import About, Entry, FeedEvent, KillSwitch, Thing
from taskbound.ports.policy import BundleActivation, StoredBundle

if TYPE_CHECKING:
    from collections.abc import Sequence


_BUNDLE: Final = (
    "SELECT namespace, digest, archive, author, at, note, record FROM bundles"
    " WHERE namespace = ? AND digest = ?"
)
_BUNDLES: Final = (
    "SELECT namespace, digest, NULL, author, at, note, record FROM bundles WHERE namespace = ?"
    " ORDER BY at DESC, digest DESC"
)
_KEEP: Final = (
    "INSERT INTO bundles (namespace, digest, archive, author, at, note, record) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_IN_FORCE: Final = "SELECT epoch, digest FROM bundles_in_force WHERE namespace = ?"
_TOUCH: Final = (
    "INSERT INTO bundles_in_force (namespace, epoch, digest) VALUES (?, 0, '') ON CONFLICT DO NOTHING"
)
_MOVE: Final = "UPDATE bundles_in_force SET epoch = ?, digest = ? WHERE namespace = ? AND epoch = ?"
_GOVERNED: Final = "SELECT namespace FROM bundles_in_force WHERE epoch > 0 ORDER BY namespace"
_ACTIVATIONS: Final = (
    "SELECT namespace, epoch, digest, how, actor, at, record FROM activations WHERE namespace = ?"
    " ORDER BY epoch DESC"
)
_ACTIVATE: Final = (
    "INSERT INTO activations (namespace, epoch, digest, how, actor, at, record) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


read_force: Final = reader("epoch digest", ActiveBundle)
read_switch: Final = reader("stopped epoch reason", KillSwitch, stopped=FLAG)
_read_bundle: Final = reader(
    "namespace digest archive author at note record",
    StoredBundle,
    archive=Form(lambda column: bytes(column or b"")),
)


class SqlPolicy(TableGroup):
    """Bundles."""

    __slots__ = ()

    def bundle(self, namespace: str, digest: str) -> StoredBundle | None:
        return self._link.one(_read_bundle, _BUNDLE, (namespace, digest))

    def bundles(self, namespace: str) -> tuple[StoredBundle, ...]:
        """Returns every bundle without its archive, newest first."""
        return self._link.all(_read_bundle, _BUNDLES, (namespace,))

    def in_force(self, namespace: str) -> ActiveBundle:
        return self._link.one(read_force, _IN_FORCE, (namespace,)) or ActiveBundle()

    def activations(self, namespace: str) -> tuple[BundleActivation, ...]:
        """Returns the activations, newest first."""
        return self._link.all(_activation, _ACTIVATIONS, (namespace,))

    def governed(self) -> tuple[str, ...]:
        """Returns every namespace in which a bundle was activated, in order."""
        return self._link.all(str, _GOVERNED)

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> ActiveBundle:  # noqa: ARG002 - alone anyway
        known = self._link.known
        if known is None:
            return self.in_force(namespace)
        force = known.bundles_in_force.get(namespace)
        if force is None:
            force = known.bundles_in_force[namespace] = self.in_force(namespace)
        return force

    def insert_bundle(self, bundle: StoredBundle) -> None:
        values = (
            bundle.namespace,
            bundle.digest,
            bundle.archive,
            bundle.author,
            bundle.at,
            bundle.note,
            bundle.record,
        )
        if self._link.change(_KEEP, values) != 1:
            self._link.conflict(f"policy bundle `{bundle.digest}`")

    def put_in_force(self, activation: BundleActivation, *, expect: int) -> None:
        namespace, force = activation.namespace, activation.force
        if expect == 0:
            self._link.change(_TOUCH, (namespace,))
        if self._link.change(_MOVE, (force.epoch, force.digest, namespace, expect)) != 1:
            self._link.conflict("the policy bundle in force")
        values = (
            namespace,
            force.epoch,
            force.digest,
            activation.how,
            activation.by,
            activation.at,
            activation.record,
        )
        self._link.change(_ACTIVATE, values)


def _activation(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str, epoch: int, digest: str, how: str, actor: str, at: int, record: int
) -> BundleActivation:
    return BundleActivation(
        namespace=namespace,
        force=ActiveBundle(epoch=epoch, digest=digest),
        how=how,
        by=actor,
        at=Instant(at),
        record=record,
    )


_READ: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ?"
_REVOCATION_TOUCH: Final = (
    "INSERT INTO kill_switches (namespace, stopped, epoch, reason) VALUES (?, 0, 0, '')"
    " ON CONFLICT DO NOTHING"
)
_WRITE: Final = (
    "UPDATE kill_switches SET stopped = ?, epoch = ?, reason = ? WHERE namespace = ? AND epoch = ?"
)
_ENTRIES: Final = "SELECT place, at, namespace, about, id, turn FROM revocations WHERE at >= ?"
_ENTER: Final = (
    "INSERT INTO revocations (place, at, namespace, about, id, turn) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_FORGET: Final = (
    "DELETE FROM revocations WHERE place IN (SELECT place FROM revocations WHERE at < ? ORDER BY at LIMIT ?)"
)


class SqlRevocation(TableGroup):
    """The kill switch and the feed's entries."""

    __slots__ = ()

    def kill_switch(self, namespace: str) -> KillSwitch:
        return self._link.one(read_switch, _READ, (namespace,)) or KillSwitch()

    def entries(self, since: Instant) -> tuple[Entry, ...]:
        found = self._link.all(_read_entry, _ENTRIES, (since,))
        return tuple(sorted(found, key=lambda one: one.place))

    def put_entries(self, entries: Sequence[Entry]) -> None:
        rows = [
            (one.place, one.at, one.thing.namespace, one.thing.about.value, one.thing.id, one.turn.value)
            for one in entries
        ]
        if rows and self._link.change_many(_ENTER, rows, told=True) != len(rows):
            self._link.conflict("what a record ended")

    def forget_entries(self, before: Instant, *, limit: int) -> int:
        return self._link.change(_FORGET, (before, limit), told=True)

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:  # noqa: ARG002 - one lock
        known = self._link.known
        if known is None:
            return self.kill_switch(namespace)
        switch = known.kill_switches.get(namespace)
        if switch is None:
            switch = known.kill_switches[namespace] = self.kill_switch(namespace)
        return switch

    def put_kill_switch(self, namespace: str, switch: KillSwitch, *, expect: int) -> None:
        if expect == 0:
            self._link.change(_REVOCATION_TOUCH, (namespace,))
        values = (int(switch.stopped), switch.epoch, switch.reason, namespace, expect)
        if self._link.change(_WRITE, values) != 1:
            self._link.conflict("the kill switch")


def _read_entry(place: int, at: int, namespace: str, about: str, name: str, turn: str) -> Entry:
    thing = Thing(namespace=namespace, about=About(about), id=name)
    return Entry(place=place, at=Instant(at), thing=thing, turn=FeedEvent(turn))
