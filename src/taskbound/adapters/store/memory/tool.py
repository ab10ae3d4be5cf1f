"""Pinned servers and tools, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.ports.tool import PinnedServer, PinnedTool, StoredSecret

__all__ = ["MemoryTools"]


class MemoryTools:
    """Reads servers and tools of a snapshot, and writes them in a transaction."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def server(self, namespace: str, name: str) -> PinnedServer | None:
        """The server, or target, of this name."""
        return self._tables.live().servers.get((namespace, name))

    def servers(self, namespace: str) -> tuple[PinnedServer, ...]:
        """Every server, by name; no target."""
        found = self._tables.live().servers.values()
        mine = [one for one in found if one.namespace == namespace and not one.is_target]
        return tuple(sorted(mine, key=lambda one: one.name))

    def tool(self, namespace: str, name: str) -> PinnedTool | None:
        """The tool of this name."""
        return self._tables.live().tools.get((namespace, name))

    def tools(self, namespace: str, *, server: str = "") -> tuple[PinnedTool, ...]:
        """Every tool, by name; of one server when it is named."""
        found = [
            one
            for one in self._tables.live().tools.values()
            if one.namespace == namespace and (not server or one.server == server)
        ]
        return tuple(sorted(found, key=lambda one: one.name))

    def secrets(self, namespace: str, server: str) -> tuple[StoredSecret, ...]:
        """Of each slot of the server that was ever filled, by slot."""
        found = self._tables.live().secrets.values()
        mine = [one for one in found if (one.namespace, one.server) == (namespace, server)]
        return tuple(sorted(mine, key=lambda one: one.slot))

    def approvers(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        """By tool's name: who approves for it."""
        found = self._tables.live().tool_approvers.items()
        return {name: one for (space, name), one in found if space == namespace}

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each tool that exists."""
        found = {name: self.tool(namespace, name) for name in names}
        return {name: one.version for name, one in found.items() if one is not None}

    def put_server(self, server: PinnedServer, *, expect: int) -> None:
        """Write the server."""
        now = self.server(server.namespace, server.name)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"server `{server.name}`")
        self._tables.servers.put((server.namespace, server.name), server)

    def drop_server(self, namespace: str, name: str) -> None:
        """Take the server, all its tools and all its secrets away."""
        for one in self.tools(namespace, server=name):
            self._tables.tools.put((namespace, one.name), None)
        for secret in self.secrets(namespace, name):
            self._tables.secrets.put((namespace, name, secret.slot), None)
        self._tables.servers.put((namespace, name), None)

    def put_secret(self, secret: StoredSecret) -> None:
        """Write it."""
        key = (secret.namespace, secret.server, secret.slot)
        now = self._tables.live().secrets.get(key)
        if (now.number if now else 0) != secret.number - 1:
            self._tables.conflict(f"the secret in `{secret.slot}` of `{secret.server}`")
        self._tables.secrets.put(key, secret)

    def put_tool(self, tool: PinnedTool, *, expect: int) -> None:
        """Write the tool."""
        now = self.tool(tool.namespace, tool.name)
        if (now.version if now else 0) != expect:
            self._tables.conflict(f"tool `{tool.name}`")
        self._tables.tools.put((tool.namespace, tool.name), tool)

    def put_approvers(self, namespace: str, tool: str, approvers: tuple[str, ...] | None) -> None:
        """Write who approves for the tool."""
        self._tables.live().tool_approvers.put((namespace, tool), approvers)
