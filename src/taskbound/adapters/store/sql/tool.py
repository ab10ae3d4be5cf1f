"""Pinned servers and tools, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, text

from taskbound.adapters.store.sql.rows.columns import json_texts, read_texts
from taskbound.adapters.store.sql.rows.known import look_up
from taskbound.adapters.store.sql.rows.statement import Statement, Versioned, given
from taskbound.adapters.store.sql.schema import servers, tools
from taskbound.core.clock import Instant
from taskbound.ports.store import ConflictError
from taskbound.ports.tool import PinnedServer, PinnedTool, StoredSecret

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.sql.rows.link import Link


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
_PUT_SERVER: Final = Versioned(servers, "server")
_PUT_TOOL: Final = Versioned(tools, "tool")
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


class SqlTools:
    """Reads servers and tools through one connection, and writes them in a transaction."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        """Go through this link."""
        self._link = link

    def server(self, namespace: str, name: str) -> PinnedServer | None:
        """The server, or target, of this name."""
        return self._link.one(_server, _SERVER.text, _SERVER.values(namespace=namespace, name=name))

    def servers(self, namespace: str) -> tuple[PinnedServer, ...]:
        """Every server, by name; no target."""
        return self._link.all(_server, _SERVERS.text, _SERVERS.values(namespace=namespace))

    def tool(self, namespace: str, name: str) -> PinnedTool | None:
        """The tool of this name."""
        return self._link.one(_tool, _TOOL.text, _TOOL.values(namespace=namespace, name=name))

    def tools(self, namespace: str, *, server: str = "") -> tuple[PinnedTool, ...]:
        """Every tool, by name; of one server when it is named."""
        if not server:
            return self._link.all(_tool, _TOOLS.text, _TOOLS.values(namespace=namespace))
        values = _TOOLS_OF_SERVER.values(namespace=namespace, server=server)
        return self._link.all(_tool, _TOOLS_OF_SERVER.text, values)

    def secrets(self, namespace: str, server: str) -> tuple[StoredSecret, ...]:
        """Of each slot of the server that was ever filled, by slot."""
        return self._link.all(_secret, _SEALED, (namespace, server))

    def approvers(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        """By tool's name: who approves for it."""
        return dict(self._link.all(_named, _APPROVERS, (namespace,)))

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each tool that exists."""
        known = self._link.known

        def read(missing: Collection[str]) -> Mapping[str, int]:
            return dict(self._link.all(read_version, _VERSIONS, (namespace, json_texts(tuple(missing)))))

        return read(names) if known is None else look_up(known.tools, namespace, names, read)

    def put_server(self, server: PinnedServer, *, expect: int) -> None:
        """Write the server."""
        _PUT_SERVER.put(
            self._link,
            expect,
            namespace=server.namespace,
            name=server.name,
            spec=server.spec,
            identity=server.identity,
            agents=json_texts(server.agents),
            version=server.version,
            target=int(server.is_target),
        )

    def drop_server(self, namespace: str, name: str) -> None:
        """Take the server, all its tools and all its secrets away."""
        self._link.change(_DROP_SEALED, (namespace, name))
        self._link.change(_DROP_TOOLS.text, _DROP_TOOLS.values(namespace=namespace, server=name))
        self._link.change(_DROP_SERVER.text, _DROP_SERVER.values(namespace=namespace, name=name))

    def put_secret(self, secret: StoredSecret) -> None:
        """Write it."""
        place = (secret.namespace, secret.server, secret.slot)
        if secret.number == 1:
            done = self._link.change(_INSERT_SEALED, (*place, 1, secret.sealed, secret.at))
        else:
            new = (secret.number, secret.sealed, secret.at)
            done = self._link.change(_UPDATE_SEALED, (*new, *place, secret.number - 1))
        if done != 1:
            raise ConflictError(f"the secret in `{secret.slot}` of `{secret.server}` is not what it was")

    def put_tool(self, tool: PinnedTool, *, expect: int) -> None:
        """Write the tool."""
        _PUT_TOOL.put(
            self._link,
            expect,
            namespace=tool.namespace,
            name=tool.name,
            server=tool.server,
            identity=tool.identity,
            definition=tool.definition,
            digest=tool.digest,
            state=tool.state,
            seen=tool.seen,
            version=tool.version,
            idempotent=int(tool.idempotent),
            probes=json_texts(tool.probes),
            checks=json_texts(tool.checks),
            effect=tool.effect,
            roles=json_texts(tool.roles),
            owner=tool.owner,
            unwatched=int(tool.unwatched),
        )

    def put_approvers(self, namespace: str, tool: str, approvers: tuple[str, ...] | None) -> None:
        """Write who approves for the tool."""
        if approvers is None:
            self._link.change(_FORGET_APPROVERS, (namespace, tool))
        else:
            self._link.change(_PUT_APPROVERS, (namespace, tool, json_texts(approvers)))


def read_version(name: str, version: int) -> tuple[str, int]:
    """Name and version of a tool, from its columns."""
    return name, version


def _named(tool: str, approvers: str) -> tuple[str, tuple[str, ...]]:
    return tool, read_texts(approvers)


def _secret(  # the columns of a row, in order
    namespace: str, server: str, slot: str, number: int, sealed: str, at: int
) -> StoredSecret:
    return StoredSecret(
        namespace=namespace, server=server, slot=slot, number=number, sealed=sealed, at=Instant(at)
    )


def _server(  # noqa: PLR0913, PLR0917 - the columns of a row, in order
    namespace: str, name: str, spec: bytes, identity: str, agents: str, version: int, target: int
) -> PinnedServer:
    return PinnedServer(
        namespace=namespace,
        name=name,
        spec=spec,
        identity=identity,
        agents=read_texts(agents),
        version=version,
        is_target=bool(target),
    )


def _tool(  # noqa: PLR0913, PLR0917  # the columns of a row, in order
    namespace: str,
    name: str,
    server: str,
    identity: str,
    definition: bytes,
    digest: str,
    state: str,
    seen: bytes,
    version: int,
    idempotent: int,
    probes: str,
    checks: str,
    effect: str,
    roles: str,
    owner: str,
    unwatched: int,
) -> PinnedTool:
    return PinnedTool(
        namespace=namespace,
        name=name,
        server=server,
        identity=identity,
        definition=definition,
        digest=digest,
        state=state,
        seen=seen,
        version=version,
        idempotent=bool(idempotent),
        probes=read_texts(probes),
        checks=read_texts(checks),
        effect=effect,
        roles=read_texts(roles),
        owner=owner,
        unwatched=bool(unwatched),
    )
