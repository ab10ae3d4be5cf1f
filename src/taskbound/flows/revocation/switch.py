"""Throwing and lifting the kill switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit import KillSwitchChanged
from taskbound.core.revocation import throw

if TYPE_CHECKING:
    from taskbound.core.revocation import KillSwitch
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


def stop(means: Means, namespace: str, *, stopped: bool, reason: str, actor: Actor) -> KillSwitch:
    """The switch, thrown or lifted and durable; the same again changes nothing.

    Throwing may use the store's reserve: a full disk does not keep anybody from stopping.
    """

    def work(tx: Transaction) -> KillSwitch:
        before = tx.revocation.lock_kill_switch(namespace, moves=True)
        after = throw(before, stopped=stopped, reason=reason)
        if after == before:
            return before
        tx.revocation.put_kill_switch(namespace, after, expect=before.epoch)
        event = KillSwitchChanged(
            stopped=stopped, epoch=after.epoch, reason=reason, by=actor.name, proof=actor.proof
        )
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return after

    return means.store.write(work, reserve=stopped)
