"""Noticing when a server lists other tools than were pinned, and accepting what it lists.

1. Whenever a gateway has started the server, it says what the server lists now; so does a person who looks. A
   changed schema, annotation or name refuses calls until a person has accepted it;
   changed text is flagged, and the pinned text goes on being served (design 2, tool).
2. A list from another server identity than the pinned one changes every tool.
3. Accepting pins exactly the definition whose digest the person looked at.
4. What a person declared of a tool is of its definition, and falls with it (`declaring`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import ToolAccepted, ToolChanged
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import (
    Gone,
    Same,
    SchemaChanged,
    TextChanged,
    compare,
    compare_list,
    method_definition,
    parse_definition,
    parse_listed,
)
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.tool.declaring import declared, declaring
from taskbound.flows.tool.errors import OtherDefinitionError, UnknownServerError
from taskbound.flows.tool.pin import require_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.tool import Comparison
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.tool.declaring import Declaration
    from taskbound.ports.store import Transaction
    from taskbound.ports.tool import PinnedTool


_LIST: Final = "list the pinned ones with `taskbound tool list`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a tool that was seen differs from the pinned one."""

    tool: str
    state: str
    words: tuple[str, ...]


class Sights:
    """Compares what servers list with their pins; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views

    def see(
        self,
        namespace: str,
        name: str,
        identity: str,
        raws: Sequence[bytes],
        *,
        agent: str | None,
        methods: Sequence[str] = (),
    ) -> tuple[Difference, ...]:
        """Compare what a started server lists with its pins, and keep what differs (rules 1 and 2).

        Args:
            namespace: Where the server is pinned.
            name: The server's name.
            identity: Digest of the identity that was started.
            raws: What it lists.
            agent: Whose gateway started it; None for a person who looks.
            methods: What it says that it can be asked for beside its tools.

        Raises:
            UnknownServerError: It is not pinned, or not for this agent: its gateway has nothing to say of it.
        """
        with self._means.store.read() as snapshot:
            server = require_server(snapshot.tools.server(namespace, name), name)
            pins = snapshot.tools.tools(namespace, server=name)
        if agent is not None and server.agents and agent not in server.agents:
            raise UnknownServerError(f"no server `{name}` is pinned for agent `{agent}`")
        definitions = {pin.name: parse_definition(pin.definition) for pin in pins}
        if identity != server.identity:
            other = ("it comes from another server than the one that was pinned",)
            found: Mapping[str, Comparison] = {
                one.name: SchemaChanged(words=other) for one in definitions.values()
            }
        else:
            found = compare_list(tuple(definitions.values()), raws, server=name, methods=methods)
        seen = _seen(raws, methods)
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
            raise UnknownToolError(f"no tool `{name}` is pinned", remedy=_LIST)
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
                raise UnknownToolError(f"no tool `{name}` is pinned", remedy=_LIST)
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
                idempotent=False,  # 4
                probes=(),
                checks=(),
                effect="",
                roles=(),
                unwatched=False,
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

    def declare(
        self,
        namespace: str,
        name: str,
        definition: str,
        actor: Actor,
        said: Declaration,
    ) -> PinnedTool:
        """Keep what a person says of a tool (rule 4).

        Raises:
            UnknownToolError: The tool is not pinned.
            OtherDefinitionError: Its pinned definition has another digest.
            NotIdempotentError: It says of itself that it is not idempotent.
            BadProbeError: What is to be looked at is not said as it has to be.
            BadRoleError: What an argument is for is not.
        """

        def work(tx: Transaction) -> PinnedTool:
            pin = tx.tools.tool(namespace, name)
            if pin is None:
                raise UnknownToolError(f"no tool `{name}` is pinned", remedy=_LIST)
            if pin.digest != definition:
                raise OtherDefinitionError(f"the pinned definition of `{name}` is not `{definition}`")
            after = declared(pin, said, lambda other: tx.tools.tool(namespace, other))
            tx.tools.put_tool(after, expect=pin.version)
            self._record(tx, namespace, [declaring(after, actor)])
            return after

        after = self._means.store.write(work)
        self._views.forget()
        return after

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._means.writer, events, self._means.clock.now())


def _seen(raws: Sequence[bytes], methods: Sequence[str]) -> Mapping[str, bytes]:
    """The canonical bytes of each definition that can be read, by its own name."""
    seen = {one: method_definition(one).canonical for one in methods}
    for raw in raws:
        try:
            definition = parse_listed(raw)
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
