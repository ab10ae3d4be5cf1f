"""Bundles of policies, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.policy import InForce

if TYPE_CHECKING:
    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.ports.policy import BundleActivation, StoredBundle

__all__ = ["MemoryPolicy"]


class MemoryPolicy:
    """Reads the bundles of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def bundle(self, namespace: str, digest: str) -> StoredBundle | None:
        """The bundle of this digest."""
        return self._tables.live().bundles.get((namespace, digest))

    def bundles(self, namespace: str) -> tuple[StoredBundle, ...]:
        """Every bundle without its archive, newest first."""
        found = [one for one in self._tables.live().bundles.values() if one.namespace == namespace]
        found.sort(key=lambda one: (one.at, one.digest), reverse=True)
        return tuple(replace(one, archive=b"") for one in found)

    def in_force(self, namespace: str) -> InForce:
        """What is in force; in an untouched namespace the base alone, epoch 0."""
        return self._tables.live().bundles_in_force.get(namespace) or InForce()

    def activations(self, namespace: str) -> tuple[BundleActivation, ...]:
        """How that came about, newest first."""
        found = [one for one in self._tables.live().activations.values() if one.namespace == namespace]
        return tuple(sorted(found, key=lambda one: one.force.epoch, reverse=True))

    def governed(self) -> tuple[str, ...]:
        """Every namespace in which a bundle was put in force, in order."""
        return tuple(
            sorted(name for name, force in self._tables.live().bundles_in_force.items() if force.epoch)
        )

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> InForce:  # noqa: ARG002 - alone anyway
        """What is in force; the transaction holds the one lock there is."""
        return self.in_force(namespace)

    def insert_bundle(self, bundle: StoredBundle) -> None:
        """Keep it."""
        key = (bundle.namespace, bundle.digest)
        if self._tables.live().bundles.get(key) is not None:
            self._tables.conflict(f"policy bundle `{bundle.digest}`")
        self._tables.bundles.put(key, bundle)

    def put_in_force(self, activation: BundleActivation, *, expect: int) -> None:
        """Make it what is in force."""
        namespace, force = activation.namespace, activation.force
        if self.in_force(namespace).epoch != expect or self._tables.activations.get((namespace, force.epoch)):
            self._tables.conflict("the policy bundle in force")
        self._tables.activations.put((namespace, force.epoch), activation)
        self._tables.bundles_in_force.put(namespace, force)
