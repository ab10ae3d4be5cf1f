"""What was answered under a key, in rows: who inserts one has begun it, a conflict is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.identity.answered import Answered

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link


_OVER: Final = "DELETE FROM answered WHERE namespace = ? AND principal = ? AND key = ? AND until < ?"
_BEGIN: Final = (
    "INSERT INTO answered (namespace, principal, key, request, until, answer) VALUES (?, ?, ?, ?, ?, '')"
    " ON CONFLICT (namespace, principal, key) DO NOTHING"
)
_KNOWN: Final = (
    "SELECT namespace, principal, key, request, until, answer FROM answered"
    " WHERE namespace = ? AND principal = ? AND key = ?"
)
_FINISH: Final = (
    "UPDATE answered SET answer = ? WHERE namespace = ? AND principal = ? AND key = ? AND request = ?"
)
_FORGET: Final = (
    "DELETE FROM answered WHERE namespace = ? AND principal = ? AND key = ? AND request = ? AND answer = ''"
)
_SWEEP: Final = (
    "DELETE FROM answered WHERE (namespace, principal, key) IN"
    " (SELECT namespace, principal, key FROM answered WHERE until < ? ORDER BY until LIMIT ?)"
)


class SqlAnswered:
    """Keeps them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def begin(self, row: Answered, *, now: Instant) -> Answered | None:
        """Keep a key without an answer; or what is kept under it."""
        key = (row.namespace, row.principal, row.key)
        self._link.change(_OVER, (*key, now))
        if self._link.change(_BEGIN, (*key, row.request, row.until)) == 1:
            return None
        return self._link.one(_read, _KNOWN, key)

    def finish(self, row: Answered) -> None:
        """Keep the answer of one that was begun."""
        self._link.change(_FINISH, (row.answer, row.namespace, row.principal, row.key, row.request))

    def forget(self, row: Answered) -> None:
        """Forget one that has no answer."""
        self._link.change(_FORGET, (row.namespace, row.principal, row.key, row.request))

    def sweep(self, before: Instant, *, limit: int) -> int:
        """Forget those whose time was over before this."""
        return self._link.change(_SWEEP, (before, limit))


def _read(namespace: str, principal: str, key: str, request: str, until: int, answer: str) -> Answered:
    return Answered(
        namespace=namespace,
        principal=principal,
        key=key,
        request=request,
        until=Instant(until),
        answer=answer,
    )
