"""Claims that are kept for services, in rows: their tallies are locked, and so all of a service's claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.clock import Instant
from taskbound.core.token.served import ServedState
from taskbound.core.token.shared import LONGEST_ANSWER, SharedClaim, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskbound.adapters.store.sql.rows.link import Link, Value


T = TypeVar("T")

_CLAIM: Final = (
    "SELECT namespace, service, txn, request, claimant, until, still, state, answer FROM shared_claims"
    " WHERE namespace = ? AND service = ? AND txn = ?"
)
_DUE: Final = (
    "SELECT DISTINCT namespace, service FROM shared_claims WHERE until < ? ORDER BY namespace, service"
)
_ROW: Final = (
    "INSERT INTO shared_tallies (namespace, service, turn, claims, room, forgotten)"
    " VALUES (?, ?, 0, 0, 0, -1)"
    " ON CONFLICT (namespace, service) DO NOTHING"
)
_TALLY: Final = (
    "SELECT namespace, service, turn, claims, room, forgotten FROM shared_tallies"
    " WHERE namespace = ? AND service = ?"
)
_INSERT: Final = (
    "INSERT INTO shared_claims"
    " (namespace, service, txn, request, claimant, until, still, state, answer)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, service, txn) DO NOTHING"
)
_PUT: Final = "UPDATE shared_claims SET state = ?, answer = ? WHERE namespace = ? AND service = ? AND txn = ?"
_PUT_TALLY: Final = (
    "UPDATE shared_tallies SET turn = ?, claims = ?, room = ?, forgotten = ?"
    " WHERE namespace = ? AND service = ? AND turn < ?"
)
_DROP: Final = (
    "DELETE FROM shared_claims WHERE namespace = ? AND service = ? AND txn IN"
    " (SELECT txn FROM shared_claims WHERE namespace = ? AND service = ? AND until < ?"
    " ORDER BY until, txn LIMIT ?)"
    " RETURNING until, state, length(answer)"
)


class SqlSharedClaims:
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """The claim of a service for a transaction."""
        return self._link.one(_claim, _CLAIM, (namespace, service, txn))

    def due(self, before: Instant) -> tuple[tuple[str, str], ...]:
        """Which services have claims to be forgotten."""
        return self._link.all(_pair, _DUE, (before,))

    def lock_tally(self, namespace: str, service: str) -> Tally:
        """What is kept of a service."""
        key = (namespace, service)
        self._link.change(_ROW, key)
        (found,) = self._locked(_tally, _TALLY, key)
        return found

    def lock_claim(self, namespace: str, service: str, txn: str) -> SharedClaim | None:
        """The claim as it stands behind a locked tally."""
        return next(iter(self._locked(_claim, _CLAIM, (namespace, service, txn))), None)

    def insert(self, claim: SharedClaim) -> None:
        """Write a new claim."""
        values = (
            *(claim.namespace, claim.service, claim.txn, claim.request, claim.claimant),
            *(claim.until, claim.still, claim.state.value, claim.answer),
        )
        if self._link.change(_INSERT, values) != 1:
            self._link.conflict(f"the claim for `{claim.txn}`")

    def put(self, claim: SharedClaim) -> None:
        """Write state and answer of a claim."""
        values = (claim.state.value, claim.answer, claim.namespace, claim.service, claim.txn)
        if self._link.change(_PUT, values) != 1:
            self._link.conflict(f"the claim for `{claim.txn}`")

    def put_tally(self, tally: Tally) -> None:
        """Write what is kept of a service."""
        values = (tally.turn, tally.claims, tally.room, tally.forgotten, tally.namespace, tally.service)
        if self._link.change(_PUT_TALLY, (*values, tally.turn)) != 1:
            self._link.conflict(f"what is kept of service `{tally.service}`")

    def drop(
        self, namespace: str, service: str, before: Instant, *, limit: int
    ) -> tuple[tuple[Instant, int], ...]:
        """Forget claims of a service."""
        key = (namespace, service)
        return self._locked(_gone, _DROP, (*key, *key, before, limit))

    def _locked(self, read: Callable[..., T], text: str, values: Sequence[Value]) -> tuple[T, ...]:
        """Rows that nobody changes until the end: here there is one writer."""
        return self._link.all(read, text, values)


def _claim(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str,
    service: str,
    txn: str,
    request: str,
    claimant: str,
    until: int,
    still: int,
    state: str,
    answer: bytes,
) -> SharedClaim:
    return SharedClaim(
        namespace=namespace,
        service=service,
        txn=txn,
        request=request,
        claimant=claimant,
        until=Instant(until),
        still=Instant(still),
        state=ServedState(state),
        answer=bytes(answer),
    )


def _tally(namespace: str, service: str, turn: int, claims: int, room: int, forgotten: int) -> Tally:
    return Tally(
        namespace=namespace,
        service=service,
        turn=turn,
        claims=claims,
        room=room,
        forgotten=Instant(forgotten),
    )


def _pair(namespace: str, service: str) -> tuple[str, str]:
    return namespace, service


def _gone(until: int, state: str, length: int) -> tuple[Instant, int]:
    return Instant(until), LONGEST_ANSWER if state == ServedState.BEGUN.value else length
