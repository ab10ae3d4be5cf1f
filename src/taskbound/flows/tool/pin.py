"""Pins servers with their tools, detects changed lists, and stores persons' declarations.

- A changed schema, annotation or name refuses calls until accepted; changed text is flagged and the pinned
  text served (design 2, tool). A list from another server identity changes every tool. Accepting pins exactly
  the definition whose digest the person saw.
- A pin's first version is its instant in microseconds, so a version is never reused for a name. A server's
  idempotence hint only prevents a declaration, never relaxes.
- A tool read for another is pinned at the same server, only reads, and takes the one argument. If its
  definition changes, calls are refused until declared anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import BadProbeError, ProbeKind, parse_probes
from taskbound.core.approval.probe import parse_checks, parse_reading
from taskbound.core.audit import ToolAccepted, ToolChanged, ToolPinned, UpstreamAdded, UpstreamRemoved
from taskbound.core.audit.events import ToolDeclared
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import (
    CREDENTIAL,
    Effect,
    Gone,
    Same,
    SchemaChanged,
    TextChanged,
    compare,
    compare_list,
    effect_of,
    join_tool_name,
    method_definition,
    parse_definition,
    parse_definitions,
    parse_listed,
    parse_server_name,
    require_distinct,
)
from taskbound.core.tool.file import UNWATCHED, BadRoleError, parse_roles, role_text
from taskbound.core.tool.name import shown
from taskbound.core.tool.slot import require_arguments
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.tool.errors import (
    DeclaredByTargetError,
    NotIdempotentError,
    OtherDefinitionError,
    UnknownServerError,
    UpstreamExistsError,
)
from taskbound.ports.tool import PinnedServer, PinnedTool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskbound.core.approval import Probe
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.tool import Comparison, ServerIdentity, ToolDefinition
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.store import Transaction


class Pins:
    """Pins servers; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views

    def add(  # noqa: PLR0913 -- what a server is pinned with: its name, itself, its start and all that it has
        self,
        name: str,
        identity: ServerIdentity,
        spec: bytes,
        raws: Sequence[bytes],
        *,
        agents: tuple[str, ...],
        actor: Actor,
        methods: Sequence[str] = (),
    ) -> PinnedServer:
        """`raws` are tool objects as received; `spec` starts the server, as JSON; no `agents` means all."""
        namespace = identity.namespace
        parse_server_name(name)
        definitions = (*parse_definitions(raws, server=name), *map(method_definition, sorted(set(methods))))
        require_distinct(one.name for one in definitions)
        require_arguments(identity.slots, definitions)
        server = PinnedServer(
            namespace=namespace,
            name=name,
            spec=spec,
            identity=identity.digest,
            agents=tuple(sorted(set(agents))),
        )

        def work(tx: Transaction) -> None:
            if (there := tx.tools.server(namespace, name)) is not None:
                raise UpstreamExistsError(
                    f"a {'target' if there.is_target else 'server'} named `{name}` is pinned already"
                )
            tx.tools.put_server(server, expect=0)
            events: list[Event] = [_added(server, identity, actor)]
            now = self._adapters.clock.now()
            for definition in definitions:
                tool = _pin(server, definition, now, actor)
                tx.tools.put_tool(tool, expect=0)
                events.append(_pinned(tool, definition, actor))
            self._record(tx, namespace, events)

        self._adapters.store.write(work)
        self._views.forget()
        return server

    def remove(self, namespace: str, name: str, actor: Actor) -> None:
        def work(tx: Transaction) -> None:
            server = tx.tools.server(namespace, name)
            if server is not None and server.is_target:
                raise UnknownServerError(
                    f"`{name}` is a target and no server",
                    remedy=f"take it away with `taskbound target remove {name}`",
                )
            server = require_server(server, name)
            tx.tools.drop_server(namespace, name)
            event = UpstreamRemoved(upstream=name, server=server.identity, by=actor.name, proof=actor.proof)
            self._record(tx, namespace, [event])

        self._adapters.store.write(work)
        self._views.forget()

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._adapters.writer, events, self._adapters.clock.now())


def require_server(server: PinnedServer | None, name: str) -> PinnedServer:
    if server is None or server.is_target:
        raise UnknownServerError(f"no server is named `{name}`")
    return server


def _pin(server: PinnedServer, definition: ToolDefinition, now: Instant, actor: Actor) -> PinnedTool:
    return PinnedTool(
        namespace=server.namespace,
        name=join_tool_name(server.name, definition.name),
        server=server.name,
        identity=server.identity,
        definition=definition.canonical,
        digest=definition.digest,
        state="pinned",
        version=now,
        owner=actor.name,
    )


def _added(server: PinnedServer, identity: ServerIdentity, actor: Actor) -> UpstreamAdded:
    return UpstreamAdded(
        upstream=server.name,
        server=server.identity,
        command=identity.command if identity.remote is None else identity.remote.url,
        by=actor.name,
        proof=actor.proof,
    )


def _pinned(tool: PinnedTool, definition: ToolDefinition, actor: Actor) -> ToolPinned:
    return ToolPinned(
        tool=tool.name,
        server=tool.identity,
        definition=tool.digest,
        effect=definition.effect.value,
        by=actor.name,
        proof=actor.proof,
        owner=tool.owner,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A declaration; None leaves a value unchanged."""

    idempotent: bool | None = None
    probes: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None
    effect: Effect | None = None
    roles: tuple[str, ...] | None = None
    unwatched: bool | None = None


def declared(pin: PinnedTool, said: Declaration, find: Callable[[str], PinnedTool | None]) -> PinnedTool:
    """Returns the tool with the declaration; `find` looks up another pinned tool."""
    definition = parse_definition(pin.definition)
    if said.idempotent and definition.denies_idempotence:
        raise NotIdempotentError(f"`{pin.name}` says of itself that it is not idempotent")
    if said.effect is not None and definition.name.startswith(CREDENTIAL):
        raise DeclaredByTargetError(f"what `{pin.name}` may do is declared in the file of its target")
    if said.unwatched and definition.name.startswith(CREDENTIAL):
        raise DeclaredByTargetError(f"what comes of `{pin.name}` is known: it is a kind of credential")
    return replace(
        pin,
        idempotent=pin.idempotent if said.idempotent is None else said.idempotent,
        probes=pin.probes if said.probes is None else _probes(pin, said.probes, find),
        checks=pin.checks if said.checks is None else _checks(definition, said.checks),
        effect=pin.effect if said.effect is None else said.effect.value,
        roles=pin.roles if said.roles is None else _roles(definition, said.roles),
        unwatched=pin.unwatched if said.unwatched is None else said.unwatched,
        version=pin.version + 1,
    )


def declaring(after: PinnedTool, actor: Actor) -> ToolDeclared:
    return ToolDeclared(
        tool=after.name,
        server=after.identity,
        definition=after.digest,
        idempotent=after.idempotent,
        probes=after.probes,
        checks=after.checks,
        effect=after.effect,
        roles=after.roles,
        outcome=UNWATCHED if after.unwatched else "",
        by=actor.name,
        proof=actor.proof,
    )


def _roles(definition: ToolDefinition, texts: tuple[str, ...]) -> tuple[str, ...]:
    found = parse_roles(texts)
    known = definition.input_schema.get("properties")
    for argument in found:
        if not isinstance(known, dict) or argument not in known:
            raise BadRoleError(f"`{definition.name}` has no argument `{shown(argument)}`")
    return tuple(role_text(argument, role) for argument, role in found.items())


def _probes(
    pin: PinnedTool, texts: tuple[str, ...], find: Callable[[str], PinnedTool | None]
) -> tuple[str, ...]:
    found = parse_probes(texts)
    _require_arguments(parse_definition(pin.definition), found)
    return tuple(
        replace(one, where=_reading(pin, one, find)).text if one.kind is ProbeKind.ANSWER else one.text
        for one in found
    )


def _reading(pin: PinnedTool, probe: Probe, find: Callable[[str], PinnedTool | None]) -> str:
    said = parse_reading(probe.where)
    other = find(said.tool)
    if other is None or other.state != "pinned":
        raise BadProbeError(f"`{said.tool}` is no tool that is pinned as its server lists it")
    if other.name == pin.name or (other.server, other.identity) != (pin.server, pin.identity):
        raise BadProbeError(f"`{said.tool}` is no other tool of the server of `{pin.name}`")
    definition = parse_definition(other.definition)
    if effect_of(definition, other.effect) is not Effect.READ:
        raise BadProbeError(
            f"neither `{said.tool}` nor a person says that it only reads (`readOnlyHint: true`)"
        )
    properties, required = (definition.input_schema.get(one) for one in ("properties", "required"))
    if not isinstance(properties, dict) or said.argument not in properties:
        raise BadProbeError(f"`{said.tool}` has no argument `{said.argument}`")
    if isinstance(required, list) and set(map(str, required)) - {said.argument}:
        raise BadProbeError(f"`{said.tool}` needs more than the argument `{said.argument}`")
    if said.definition not in {"", other.digest}:
        raise BadProbeError(
            f"the pinned definition of `{said.tool}` is another one than the declaration names"
        )
    return replace(said, definition=other.digest).text


def _checks(definition: ToolDefinition, texts: tuple[str, ...]) -> tuple[str, ...]:
    found = parse_checks(texts)
    _require_arguments(definition, [one.probe for one in found])
    return tuple(one.text for one in found)


def _require_arguments(definition: ToolDefinition, probes: Iterable[Probe]) -> None:
    properties = definition.input_schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    for probe in probes:
        for name in (probe.argument, probe.repository):
            if name and name not in known:
                raise BadProbeError(f"`{definition.name}` has no argument `{name}`")


_LIST: Final = "list the pinned ones with `taskbound tool list`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a seen tool differs from its pin."""

    tool: str
    state: str
    words: tuple[str, ...]


class PinComparison:
    """Compares servers' lists with their pins; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
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
        """Stores differences; `agent` is the gateway's, None for a person. May raise UnknownServerError."""
        with self._adapters.store.read() as snapshot:
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
            self._adapters.store.write(lambda tx: self._write_seen(tx, namespace, changes))
            self._views.forget()
        return tuple(differences)

    def difference(self, namespace: str, name: str) -> tuple[PinnedTool, Difference]:
        with self._adapters.store.read() as snapshot:
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
        """Pins the last seen definition; raises OtherDefinitionError also if nothing differs."""

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
                idempotent=False,
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

        after = self._adapters.store.write(work)
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

        after = self._adapters.store.write(work)
        self._views.forget()
        return after

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._adapters.writer, events, self._adapters.clock.now())


def _seen(raws: Sequence[bytes], methods: Sequence[str]) -> Mapping[str, bytes]:
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
