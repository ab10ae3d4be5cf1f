"""Targets that are seen in another one: that is there before them, and stays for as long as they do.

1. What is said to see a target is a target of the same namespace, and one that needs no other.
2. It is not taken away before what is seen in it: another one that gets its name would show nothing of what
   was minted, and that would be taken for gone (I-07).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.target import OpenbaoPlace, parse_target_file
from taskbound.flows.target.errors import TargetInUseError, UnknownTargetError

if TYPE_CHECKING:
    from taskbound.core.target import TargetFile
    from taskbound.ports.store import Transaction


def require_seen(tx: Transaction, namespace: str, declared: TargetFile) -> None:
    """Go on only where that which is to see it is there (rule 1).

    Raises:
        UnknownTargetError: It is not.
    """
    name = _seen_in(declared)
    if not name:
        return
    stored = tx.targets.lock_target(namespace, name)
    if stored is None:
        raise UnknownTargetError(
            f"`{declared.name}` is to be seen in `{name}`, and there is no such target",
            remedy=f"declare `{name}` first, or leave out `seen_in`",
        )
    place = parse_target_file(stored.file).place
    if isinstance(place, OpenbaoPlace) or not place.revocable:
        raise UnknownTargetError(
            f"`{declared.name}` is to be seen in `{name}`, which sees nothing by itself",
            remedy="name the target of the database as `seen_in`",
        )


def require_nothing_seen(tx: Transaction, namespace: str, name: str) -> None:
    """Go on only where no target is seen in this one (rule 2); it is locked.

    Raises:
        TargetInUseError: One is.
    """
    for stored in tx.targets.targets(namespace):
        if _seen_in(parse_target_file(stored.file)) == name:
            raise TargetInUseError(
                f"what is minted in target `{stored.name}` is seen in target `{name}`",
                remedy=f"take `{stored.name}` away first",
            )


def _seen_in(file: TargetFile) -> str:
    return file.place.seen_in if isinstance(file.place, OpenbaoPlace) else ""
