"""Bearers of tasks, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.ports.task import StoredBearer

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link

__all__ = ["SqlBearers"]

_ONE: Final = "SELECT namespace, task, digest, made FROM task_bearers WHERE namespace = ? AND task = ?"
_PUT: Final = (
    "INSERT INTO task_bearers (namespace, task, digest, made) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (namespace, task) DO UPDATE SET digest = excluded.digest, made = excluded.made"
)


class SqlBearers:
    """Reads bearers through one connection, and writes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def bearer(self, namespace: str, task: str) -> StoredBearer | None:
        """That of this task."""
        return self._link.one(_bearer, _ONE, (namespace, task))

    def put_bearer(self, bearer: StoredBearer) -> None:
        """Keep this one in place of the one before."""
        self._link.change(_PUT, (bearer.namespace, bearer.task, bearer.digest, bearer.made))


def _bearer(namespace: str, task: str, digest: str, made: int) -> StoredBearer:
    return StoredBearer(namespace=namespace, task=task, digest=digest, made=Instant(made))
