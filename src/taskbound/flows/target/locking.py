"""Targets under lock, for those who change them.

Tools are locked before the target that they are of: a decision has locked the tool when it writes a
credential of it, and what is looked for behind both locks is all that there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.tool.name import shown
from taskbound.flows.target.errors import UnknownTargetError

if TYPE_CHECKING:
    from taskbound.ports.store import Transaction
    from taskbound.ports.target import StoredTarget

__all__ = ["lock_known", "lock_whole"]


def lock_known(tx: Transaction, namespace: str, name: str) -> StoredTarget:
    """The target, under lock.

    Raises:
        UnknownTargetError: There is none of this name.
    """
    found = tx.targets.lock_target(namespace, name)
    if found is None:
        raise UnknownTargetError(f"no target is named `{shown(name)}`")
    return found


def lock_whole(tx: Transaction, namespace: str, name: str) -> StoredTarget:
    """The target, under lock with all its tools; raises as `lock_known`."""
    tx.tools.lock_tools(namespace, [one.name for one in tx.tools.tools(namespace, server=name)])
    return lock_known(tx, namespace, name)
