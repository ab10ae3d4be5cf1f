"""Pinning servers and their tools, and noticing when they are others than were pinned.

1. A person pins a server with the definitions that its probe listed.
2. Whenever a gateway has started the server, it says what the server lists now. A
   changed schema, annotation or name refuses calls until a person has accepted it;
   changed text is flagged, and the pinned text goes on being served (design 2, tool).
3. Accepting pins exactly the definition whose digest the person looked at.
4. A list from another server identity than the pinned one changes every tool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taskbound.core.audit import ToolAccepted, ToolChanged, ToolPinned, UpstreamAdded, UpstreamRemoved
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.tool import (
    Gone,
    Same,
    SchemaChanged,
    TextChanged,
    compare,
    compare_list,
    join_tool_name,
    parse_definition,
    parse_definitions,
    parse_server_name,
)
from taskbound.flows.decision.evaluate import UnknownToolError
from taskbound.ports.tool import PinnedServer, PinnedTool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.tool import Comparison, ServerIdentity
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction

__all__ = ["Difference", "OtherDefinitionError", "Tools", "UnknownServerError", "UpstreamExistsError"]


class UnknownServerError(DeniedError):
    """No server of this name is pinned."""

    code = "unknown-server"
    remedy = "list them with `taskbound upstream list`"


class UpstreamExistsError(DeniedError):
    """A server of this name is pinned already."""

    code = "upstream-exists"
    remedy = "remove it first with `taskbound upstream remove`, or give another name"


class OtherDefinitionError(DeniedError):
    """The definition that was last seen is not the one that is to be accepted."""

    code = "other-definition"
    remedy = "look at `taskbound tool diff` again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a tool that was seen differs from the pinned one."""

    tool: str
    state: str
    words: tuple[str, ...]


class Tools:
    """Works on servers and tools; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views

    def add(
        self,
        name: str,
        identity: ServerIdentity,
        spec: bytes,
        raws: Sequence[bytes],
        *,
        agents: tuple[str, ...],
        actor: Actor,
    ) -> PinnedServer:
        """Pin a server and its tools (rule 1).

        Args:
            name: The part of its tools' names before `__`.
            identity: Of the server as it was probed.
            spec: All that is needed to start it again, as JSON.
            raws: Each tool object as the probe received it.
            agents: Agents whose gateways offer it; none means every one.
            actor: Who pins it.

        Raises:
            MalformedError: A name or a definition can't be.
            UpstreamExistsError: The name is taken.
        """
        namespace = identity.namespace
        parse_server_name(name)
        definitions = parse_definitions(raws, server=name)
        server = PinnedServer(
            namespace=namespace,
            name=name,
            spec=spec,
            identity=identity.digest,
            agents=tuple(sorted(set(agents))),
        )

        def work(tx: Transaction) -> None:
            if tx.tools.server(namespace, name) is not None:
                raise UpstreamExistsError(f"a server named `{name}` is pinned already")
            tx.tools.put_server(server, expect=0)
            events: list[Event] = [
                UpstreamAdded(
                    upstream=name,
                    server=identity.digest,
                    command=identity.command,
                    by=actor.name,
                    proof=actor.proof,
                )
            ]
            for definition in definitions:
                tool = PinnedTool(
                    namespace=namespace,
                    name=join_tool_name(name, definition.name),
                    server=name,
                    identity=identity.digest,
                    definition=definition.canonical,
                    digest=definition.digest,
                    state="pinned",
                )
                tx.tools.put_tool(tool, expect=0)
                events.append(
                    ToolPinned(
                        tool=tool.name,
                        server=identity.digest,
                        definition=definition.digest,
                        effect=definition.effect.value,
                        by=actor.name,
                        proof=actor.proof,
                    )
                )
            self._record(tx, namespace, events)

        self._means.store.write(work)
        self._views.forget()
        return server

    def remove(self, namespace: str, name: str, actor: Actor) -> None:
        """Take a server and its pins away.

        Raises:
            UnknownServerError: It is not pinned.
        """

        def work(tx: Transaction) -> None:
            server = _require_server(tx.tools.server(namespace, name), name)
            tx.tools.drop_server(namespace, name)
            event = UpstreamRemoved(upstream=name, server=server.identity, by=actor.name, proof=actor.proof)
            self._record(tx, namespace, [event])

        self._means.store.write(work)
        self._views.forget()

    def see(self, namespace: str, name: str, identity: str, raws: Sequence[bytes]) -> tuple[Difference, ...]:
        """Compare what a started server lists with its pins, and keep what differs (rules 2 and 4).

        Raises:
            UnknownServerError: It is not pinned.
        """
        with self._means.store.read() as snapshot:
            server = _require_server(snapshot.tools.server(namespace, name), name)
            pins = snapshot.tools.tools(namespace, server=name)
        definitions = {pin.name: parse_definition(pin.definition) for pin in pins}
        if identity != server.identity:
            other = ("it comes from another server than the one that was pinned",)
            found: Mapping[str, Comparison] = {
                one.name: SchemaChanged(words=other) for one in definitions.values()
            }
        else:
            found = compare_list(tuple(definitions.values()), raws, server=name)
        seen = _seen(raws)
        differences: list[Difference] = []
        changes: list[tuple[PinnedTool, PinnedTool, tuple[str, ...]]] = []
        for pin in pins:
            own = definitions[pin.name].name
            state, words = _state(found[own])
            body = b"" if state == "pinned" else seen.get(own, b"")
            if state != "pinned":
                differences.append(Difference(tool=pin.name, state=state, words=words))
            if (state, body) != (pin.state, pin.seen):
                after = replace(pin, state=state, seen=body, version=pin.version + 1)
                changes.append((pin, after, words))
        if changes:
            self._means.store.write(lambda tx: self._write_seen(tx, namespace, changes))
            self._views.forget()
        return tuple(differences)

    def difference(self, namespace: str, name: str) -> tuple[PinnedTool, Difference]:
        """A tool, and how what was last seen differs from the pin.

        Raises:
            UnknownToolError: It is not pinned.
        """
        with self._means.store.read() as snapshot:
            pin = snapshot.tools.tool(namespace, name)
        if pin is None:
            raise UnknownToolError(f"no tool `{name}` is pinned")
        if pin.state == "gone":
            return pin, Difference(tool=name, state=pin.state, words=("the server lists it no more",))
        if not pin.seen:
            unread = () if pin.state == "pinned" else ("the server's list could not be read",)
            return pin, Difference(tool=name, state=pin.state, words=unread)
        _, words = _state(compare(parse_definition(pin.definition), parse_definition(pin.seen)))
        return pin, Difference(tool=name, state=pin.state, words=words)

    def accept(self, namespace: str, name: str, definition: str, actor: Actor) -> PinnedTool:
        """Pin what was last seen (rule 3).

        Raises:
            UnknownToolError: The tool is not pinned.
            OtherDefinitionError: What was last seen has another digest, or nothing differs.
        """

        def work(tx: Transaction) -> PinnedTool:
            pin = tx.tools.tool(namespace, name)
            if pin is None:
                raise UnknownToolError(f"no tool `{name}` is pinned")
            seen = parse_definition(pin.seen) if pin.seen else None
            if seen is None or seen.digest != definition:
                raise OtherDefinitionError(f"the definition last seen of `{name}` is not `{definition}`")
            after = replace(
                pin,
                definition=seen.canonical,
                digest=seen.digest,
                state="pinned",
                seen=b"",
                version=pin.version + 1,
            )
            tx.tools.put_tool(after, expect=pin.version)
            event = ToolAccepted(
                tool=name,
                server=pin.identity,
                before=pin.digest,
                after=after.digest,
                by=actor.name,
                proof=actor.proof,
            )
            self._record(tx, namespace, [event])
            return after

        after = self._means.store.write(work)
        self._views.forget()
        return after

    def _write_seen(
        self,
        tx: Transaction,
        namespace: str,
        changes: Sequence[tuple[PinnedTool, PinnedTool, tuple[str, ...]]],
    ) -> None:
        events: list[Event] = []
        for before, after, words in changes:
            tx.tools.put_tool(after, expect=before.version)
            events.append(
                ToolChanged(
                    tool=after.name,
                    server=after.identity,
                    pinned=after.digest,
                    seen=parse_definition(after.seen).digest if after.seen else "",
                    change=after.state,
                    difference="; ".join(words),
                )
            )
        self._record(tx, namespace, events)

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._means.writer, events, self._means.clock.now())


def _require_server(server: PinnedServer | None, name: str) -> PinnedServer:
    if server is None:
        raise UnknownServerError(f"no server is named `{name}`")
    return server


def _seen(raws: Sequence[bytes]) -> Mapping[str, bytes]:
    """The canonical bytes of each definition that can be read, by its own name."""
    seen: dict[str, bytes] = {}
    for raw in raws:
        try:
            definition = parse_definition(raw)
        except MalformedError:
            continue
        seen[definition.name] = definition.canonical
    return seen


def _state(comparison: Comparison) -> tuple[str, tuple[str, ...]]:
    match comparison:
        case Same():
            return "pinned", ()
        case TextChanged(words=words):
            return "text-changed", words
        case SchemaChanged(words=words):
            return "schema-changed", words
        case Gone():
            return "gone", ("the server lists it no more",)
