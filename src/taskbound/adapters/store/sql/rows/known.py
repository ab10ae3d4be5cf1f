"""What the connection that writes knows of rows without reading them again, and how long that is true.

1. A row is known only from a transaction that read or wrote it under the write lock.
2. A write forgets all that is known of its table, whoever asks for it; one whose table
   can't be told from its text forgets everything.
3. The store keeps what a transaction knew only once that has committed. After anything
   else (a conflict, a full disk, a commit without an answer) nothing is known.
4. A commit of any other connection, of this process or another, shows in SQLite's data
   version, which the store asks for under the write lock: after it nothing is known.
5. What is known is bounded.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from taskbound.core.policy import InForce
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import TaskHead


V = TypeVar("V")
_MOST: Final = 2048
_WRITES: Final = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)\s")


@dataclass(slots=True)
class Known:
    """By table and key: rows as the transaction would read them; None where no row is."""

    version: int
    """SQLite's data version when this began (rule 4)."""
    agents: dict[tuple[str, str], int | None] = field(default_factory=dict)
    tools: dict[tuple[str, str], int | None] = field(default_factory=dict)
    tasks: dict[tuple[str, str], tuple[TaskHead, ...] | None] = field(default_factory=dict)
    """A task's head, and those of its ancestors."""
    remainders: dict[tuple[str, str], dict[str, int] | None] = field(default_factory=dict)
    kill_switches: dict[str, KillSwitch] = field(default_factory=dict)
    bundles_in_force: dict[str, InForce] = field(default_factory=dict)
    writers: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    """Under an empty name: how many there are."""

    def forget(self, text: str) -> None:
        """A statement of this text writes (rule 2)."""
        table = _table(text)
        for name in (table,) if table else _TABLES:
            rows = getattr(self, name, None)
            if rows is not None:
                rows.clear()


_TABLES: Final = (
    "agents", "tools", "tasks", "remainders", "kill_switches", "bundles_in_force", "writers", "records",
)  # fmt: skip  # a list of words reads better as words


@lru_cache(maxsize=256)
def _table(text: str) -> str:
    """The table that a statement writes; empty when that can't be told."""
    found = _WRITES.match(text)
    return found[1] if found else ""


def look_up(
    rows: dict[tuple[str, str], V | None],
    namespace: str,
    names: Collection[str],
    read: Callable[[Collection[str]], Mapping[str, V]],
) -> dict[str, V]:
    """By name: the rows of these names that there are; what is not known is read, all of it at once.

    Args:
        rows: What is known of their table.
        namespace: Of all the names.
        names: Of rows.
        read: Answers the rows of names.
    """
    found: dict[str, V] = {}
    missing: list[str] = []
    for name in names:
        key = (namespace, name)
        if key in rows:
            row = rows[key]
            if row is not None:
                found[name] = row
        else:
            missing.append(name)
    if missing:
        fresh = read(missing)
        if len(rows) + len(missing) > _MOST:
            rows.clear()  # 5
        for name in missing:
            rows[namespace, name] = fresh.get(name)
        found.update(fresh)
    return found
