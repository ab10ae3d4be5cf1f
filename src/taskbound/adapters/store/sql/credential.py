"""Credentials in SQL."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.sql.record import reader
from taskbound.adapters.store.sql.rows import CHANGING, TableGroup, json_texts
from taskbound.adapters.store.sql.schema.target import LIVING, UNFINISHED
from taskbound.core.clock import Instant
from taskbound.core.credential import LIVE, Credential, CredentialState, Lease, Renewal, RenewalState
from taskbound.ports.credential import HeldCredential

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from taskbound.adapters.store.sql.rows import Value


COLUMNS: Final = (
    "namespace, id, target, kind, identity, task, agent, action, arguments, recipient, state, made, ends,"
    " due, fence, leased, shown, acknowledged, ended, why, attempts, trouble, late, record, renewal, renewed,"
    " renewal_record, renewal_state, renewal_attempts, kept, version"
)
RENEWAL: Final = ("renewal", "renewed", "renewal_record", "renewal_state", "renewal_attempts")
"""Columns of the last renewal."""
_ONE: Final = f"SELECT {COLUMNS} FROM credentials WHERE namespace = ? AND id = ?"  # noqa: S608 - our own words
_UNFINISHED: Final = frozenset({*LIVE, CredentialState.REVOKING})
_SOME: Final = (
    f"SELECT {COLUMNS} FROM credentials{{index}} WHERE namespace = ?1 AND {{task}} AND {{target}}"  # noqa: S608 - our own words
    " AND (?4 = '' OR agent = ?4) AND (?5 = '[]' OR state IN (SELECT value FROM json_each(?5)))"
    "{unfinished} AND (?6 = '' OR id < ?6) ORDER BY id DESC LIMIT ?7"
)
_TASKS: Final = (
    "SELECT DISTINCT task FROM credentials INDEXED BY credentials_unfinished"  # noqa: S608 - our own words
    f" WHERE namespace = ? AND state IN ({UNFINISHED}) AND state IN ({LIVING}) ORDER BY task"
)
_HELD: Final = (
    "SELECT c.id, c.task, a.connection FROM credentials c INDEXED BY credentials_unfinished"  # noqa: S608 - our own words
    " CROSS JOIN actions a WHERE a.namespace = c.namespace AND a.id = c.action"
    f" AND c.namespace = ?1 AND c.state IN ({UNFINISHED}) AND c.state = 'active' AND c.acknowledged = 1"
    " AND substr(a.connection, 1, length(?2)) = ?2 ORDER BY c.id"
)
_DUE: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = ? AND target = ?"  # noqa: S608 - our own words
    " AND due > 0 AND due <= ? ORDER BY due, id LIMIT ?"
)
_DUE_BESIDE: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = ?1 AND target = ?2"  # noqa: S608 - our own words
    " AND due > 0 AND due <= ?3 AND agent NOT IN (SELECT value FROM json_each(?4)) ORDER BY due, id LIMIT ?5"
)
_DUE_ALIVE: Final = (
    f"SELECT {COLUMNS} FROM credentials INDEXED BY credentials_living"  # noqa: S608 - our own words
    f" WHERE namespace = ? AND target = ? AND due > 0 AND due <= ? AND state IN ({LIVING})"
    " ORDER BY due, id LIMIT ?"
)
_ALIVE_IN: Final = (
    f"SELECT {COLUMNS} FROM credentials INDEXED BY credentials_living"  # noqa: S608 - our own words
    f" WHERE namespace = ? AND target = ? AND due > 0 AND state IN ({LIVING})"
    " ORDER BY due DESC, id DESC LIMIT ?"
)
_OVERDUE: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = ? AND state = 'revoking'"  # noqa: S608 - our own words
    " AND ended < ? ORDER BY ended, id LIMIT ?"
)
_LIVING: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = ?1"  # noqa: S608 - our own words
    f" AND task IN (SELECT value FROM json_each(?2)) AND state IN ({LIVING}) ORDER BY id"
)
_INSERT: Final = f"INSERT INTO credentials ({COLUMNS}) VALUES ({', '.join('?' * 31)})"  # noqa: S608 - our own words
_CHANGED: Final = (
    *("state", "ends", "due", "fence", "leased", "shown", "acknowledged", "ended", "why", "attempts"),
    *("trouble", "late", *RENEWAL, "kept", "version"),
)
_PUT: Final = (
    f"UPDATE credentials SET {', '.join(f'{one} = ?' for one in _CHANGED)}"  # noqa: S608 - our own words
    " WHERE namespace = ? AND id = ? AND version = ?"
)


_read_held: Final = reader("credential task connection", HeldCredential)


class SqlCredentials(TableGroup):
    """Credentials."""

    __slots__ = ()

    def credential(self, namespace: str, credential: str) -> Credential | None:
        return self._link.one(read_credential, _ONE, (namespace, credential))

    def credentials(  # noqa: PLR0913 - by what they are looked for, each by its name
        self,
        namespace: str,
        *,
        task: str = "",
        target: str = "",
        agent: str = "",
        states: Collection[CredentialState] = (),
        limit: int = 50,
        before: str = "",
    ) -> tuple[Credential, ...]:
        """Returns the matching credentials, newest first."""
        wanted = json_texts(sorted({one.value for one in states}))
        text = _some(
            task=bool(task), target=bool(target), unfinished=bool(states) and {*states} <= _UNFINISHED
        )
        return self._link.all(read_credential, text, (namespace, task, target, agent, wanted, before, limit))

    def living_tasks(self, namespace: str) -> tuple[str, ...]:
        return self._link.all(str, _TASKS, (namespace,))

    def held_by(self, namespace: str, beginning: str) -> tuple[HeldCredential, ...]:
        return self._link.all(_read_held, _HELD, (namespace, beginning))

    def due(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        return self._link.all(read_credential, _DUE, (namespace, target, now, limit))

    def due_beside(
        self, namespace: str, target: str, now: Instant, agents: Collection[str], *, limit: int
    ) -> tuple[Credential, ...]:
        values = (namespace, target, now, json_texts(agents), limit)
        return self._link.all(read_credential, _DUE_BESIDE, values)

    def due_alive(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        """As `due`, of living credentials only."""
        return self._link.all(read_credential, _DUE_ALIVE, (namespace, target, now, limit))

    def alive_in(self, namespace: str, target: str, *, limit: int) -> tuple[Credential, ...]:
        return self._link.all(read_credential, _ALIVE_IN, (namespace, target, limit))

    def overdue(self, namespace: str, before: Instant, *, limit: int) -> tuple[Credential, ...]:
        """Returns credentials whose revocation began before this instant, oldest first."""
        return self._link.all(read_credential, _OVERDUE, (namespace, before, limit))

    def insert_credentials(self, credentials: Collection[Credential]) -> None:
        self._link.change_many(_INSERT, [_row(one) for one in credentials])

    def lock_credential(self, namespace: str, credential: str) -> Credential | None:
        """As `credential`, locked."""
        found = self._link.locked(read_credential, _ONE, (namespace, credential), CHANGING)
        return found[0] if found else None

    def lock_living(self, namespace: str, tasks: Collection[str]) -> tuple[Credential, ...]:
        return self._link.all(read_credential, _LIVING, (namespace, json_texts(sorted(tasks))))

    def put_credential(self, credential: Credential, *, expect: int) -> None:
        row = credential
        changed = (
            *(row.state.value, row.ends, row.due, row.lease.fence, row.lease.until, row.shown),
            *(int(row.acknowledged), row.ended, row.why, row.attempts, row.trouble, row.late),
            *(*_renewal(row), row.kept, row.version),
        )
        if self._link.change(_PUT, (*changed, row.namespace, row.id, expect)) != 1:
            self._link.conflict(f"the credential `{row.id}`")


@cache
def _some(*, task: bool, target: bool, unfinished: bool) -> str:
    """Picks the narrowest index; rows are never deleted, so most are of ended credentials."""
    index, few = "", ""
    if task:
        index = "credentials_by_task"
    elif unfinished:
        index, few = "credentials_unfinished", f" AND state IN ({UNFINISHED})"
    elif target:
        index = "credentials_by_target"
    return _SOME.format(
        index=f" INDEXED BY {index}" if index else "",
        task="task = ?2" if task else "?2 = ''",
        target="target = ?3" if target else "?3 = ''",
        unfinished=few,
    )


def _row(row: Credential) -> tuple[Value, ...]:
    return (
        *(row.namespace, row.id, row.target, row.kind, row.identity, row.task, row.agent, row.action),
        *(row.arguments, row.recipient, row.state.value, row.made, row.ends, row.due),
        *(row.lease.fence, row.lease.until, row.shown, int(row.acknowledged), row.ended, row.why),
        *(row.attempts, row.trouble, row.late, row.record, *_renewal(row)),
        *(row.kept, row.version),
    )


def _renewal(row: Credential) -> tuple[Value, ...]:
    one = row.renewal
    if one is None:
        return ("", 0, 0, "", 0)
    return (one.action, one.ends, one.record, one.state.value, one.attempts)


def read_credential(  # noqa: PLR0913, PLR0917 - the columns of a row, in order
    namespace: str,
    name: str,
    target: str,
    kind: str,
    identity: str,
    task: str,
    agent: str,
    action: str,
    arguments: bytes,
    recipient: str,
    state: str,
    made: int,
    ends: int,
    due: int,
    fence: int,
    leased: int,
    shown: int,
    acknowledged: int,
    ended: int,
    why: str,
    attempts: int,
    trouble: str,
    late: int,
    record: int,
    *last: str | int,
) -> Credential:
    return Credential(
        namespace=namespace,
        id=name,
        target=target,
        kind=kind,
        identity=identity,
        task=task,
        agent=agent,
        action=action,
        arguments=bytes(arguments),
        recipient=recipient,
        state=CredentialState(state),
        made=Instant(made),
        ends=Instant(ends),
        due=Instant(due),
        lease=Lease(fence=fence, until=Instant(leased)),
        shown=Instant(shown),
        acknowledged=bool(acknowledged),
        ended=Instant(ended),
        why=why,
        attempts=attempts,
        trouble=trouble,
        late=Instant(late),
        record=record,
        renewal=_read_renewal(last[:5]),
        kept=str(last[5]),
        version=int(last[6]),
    )


def _read_renewal(columns: Sequence[str | int]) -> Renewal | None:
    action, ends, record, state, attempts = columns
    if not action:
        return None
    return Renewal(
        action=str(action),
        ends=Instant(int(ends)),
        record=int(record),
        state=RenewalState(state),
        attempts=int(attempts),
    )
