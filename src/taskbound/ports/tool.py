"""Stored servers and pinned tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedServer:
    """A pinned server."""

    namespace: str
    name: str
    spec: bytes
    """The `ServerSpec` as canonical JSON: stored whole, read by those who start it."""
    identity: str
    """Digest of the server identity."""
    agents: tuple[str, ...]
    version: int = 1
    is_target: bool = False
    """Whether it is no server but a target, whose tools are its kinds of credentials (`ports.target`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedTool:
    """A tool's pinned definition, and the last seen one if it differs."""

    namespace: str
    name: str
    """`server__tool`."""
    server: str
    """The server's name."""
    identity: str
    definition: bytes
    """Canonical bytes of the pinned tool object without `_meta`."""
    digest: str
    state: str
    """`pinned`, `text-changed`, `schema-changed` or `gone`."""
    seen: bytes = b""
    """Canonical bytes of the definition last seen, empty while it is the pinned one."""
    version: int = 1
    idempotent: bool = False
    """Whether a person declared of this definition that a repeated call has no further effect."""
    probes: tuple[str, ...] = ()
    """What a person declared that its arguments name (`core.approval.Probe`)."""
    checks: tuple[str, ...] = ()
    """What a person declared to show its effect (`core.approval.check.Check`)."""
    effect: str = ""
    """What a person declared that a call may do to the world; empty where its definition says it."""
    roles: tuple[str, ...] = ()
    """What a person declared that its arguments are for (`core.tool.file.Role`)."""
    owner: str = ""
    """Its owner; empty if it has none."""
    unwatched: bool = False
    """Whether a person declared that outcomes of its calls are not reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A slot's value, readable by the egress only."""

    namespace: str
    server: str
    """The server's name."""
    slot: str
    number: int
    """How many values the slot had, removals counted."""
    sealed: str
    """A JWE; empty once the value was taken away."""
    at: Instant


class ToolReads(Protocol):
    """Reads servers and tools, per namespace."""

    def server(self, namespace: str, name: str) -> PinnedServer | None:
        pass

    def servers(self, namespace: str) -> tuple[PinnedServer, ...]:
        pass

    def tool(self, namespace: str, name: str) -> PinnedTool | None:
        pass

    def tools(self, namespace: str, *, server: str = "") -> tuple[PinnedTool, ...]:
        pass

    def secrets(self, namespace: str, server: str) -> tuple[StoredSecret, ...]:
        pass

    def approvers(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        """Returns approvers by tool name, pinned or not; absent if never set."""


class ToolWrites(ToolReads, Protocol):
    """Writes servers and tools; `expect` is the row's required version, 0 if it must not exist."""

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        pass

    def put_server(self, server: PinnedServer, *, expect: int) -> None:
        """Writes the server. MUST raise `ConflictError` for another version."""

    def drop_server(self, namespace: str, name: str) -> None:
        """Deletes the server with all tools and secrets."""

    def put_secret(self, secret: StoredSecret) -> None:
        """Writes it. MUST raise `ConflictError` if the slot's number is not the preceding one."""

    def put_tool(self, tool: PinnedTool, *, expect: int) -> None:
        """Writes the tool. MUST raise `ConflictError` for another version."""

    def put_approvers(self, namespace: str, tool: str, approvers: tuple[str, ...] | None) -> None:
        """Sets the tool's approvers, whatever its pin; None removes them."""
