"""Targets, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from taskbound.adapters.store.sql.rows.statement import Statement, Versioned, given
from taskbound.adapters.store.sql.schema.target import targets
from taskbound.core.clock import Instant
from taskbound.core.target import TargetState
from taskbound.ports.target import StoredTarget

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Link


_SPACE, _NAME = given("namespace"), given("name")
_ONE: Final = Statement(select(targets).where(targets.c.namespace == _SPACE, targets.c.name == _NAME))
_OF_SPACE: Final = Statement(select(targets).where(targets.c.namespace == _SPACE).order_by(targets.c.name))
_ALL: Final = Statement(select(targets).order_by(targets.c.namespace, targets.c.name))
_DROP: Final = Statement(delete(targets).where(targets.c.namespace == _SPACE, targets.c.name == _NAME))
_PUT: Final = Versioned(targets, "target")
_MARK: Final = "SELECT mark FROM installation"
_PUT_MARK: Final = "INSERT INTO installation (id, mark) VALUES (1, ?)"
_EPOCH: Final = "SELECT 1 FROM epochs WHERE epoch = ? AND since = ?"
_PUT_EPOCH: Final = "INSERT INTO epochs (epoch, since) VALUES (?, ?)"


class SqlTargets:
    """Reads targets through one connection, and writes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target of this name."""
        return self._link.one(read_target, _ONE.text, _ONE.values(namespace=namespace, name=name))

    def targets(self, namespace: str) -> tuple[StoredTarget, ...]:
        """Every target, by name."""
        return self._link.all(read_target, _OF_SPACE.text, _OF_SPACE.values(namespace=namespace))

    def all_targets(self) -> tuple[StoredTarget, ...]:
        """Those of every namespace, by namespace and name."""
        return self._link.all(read_target, _ALL.text)

    def mark(self) -> str:
        """What tells this installation's names apart; empty before there is one."""
        return self._link.one(str, _MARK) or ""

    def has_epoch(self, epoch: int, since: Instant) -> bool:
        """Whether the log has the record of this epoch."""
        return self._link.one(bool, _EPOCH, (epoch, since)) is not None

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target; the transaction holds the one lock there is."""
        return self.target(namespace, name)

    def put_target(self, target: StoredTarget, *, expect: int) -> None:
        """Write it over the row of this version; 0 for one that must not exist."""
        _PUT.put(
            self._link,
            expect,
            namespace=target.namespace,
            name=target.name,
            file=target.file,
            identity=target.identity,
            state=target.state.value,
            sealed=target.sealed,
            number=target.number,
            trouble=target.trouble,
            begun=target.begun,
            tested=target.tested,
            version=target.version,
        )

    def drop_target(self, namespace: str, name: str) -> None:
        """Take it away."""
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, name=name))

    def put_mark(self, mark: str) -> None:
        """Keep the mark, where there is none."""
        self._link.change(_PUT_MARK, (mark,))

    def put_epoch(self, epoch: int, since: Instant) -> None:
        """Keep that its record is written, where that is not kept."""
        self._link.change(_PUT_EPOCH, (epoch, since))


def read_target(  # noqa: PLR0913, PLR0917 - the columns of a row, in order
    namespace: str,
    name: str,
    file: bytes,
    identity: str,
    state: str,
    sealed: str,
    number: int,
    trouble: str,
    begun: int | None,
    tested: int | None,
    version: int,
) -> StoredTarget:
    """The target of a row."""
    return StoredTarget(
        namespace=namespace,
        name=name,
        file=bytes(file),
        identity=identity,
        state=TargetState(state),
        sealed=sealed,
        number=number,
        trouble=trouble,
        begun=None if begun is None else Instant(begun),
        tested=None if tested is None else Instant(tested),
        version=version,
    )
