"""A target under lock, for those who change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.tool.name import shown
from taskbound.flows.target.errors import UnknownTargetError

if TYPE_CHECKING:
    from taskbound.ports.store import Transaction
    from taskbound.ports.target import StoredTarget


def lock_known(tx: Transaction, namespace: str, name: str) -> StoredTarget:
    """The target, under lock.

    Raises:
        UnknownTargetError: There is none of this name.
    """
    found = tx.targets.lock_target(namespace, name)
    if found is None:
        raise UnknownTargetError(f"no target is named `{shown(name)}`")
    return found
