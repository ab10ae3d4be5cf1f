"""Actions and act histories in SQL; new actions wait until the transaction reads actions again or ends."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import select, text

from taskbound.adapters.store.sql.rows import Statement, bound, given, json_texts
from taskbound.adapters.store.sql.schema import actions
from taskbound.core.action import ActionState, PriorAction
from taskbound.core.clock import Instant
from taskbound.core.decision import ActHistory, Presentation
from taskbound.ports.action import OpenPermit, StoredAction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.adapters.store.sql.rows import Link, Value
    from taskbound.ports.action import OutcomeChange


COLUMNS: Final = tuple(one for one in actions.columns if one.name not in {"number", "record"})
_FIELDS: Final = tuple({"grant_id": "grant", "idempotency": "key"}.get(one.name, one.name) for one in COLUMNS)
_DECIDED: Final = COLUMNS[:-5]
"""What a decision says of an action; the others are of its outcome."""
_INSERT: Final = (
    "INSERT INTO actions"  # noqa: S608  # our own columns
    f" ({', '.join(one.name for one in _DECIDED)}, record, answer_digest, released, note)"
    f" VALUES ({', '.join('?' for _ in _DECIDED)}, ?, '', 0, '')"
)
_ONE: Final = Statement(
    select(*COLUMNS).where(actions.c.namespace == given("namespace"), actions.c.id == given("id"))
)
_ACT: Final = (
    "SELECT attempts, last_outcome, last_action, last_at FROM acts"
    " WHERE namespace = ? AND root = ? AND act_key = ?"
)
_KEYS: Final = (
    "SELECT root, act_key FROM acts WHERE namespace = ? AND (root, act_key) > (?, ?)"
    " ORDER BY root, act_key LIMIT ?"
)
_KNOWN: Final = "SELECT a.root, a.act_key, a.attempts, a.last_outcome, a.last_action, a.last_at FROM"
_KNOWN_ACT: Final = f"{_KNOWN} acts a WHERE a.namespace = ? AND a.root = ? AND a.act_key = ?"
_ACTS: Final = f"""
    {_KNOWN} json_each(?2) AS asked
    CROSS JOIN acts a ON a.namespace = ?1 AND a.root = asked.value ->> 0 AND a.act_key = asked.value ->> 1
"""
_PUT_ACT: Final = (
    "INSERT INTO acts (namespace, root, act_key, attempts, last_outcome, last_action, last_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, root, act_key)"
    " DO UPDATE SET attempts = excluded.attempts, last_outcome = excluded.last_outcome,"
    " last_action = excluded.last_action, last_at = excluded.last_at"
)
_BY_REQUEST: Final = """
    SELECT a.connection, a.request, '', a.id, a.digest, a.state FROM json_each(?2) AS asked
    CROSS JOIN actions a ON a.namespace = ?1 AND a.connection = asked.value ->> 0
        AND a.request = asked.value ->> 1 AND a.decision = 'permit'
"""
_BY_KEY: Final = """
    SELECT a.task, '', a.idempotency, a.id, a.digest, a.state FROM json_each(?2) AS asked
    CROSS JOIN actions a ON a.namespace = ?1 AND a.task = asked.value ->> 0
        AND a.idempotency = asked.value ->> 1 AND a.decision = 'permit' AND a.idempotency <> ''
"""
_PERMIT: Final = (
    "SELECT a.id, a.task, a.root, a.act_key, a.state, a.connection, a.charges, a.scope, a.until FROM"
)
_ONE_PERMIT: Final = f"{_PERMIT} actions a WHERE a.namespace = ? AND a.id = ?"
_PERMITS: Final = f"""
    {_PERMIT} json_each(?2) AS asked CROSS JOIN actions a ON a.namespace = ?1 AND a.id = asked.value
"""
_OPEN: Final = (
    f"{_PERMIT} actions a INDEXED BY actions_open WHERE a.namespace = ? AND a.state IN ('permitted', 'sent')"
)
_OUTCOME: Final = (
    "UPDATE actions SET state = ?, finished = ?, answer = ?, answer_digest = ?, released = ?, note = ?"
    " WHERE namespace = ? AND id = ? AND state = ?"
)
_LIFTED: Final = (
    "state", "decision", "code", "charges", "detail", "grant_id", "attempt", "connection", "request",
    "idempotency", "until",
)  # fmt: skip  # a list of words reads better as words
_LIFT: Final = (
    f"UPDATE actions SET {', '.join(f'{name} = ?' for name in _LIFTED)}, record = NULL"  # noqa: S608  # our own columns
    " WHERE namespace = ? AND id = ? AND state = 'held'"
)
_COUNT: Final = "SELECT count(*) FROM actions WHERE namespace = ? AND task = ?"
_UNKNOWNS: Final = (
    "SELECT id FROM actions"
    " WHERE namespace = ? AND root = ? AND act_key = ? AND state = 'unknown' ORDER BY number"
)
_ANY_UNKNOWN: Final = "SELECT 1 FROM actions WHERE namespace = ? AND state = 'unknown' LIMIT 1"
_NAMESPACES: Final = """
    WITH RECURSIVE known (namespace) AS (
        SELECT min(namespace) FROM actions
        UNION ALL
        SELECT (SELECT min(namespace) FROM actions a WHERE a.namespace > known.namespace)
        FROM known WHERE known.namespace IS NOT NULL
    )
    SELECT namespace FROM known WHERE namespace IS NOT NULL
"""
_STATES: Final = {one.value: one for one in ActionState}
_NO_OUTCOME: Final = (None, None, "", 0, "")


class _Detail(msgspec.Struct, array_like=True, frozen=True):
    reasons: tuple[tuple[str, str, str], ...]
    policies: tuple[str, ...]
    flags: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    instead: str


_JSON: Final = msgspec.json.Encoder()
_DETAIL: Final = msgspec.json.Decoder(_Detail)
_CHARGES: Final = msgspec.json.Decoder(tuple[tuple[str, int], ...])


class WaitingActions:
    """Buffers a transaction's new actions and the numbers of their records."""

    __slots__ = ("_link", "_rows", "records")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._rows: dict[tuple[str, str], StoredAction] = {}
        self.records: dict[tuple[str, str], int] = {}
        """By namespace and action: the number of its decision's record."""

    def add(self, actions: Sequence[StoredAction]) -> None:
        for one in actions:
            key = (one.namespace, one.id)
            if key in self._rows:
                self._link.conflict(f"action `{one.id}`")
            self._rows[key] = one

    def holds(self, namespace: str, action: str) -> bool:
        return (namespace, action) in self._rows

    def write(self) -> None:
        if not self._rows:
            return
        rows = [(*_decided_row(one), self.records.get(key)) for key, one in self._rows.items()]
        late = [_ended_row(one) for one in self._rows.values() if _outcome(one) != _NO_OUTCOME]
        self._rows = {}
        self._link.change_many(_INSERT, rows)
        if late:
            self._link.change_many(_OUTCOME, late)


class SqlActions:
    """Actions."""

    __slots__ = ("_link", "_waiting")

    def __init__(self, link: Link, waiting: WaitingActions) -> None:
        self._link = link
        self._waiting = waiting

    def action(self, namespace: str, action: str) -> StoredAction | None:
        self._waiting.write()
        return self._link.one(_action, _ONE.text, _ONE.values(namespace=namespace, id=action))

    def actions(
        self, namespace: str, *, task: str = "", decision: str = "", limit: int = 50, before: str = ""
    ) -> tuple[StoredAction, ...]:
        """Returns actions, newest first."""
        self._waiting.write()
        page = _page(bool(task), bool(decision), decision == "permit", bool(before))
        values = page.values(namespace=namespace, task=task, decision=decision, limit=limit, before=before)
        return self._link.all(_action, page.text, values)

    def act(self, namespace: str, root: str, act_key: str) -> ActHistory:
        return self._link.one(_history, _ACT, (namespace, root, act_key)) or ActHistory()

    def acts(
        self, namespace: str, *, limit: int, after: tuple[str, str] = ("", "")
    ) -> tuple[tuple[str, str], ...]:
        """Returns the keys of all known acts, in order."""
        return self._link.all(_act_key, _KEYS, (namespace, *after, limit))

    def count(self, namespace: str, task: str) -> int:
        self._waiting.write()
        return self._link.whole(_COUNT, (namespace, task))

    def open_permits(self, namespace: str, *, connection: str = "", task: str = "") -> tuple[OpenPermit, ...]:
        self._waiting.write()
        query, values = _OPEN, [namespace]
        if connection:
            query, values = f"{query} AND a.connection = ?", [*values, connection]
        if task:
            query, values = f"{query} AND a.task = ?", [*values, task]
        return self._link.all(read_permit, f"{query} ORDER BY a.number", values)

    def unknowns(self, namespace: str, root: str, act_key: str) -> tuple[str, ...]:
        """Returns ids of the actions of this act whose outcome is unknown, in order."""
        self._waiting.write()
        return self._link.all(str, _UNKNOWNS, (namespace, root, act_key))

    def has_unknown(self, namespace: str) -> bool:
        self._waiting.write()
        return self._link.one(bool, _ANY_UNKNOWN, (namespace,)) is not None

    def namespaces(self) -> tuple[str, ...]:
        """Returns every namespace that has an action, in order."""
        self._waiting.write()
        return self._link.all(str, _NAMESPACES)

    def lock_priors(
        self, namespace: str, names: Collection[Presentation]
    ) -> Mapping[Presentation, PriorAction]:
        self._waiting.write()
        requests = [(one.connection, one.request) for one in names if not one.key]
        keys = [(one.connection, one.key) for one in names if one.key]
        found: list[tuple[Presentation, PriorAction]] = []
        if requests:
            found += self._link.all(read_prior, _BY_REQUEST, (namespace, json_texts(requests)))
        if keys:
            found += self._link.all(read_prior, _BY_KEY, (namespace, json_texts(keys)))
        return dict(found)

    def lock_acts(
        self, namespace: str, keys: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], ActHistory]:
        if len(keys) == 1:
            (key,) = keys
            return dict(self._link.all(read_known, _KNOWN_ACT, (namespace, *key)))
        return dict(self._link.all(read_known, _ACTS, (namespace, json_texts(tuple(keys)))))

    def lock_permits(self, namespace: str, actions: Collection[str]) -> Mapping[str, OpenPermit]:
        self._waiting.write()
        if len(actions) == 1:
            found = self._link.all(read_permit, _ONE_PERMIT, (namespace, *actions))
        else:
            found = self._link.all(read_permit, _PERMITS, (namespace, json_texts(tuple(actions))))
        return {one.id: one for one in found}

    def insert_actions(self, actions: Sequence[StoredAction]) -> None:
        self._waiting.add(actions)

    def put_acts(self, namespace: str, acts: Mapping[tuple[str, str], ActHistory]) -> None:
        rows = [
            (namespace, root, act_key, one.attempts, one.last_outcome, one.last_action, one.last_at)
            for (root, act_key), one in acts.items()
        ]
        self._link.change_many(_PUT_ACT, rows)

    def set_outcomes(self, namespace: str, changes: Sequence[OutcomeChange]) -> None:
        self._waiting.write()
        rows = [
            (
                one.after.value,
                one.finished,
                None if one.answer is None else bound(one.answer),
                one.answer_digest,
                int(one.released),
                one.note,
                namespace,
                one.id,
                one.before.value,
            )
            for one in changes
        ]
        if self._link.change_many(_OUTCOME, rows) != len(rows):
            self._link.conflict("the state of an action")

    def lift_actions(self, actions: Sequence[StoredAction]) -> None:
        self._waiting.write()
        rows = []
        for one in actions:
            whole = dict(zip((column.name for column in COLUMNS), action_row(one, None), strict=False))
            rows.append((*(whole[name] for name in _LIFTED), one.namespace, one.id))
        if self._link.change_many(_LIFT, rows) != len(rows):
            self._link.conflict("the state of an action")


@cache
def _page(task: bool, decision: bool, permit: bool, before: bool) -> Statement:  # noqa: FBT001  # which filters there are
    """Builds one statement per set of filters, so that each uses its own index."""
    query = select(*COLUMNS).where(actions.c.namespace == given("namespace"))
    if task:
        query = query.where(actions.c.task == given("task"))
    if decision:
        query = query.where(actions.c.decision == given("decision"))
    if decision and not permit:
        query = query.where(text("decision <> 'permit'"))  # the partial index's own words
    if before:
        last = select(actions.c.number).where(
            actions.c.namespace == given("namespace"), actions.c.id == given("before")
        )
        query = query.where(actions.c.number < last.scalar_subquery())
    return Statement(query.order_by(actions.c.number.desc()).limit(given("limit")))


def action_row(one: StoredAction, record: int | None) -> tuple[Value, ...]:
    """Returns the action's row in the order of `COLUMNS`, and its record's number."""
    return (*_decided_row(one), *_outcome(one), record)


def _ended_row(one: StoredAction) -> tuple[Value, ...]:
    return (one.state.value, *_outcome(one), one.namespace, one.id, one.state.value)


def _outcome(one: StoredAction) -> tuple[Value, ...]:
    return (one.finished, one.answer, one.answer_digest, int(one.released), one.note)


def _decided_row(one: StoredAction) -> tuple[Value, ...]:
    """In the order of `_DECIDED`; `bound` says why bytes go as a `bytearray`."""
    detail = _JSON.encode((one.reasons, one.policies, one.flags, one.facts, one.instead)).decode()
    return (
        one.namespace,
        one.id,
        one.task,
        one.root,
        one.agent,
        one.tool,
        one.server,
        one.definition,
        one.digest,
        one.act_key,
        bound(one.arguments),
        one.state.value,
        one.decision,
        one.code,
        _JSON.encode(one.charges).decode(),
        detail,
        one.grant,
        one.bundle,
        one.scope,
        one.attempt,
        one.connection,
        one.request,
        one.key,
        one.at,
        one.until,
    )


def _action(*columns: Any) -> StoredAction:  # noqa: ANN401  # the columns of a row, each of its type
    row = dict(zip(_FIELDS, columns, strict=True))
    more = _DETAIL.decode(row.pop("detail"))
    row.update(
        state=_STATES[row["state"]],
        charges=_CHARGES.decode(row["charges"]),
        released=bool(row["released"]),
        reasons=more.reasons,
        policies=more.policies,
        flags=more.flags,
        facts=more.facts,
        instead=more.instead,
    )
    return StoredAction(**row)


def read_permit(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    id: str,  # noqa: A002  # the column's name
    task: str,
    root: str,
    act_key: str,
    state: str,
    connection: str,
    charges: str,
    scope: str,
    until: int,
) -> OpenPermit:
    return OpenPermit(
        id=id,
        task=task,
        root=root,
        act_key=act_key,
        state=_STATES[state],
        connection=connection,
        charges=_CHARGES.decode(charges),
        scope=scope,
        until=Instant(until),
    )


def read_prior(  # the columns of a row, in order
    connection: str, request: str, key: str, action: str, digest: str, state: str
) -> tuple[Presentation, PriorAction]:
    presented = Presentation(connection=connection, request=request, key=key)
    return presented, PriorAction(id=action, digest=digest, state=_STATES[state])


def _act_key(root: str, act_key: str) -> tuple[str, str]:
    return root, act_key


def _history(attempts: int, last_outcome: str, last_action: str, last_at: int) -> ActHistory:
    return ActHistory(
        attempts=attempts, last_outcome=last_outcome, last_action=last_action, last_at=Instant(last_at)
    )


def read_known(  # the columns of a row, in order
    root: str, act_key: str, attempts: int, last_outcome: str, last_action: str, last_at: int
) -> tuple[tuple[str, str], ActHistory]:
    return (root, act_key), _history(attempts, last_outcome, last_action, last_at)
