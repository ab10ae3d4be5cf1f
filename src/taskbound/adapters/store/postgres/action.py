"""Actions and act histories in PostgreSQL, locked and written as sets.

1. A group of any size is one statement per table; locks are taken in key order.
2. An act without a row is inserted, so a concurrent first writer conflicts. A unique index refuses a second
   permit for one presentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, LargeBinary

from taskbound.adapters.store.postgres.server.link import write_bytes, write_texts, write_wholes
from taskbound.adapters.store.postgres.server.presence import NUMBER
from taskbound.adapters.store.sql.action import (
    COLUMNS,
    SqlActions,
    WaitingActions,
    action_row,
    read_known,
    read_permit,
    read_prior,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.action import PriorAction
    from taskbound.core.decision import ActHistory, Presentation
    from taskbound.ports.action import OpenPermit, OutcomeChange


_NAMES: Final = ", ".join(f'"{one.name}"' for one in COLUMNS)


def _kind(column: object) -> str:
    match column:
        case BigInteger():
            return "bigint"
        case LargeBinary():
            return "bytea"
        case _:
            return "text"


_KINDS: Final = tuple(_kind(one.type) for one in COLUMNS)
_WRITERS: Final[Mapping[str, Callable[[Iterable[Any]], str]]] = {
    "bigint": write_wholes,
    "bytea": write_bytes,
    "text": write_texts,
}
_ARRAYS: Final = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_KINDS, start=2))
_INSERT: Final = f"""
    INSERT INTO actions ({_NAMES}, record)
    SELECT {_NAMES}, {NUMBER} + n.record
    FROM unnest({_ARRAYS}, $1::bigint[]) WITH ORDINALITY AS n ({_NAMES}, record, place)
    ORDER BY n.place
"""  # noqa: S608  # our own columns
_LOCK_ACTS: Final = """
    SELECT a.* FROM unnest($2::text[], $3::text[]) AS asked (root, act_key) CROSS JOIN LATERAL (
        SELECT root, act_key, attempts, last_outcome, last_action, last_at FROM acts
        WHERE namespace = $1 AND root = asked.root AND act_key = asked.act_key FOR NO KEY UPDATE
    ) AS a
"""
_ACTS: Final = (
    "unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[])"
    " AS n (root, act_key, attempts, last, last_action, last_at)"
)
_NEW_ACTS: Final = f"""
    INSERT INTO acts (namespace, root, act_key, attempts, last_outcome, last_action, last_at)
    SELECT $1, n.root, n.act_key, n.attempts, n.last, n.last_action, n.last_at
    FROM {_ACTS} ORDER BY n.root, n.act_key
"""  # noqa: S608  # our own constant
_ANY_ACTS: Final = f"""{_NEW_ACTS}
    ON CONFLICT (namespace, root, act_key)
    DO UPDATE SET attempts = excluded.attempts, last_outcome = excluded.last_outcome,
        last_action = excluded.last_action, last_at = excluded.last_at
"""
_OVER_ACTS: Final = f"""
    UPDATE acts a SET attempts = n.attempts, last_outcome = n.last, last_action = n.last_action,
        last_at = n.last_at
    FROM {_ACTS}
    WHERE a.ctid = ANY(ARRAY(
        SELECT x.ctid FROM unnest($2::text[], $3::text[]) AS asked (root, act_key) CROSS JOIN LATERAL (
            SELECT ctid FROM acts
            WHERE namespace = $1 AND root = asked.root AND act_key = asked.act_key LIMIT 1
        ) AS x
    )) AND a.namespace = $1 AND a.root = n.root AND a.act_key = n.act_key
"""  # noqa: S608  # our own constant
_BY_REQUEST: Final = """
    SELECT a.connection, a.request, '', a.id, a.digest, a.state
    FROM unnest($2::text[], $3::text[]) AS asked (connection, request) CROSS JOIN LATERAL (
        SELECT connection, request, id, digest, state FROM actions
        WHERE namespace = $1 AND connection = asked.connection AND request = asked.request
            AND decision = 'permit' LIMIT 1
    ) AS a
"""
_BY_KEY: Final = """
    SELECT a.task, '', a.idempotency, a.id, a.digest, a.state
    FROM unnest($2::text[], $3::text[]) AS asked (task, key) CROSS JOIN LATERAL (
        SELECT task, idempotency, id, digest, state FROM actions
        WHERE namespace = $1 AND task = asked.task AND idempotency = asked.key
            AND decision = 'permit' AND idempotency <> '' LIMIT 1
    ) AS a
"""
_LOCK_PERMITS: Final = """
    SELECT a.* FROM unnest($2::text[]) AS asked (id) CROSS JOIN LATERAL (
        SELECT id, task, root, act_key, state, connection, charges, scope, until FROM actions
        WHERE namespace = $1 AND id = asked.id FOR NO KEY UPDATE
    ) AS a
"""
_OUTCOMES: Final = """
    UPDATE actions a SET state = n.after, finished = n.finished, answer = n.answer,
        answer_digest = n.digest, released = n.released, note = n.note
    FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::text[], $8::bigint[],
        $9::text[]) AS n (id, before, after, finished, answer, digest, released, note)
    WHERE a.ctid = ANY(ARRAY(
        SELECT x.ctid FROM unnest($2::text[]) AS asked (id) CROSS JOIN LATERAL (
            SELECT ctid FROM actions WHERE namespace = $1 AND id = asked.id LIMIT 1
        ) AS x
    )) AND a.namespace = $1 AND a.id = n.id AND a.state = n.before
"""


class PostgresWaiting(WaitingActions):
    """Buffers a transaction's new actions and their records' numbers; inserts them by one statement."""

    __slots__ = ("absent", "known")
    _link: PostgresLink

    def __init__(self, link: PostgresLink) -> None:
        super().__init__(link)
        self.known: set[tuple[str, str, str]] = set()
        """Acts that were locked, by namespace, root and act key (rule 2)."""
        self.absent: set[tuple[str, str, str]] = set()
        """Acts that had no row when they were locked."""

    def write(self) -> None:
        if not self._rows:
            return
        rows = [action_row(one, self.records.get(key)) for key, one in self._rows.items()]
        self._rows = {}
        *columns, records = zip(*rows, strict=True)
        arrays = [_WRITERS[kind](column) for kind, column in zip(_KINDS, columns, strict=True)]
        self._link.later(_INSERT, (write_wholes(records), *arrays), rows=len(rows), what="an action")


class PostgresActions(SqlActions):
    """Actions in PostgreSQL."""

    __slots__ = ("_acts",)
    _link: PostgresLink

    def __init__(self, link: PostgresLink, waiting: PostgresWaiting) -> None:
        super().__init__(link, waiting)
        self._acts = waiting

    def lock_priors(
        self, namespace: str, names: Collection[Presentation]
    ) -> Mapping[Presentation, PriorAction]:
        self._waiting.write()
        requests = [(one.connection, one.request) for one in names if not one.key]
        keys = [(one.connection, one.key) for one in names if one.key]
        found: list[tuple[Presentation, PriorAction]] = []
        for query, asked in ((_BY_REQUEST, requests), (_BY_KEY, keys)):
            if asked:
                values = (namespace, *_both(asked))
                found += self._link.locked(read_prior, query, values)
        return dict(found)

    def lock_acts(
        self, namespace: str, keys: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], ActHistory]:
        """Returns, by (root, act key), the histories of those acts that are known, locked in key order."""
        values = (namespace, *_both(sorted(keys)))
        found = dict(self._link.locked(read_known, _LOCK_ACTS, values))
        for root, act_key in keys:
            seen = self._acts.known if (root, act_key) in found else self._acts.absent
            seen.add((namespace, root, act_key))
        return found

    def lock_permits(self, namespace: str, actions: Collection[str]) -> Mapping[str, OpenPermit]:
        self._waiting.write()
        found = self._link.locked(read_permit, _LOCK_PERMITS, (namespace, write_texts(sorted(actions))))
        return {one.id: one for one in found}

    def put_acts(self, namespace: str, acts: Mapping[tuple[str, str], ActHistory]) -> None:
        new: dict[tuple[str, str], ActHistory] = {}
        over: dict[tuple[str, str], ActHistory] = {}
        others: dict[tuple[str, str], ActHistory] = {}
        for key, one in acts.items():
            full = (namespace, *key)
            if full in self._acts.known:
                over[key] = one
            elif full in self._acts.absent:
                new[key] = one
                self._acts.absent.discard(full)
                self._acts.known.add(full)
            else:
                others[key] = one
        for text, rows in ((_NEW_ACTS, new), (_OVER_ACTS, over), (_ANY_ACTS, others)):
            if rows:
                values = (
                    namespace,
                    *_both(rows),
                    write_wholes(one.attempts for one in rows.values()),
                    write_texts(one.last_outcome for one in rows.values()),
                    write_texts(one.last_action for one in rows.values()),
                    write_wholes(one.last_at for one in rows.values()),
                )
                self._link.later(text, values, rows=len(rows), what="what is known of an act")

    def set_outcomes(self, namespace: str, changes: Sequence[OutcomeChange]) -> None:
        self._waiting.write()
        values = (
            namespace,
            write_texts(one.id for one in changes),
            write_texts(one.before.value for one in changes),
            write_texts(one.after.value for one in changes),
            write_wholes(one.finished for one in changes),
            write_bytes(one.answer for one in changes),
            write_texts(one.answer_digest for one in changes),
            write_wholes(int(one.released) for one in changes),
            write_texts(one.note for one in changes),
        )
        self._link.later(_OUTCOMES, values, rows=len(changes), what="the state of an action")


def _both(pairs: Collection[tuple[str, str]]) -> tuple[str, str]:
    return write_texts(one for one, _ in pairs), write_texts(one for _, one in pairs)
