"""Pinned servers and tools in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedServer:
    """A server as a person pinned it."""

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
    """A tool's pinned definition, and the one that was last seen when it is another."""

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
    """The person who answers for it; empty when nobody does."""
    unwatched: bool = False
    """Whether a person declared that nobody tells what comes of its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """What is kept of one slot's value: as only the egress can read it."""

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
    """Reads servers and tools of one namespace at a time."""

    def server(self, namespace: str, name: str) -> PinnedServer | None:
        """The server, or target, of this name."""

    def servers(self, namespace: str) -> tuple[PinnedServer, ...]:
        """Every server, by name; no target."""

    def tool(self, namespace: str, name: str) -> PinnedTool | None:
        """The tool of this name."""

    def tools(self, namespace: str, *, server: str = "") -> tuple[PinnedTool, ...]:
        """Every tool, by name; of one server when it is named."""

    def secrets(self, namespace: str, server: str) -> tuple[StoredSecret, ...]:
        """Of each slot of the server that was ever filled, by slot."""

    def approvers(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        """By tool's name, pinned or not: who approves for it; where nobody was ever named it is absent."""


class ToolWrites(ToolReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each tool that exists, locked against change until the end of the transaction."""

    def put_server(self, server: PinnedServer, *, expect: int) -> None:
        """Write the server. MUST raise `ConflictError` when the version is not `expect`."""

    def drop_server(self, namespace: str, name: str) -> None:
        """Take the server, all its tools and all its secrets away."""

    def put_secret(self, secret: StoredSecret) -> None:
        """Write it. MUST raise `ConflictError` when the slot's number now is not the one before."""

    def put_tool(self, tool: PinnedTool, *, expect: int) -> None:
        """Write the tool. MUST raise `ConflictError` when the version is not `expect`."""

    def put_approvers(self, namespace: str, tool: str, approvers: tuple[str, ...] | None) -> None:
        """Write who approves for the tool, whatever becomes of its pin; None: nobody was ever named."""
