"""Pinned servers, tools, secrets and targets in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, text

from taskbound.adapters.store.sql.record import BYTES, FLAG, TEXTS, Form, Record, enum, reader
from taskbound.adapters.store.sql.rows import (
    CHANGING,
    Statement,
    TableGroup,
    given,
    json_texts,
    look_up,
    read_texts,
)
from taskbound.adapters.store.sql.schema import servers, tools
from taskbound.adapters.store.sql.schema.target import targets
from taskbound.core.target import TargetState
from taskbound.ports.store import ConflictError
from taskbound.ports.target import StoredTarget
from taskbound.ports.tool import PinnedServer, PinnedTool, StoredSecret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant


_SPACE, _NAME, _OF_SERVER = given("namespace"), given("name"), given("server")
_SERVER: Final = Statement(select(servers).where(servers.c.namespace == _SPACE, servers.c.name == _NAME))
_SERVERS: Final = Statement(
    select(servers).where(servers.c.namespace == _SPACE, text("target = 0")).order_by(servers.c.name)
)
_TOOL: Final = Statement(select(tools).where(tools.c.namespace == _SPACE, tools.c.name == _NAME))
_TOOLS: Final = Statement(select(tools).where(tools.c.namespace == _SPACE).order_by(tools.c.name))
_TOOLS_OF_SERVER: Final = Statement(
    select(tools).where(tools.c.namespace == _SPACE, tools.c.server == _OF_SERVER).order_by(tools.c.name)
)
_DROP_SERVER: Final = Statement(delete(servers).where(servers.c.namespace == _SPACE, servers.c.name == _NAME))
_DROP_TOOLS: Final = Statement(delete(tools).where(tools.c.namespace == _SPACE, tools.c.server == _OF_SERVER))

_APPROVERS: Final = "SELECT tool, approvers FROM tool_approvers WHERE namespace = ? ORDER BY tool"
_PUT_APPROVERS: Final = (
    "INSERT INTO tool_approvers (namespace, tool, approvers) VALUES (?, ?, ?)"
    " ON CONFLICT (namespace, tool) DO UPDATE SET approvers = excluded.approvers"
)
_FORGET_APPROVERS: Final = "DELETE FROM tool_approvers WHERE namespace = ? AND tool = ?"
_SEALED: Final = (
    "SELECT namespace, server, slot, number, sealed, at FROM upstream_secrets"
    " WHERE namespace = ? AND server = ? ORDER BY slot"
)
_INSERT_SEALED: Final = (
    "INSERT INTO upstream_secrets (namespace, server, slot, number, sealed, at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (namespace, server, slot) DO NOTHING"
)
_UPDATE_SEALED: Final = (
    "UPDATE upstream_secrets SET number = ?, sealed = ?, at = ?"
    " WHERE namespace = ? AND server = ? AND slot = ? AND number = ?"
)
_DROP_SEALED: Final = "DELETE FROM upstream_secrets WHERE namespace = ? AND server = ?"
_VERSIONS: Final = (
    "SELECT name, version FROM tools WHERE namespace = ? AND name IN (SELECT value FROM json_each(?))"
)


_SERVER_ROW: Final = Record(
    servers, PinnedServer, "server", agents=TEXTS, target=Form(bool, int, "is_target")
)
_TOOL_ROW: Final = Record(
    tools, PinnedTool, "tool", idempotent=FLAG, probes=TEXTS, checks=TEXTS, roles=TEXTS, unwatched=FLAG
)
TARGET_ROW: Final = Record(targets, StoredTarget, "target", file=BYTES, state=enum(TargetState))


_read_secret: Final = reader("namespace server slot number sealed at", StoredSecret)


class SqlTools(TableGroup):
    """Servers and tools."""

    __slots__ = ()

    def server(self, namespace: str, name: str) -> PinnedServer | None:
        """Returns the server, or target, with this name, or None."""
        return self._link.one(_SERVER_ROW.read, _SERVER.text, _SERVER.values(namespace=namespace, name=name))

    def servers(self, namespace: str) -> tuple[PinnedServer, ...]:
        return self._link.all(_SERVER_ROW.read, _SERVERS.text, _SERVERS.values(namespace=namespace))

    def tool(self, namespace: str, name: str) -> PinnedTool | None:
        return self._link.one(_TOOL_ROW.read, _TOOL.text, _TOOL.values(namespace=namespace, name=name))

    def tools(self, namespace: str, *, server: str = "") -> tuple[PinnedTool, ...]:
        if not server:
            return self._link.all(_TOOL_ROW.read, _TOOLS.text, _TOOLS.values(namespace=namespace))
        values = _TOOLS_OF_SERVER.values(namespace=namespace, server=server)
        return self._link.all(_TOOL_ROW.read, _TOOLS_OF_SERVER.text, values)

    def secrets(self, namespace: str, server: str) -> tuple[StoredSecret, ...]:
        return self._link.all(_read_secret, _SEALED, (namespace, server))

    def approvers(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        return dict(self._link.all(_named, _APPROVERS, (namespace,)))

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        known = self._link.known

        def read(missing: Collection[str]) -> Mapping[str, int]:
            return dict(self._link.all(read_version, _VERSIONS, (namespace, json_texts(tuple(missing)))))

        return read(names) if known is None else look_up(known.tools, namespace, names, read)

    def put_server(self, server: PinnedServer, *, expect: int) -> None:
        _SERVER_ROW.put(self._link, server, expect)

    def drop_server(self, namespace: str, name: str) -> None:
        self._link.change(_DROP_SEALED, (namespace, name))
        self._link.change(_DROP_TOOLS.text, _DROP_TOOLS.values(namespace=namespace, server=name))
        self._link.change(_DROP_SERVER.text, _DROP_SERVER.values(namespace=namespace, name=name))

    def put_secret(self, secret: StoredSecret) -> None:
        place = (secret.namespace, secret.server, secret.slot)
        if secret.number == 1:
            done = self._link.change(_INSERT_SEALED, (*place, 1, secret.sealed, secret.at))
        else:
            new = (secret.number, secret.sealed, secret.at)
            done = self._link.change(_UPDATE_SEALED, (*new, *place, secret.number - 1))
        if done != 1:
            raise ConflictError(f"the secret in `{secret.slot}` of `{secret.server}` is not what it was")

    def put_tool(self, tool: PinnedTool, *, expect: int) -> None:
        _TOOL_ROW.put(self._link, tool, expect)

    def put_approvers(self, namespace: str, tool: str, approvers: tuple[str, ...] | None) -> None:
        if approvers is None:
            self._link.change(_FORGET_APPROVERS, (namespace, tool))
        else:
            self._link.change(_PUT_APPROVERS, (namespace, tool, json_texts(approvers)))


def read_version(name: str, version: int) -> tuple[str, int]:
    return name, version


def _named(tool: str, approvers: str) -> tuple[str, tuple[str, ...]]:
    return tool, read_texts(approvers)


_TARGET_SPACE, _TARGET_NAME = given("namespace"), given("name")
_ONE: Final = Statement(
    select(targets).where(targets.c.namespace == _TARGET_SPACE, targets.c.name == _TARGET_NAME)
)
_OF_SPACE: Final = Statement(
    select(targets).where(targets.c.namespace == _TARGET_SPACE).order_by(targets.c.name)
)
_ALL: Final = Statement(select(targets).order_by(targets.c.namespace, targets.c.name))
_DROP: Final = Statement(
    delete(targets).where(targets.c.namespace == _TARGET_SPACE, targets.c.name == _TARGET_NAME)
)
_MARK: Final = "SELECT mark FROM installation"
_PUT_MARK: Final = "INSERT INTO installation (id, mark) VALUES (1, ?)"
_EPOCH: Final = "SELECT 1 FROM epochs WHERE epoch = ? AND since = ?"
_PUT_EPOCH: Final = "INSERT INTO epochs (epoch, since) VALUES (?, ?)"


class SqlTargets(TableGroup):
    """Targets."""

    __slots__ = ()

    def target(self, namespace: str, name: str) -> StoredTarget | None:
        return self._link.one(TARGET_ROW.read, _ONE.text, _ONE.values(namespace=namespace, name=name))

    def targets(self, namespace: str) -> tuple[StoredTarget, ...]:
        return self._link.all(TARGET_ROW.read, _OF_SPACE.text, _OF_SPACE.values(namespace=namespace))

    def all_targets(self) -> tuple[StoredTarget, ...]:
        return self._link.all(TARGET_ROW.read, _ALL.text)

    def mark(self) -> str:
        """Returns the installation's mark, or '' before it is set."""
        return self._link.one(str, _MARK) or ""

    def has_epoch(self, epoch: int, since: Instant) -> bool:
        return self._link.one(bool, _EPOCH, (epoch, since)) is not None

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        """As `target`, locked."""
        values = _ONE.values(namespace=namespace, name=name)
        found = self._link.locked(TARGET_ROW.read, _ONE.text, values, CHANGING)
        return found[0] if found else None

    def put_target(self, target: StoredTarget, *, expect: int) -> None:
        """Writes the target if its version is `expect`; 0 requires that it is absent."""
        TARGET_ROW.put(self._link, target, expect)

    def drop_target(self, namespace: str, name: str) -> None:
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, name=name))

    def put_mark(self, mark: str) -> None:
        self._link.change(_PUT_MARK, (mark,))

    def put_epoch(self, epoch: int, since: Instant) -> None:
        self._link.change(_PUT_EPOCH, (epoch, since))
