"""Pins servers with their tools, notices changed lists, and keeps a person's declarations.

Of `pin`:

1. A person pins a server; all its tools are pinned with it, or nothing is. So is each method that it says
   it has beside them (`core.tool.method`): one that it has only later is pinned with the server anew.
2. The first version of a pin is the instant at which it was made, and not 1: a daemon that has seen a tool
   which was taken away would take what is pinned under its name for that one. A pin changes less often than
   once in a microsecond, so that no later pin of the name has a version that an earlier one had.
3. Whoever pins a server owns its tools, until they are given to somebody else (`owning`).

Of `see`:

1. Whenever a gateway has started the server, it says what the server lists now; so does a person who looks. A
   changed schema, annotation or name refuses calls until a person has accepted it;
   changed text is flagged, and the pinned text goes on being served (design 2, tool).
2. A list from another server identity than the pinned one changes every tool.
3. Accepting pins exactly the definition whose digest the person looked at.
4. What a person declared of a tool is of its definition, and falls with it (`declaring`).

Of `declaring`:

1. What is not said stays as it is.
2. What a server says of idempotence never loosens anything: it can only keep a person from declaring it.
3. A probe, and what shows an effect, is of an argument that the pinned schema has.
4. What is read for a tool is read by another tool of its server, which is pinned, only reads (it says so, or
   a person does), and takes the one argument. It is kept with that tool's definition: under another it is
   void, and what it was declared for is refused until a person has declared it anew.
5. A role is of an argument that the pinned schema has.
6. What a kind of credential may do is declared in its target's file, whose identity it is part of.
7. What comes of a credential is never unwatched: it has an end, which its action's outcome tells.
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
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


class Pins:
    """Pins servers; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
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
        """Pin a server and its tools.

        Args:
            name: The part of its tools' names before `__`.
            identity: Of the server as it was probed.
            spec: All that is needed to start it again, as JSON.
            raws: Each tool object as the probe received it.
            agents: Agents whose gateways offer it; none means every one.
            actor: Who pins it.
            methods: What the server says that it can be asked for beside its tools.

        Raises:
            MalformedError: A name or a definition can't be, or a slot is an argument that no tool has.
            UpstreamExistsError: The name is taken.
        """
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
            now = self._means.clock.now()
            for definition in definitions:
                tool = _pin(server, definition, now, actor)
                tx.tools.put_tool(tool, expect=0)
                events.append(_pinned(tool, definition, actor))
            self._record(tx, namespace, events)

        self._means.store.write(work)
        self._views.forget()
        return server

    def remove(self, namespace: str, name: str, actor: Actor) -> None:
        """Take a server and its pins away.

        Raises:
            UnknownServerError: It is not pinned, or is a target.
        """

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

        self._means.store.write(work)
        self._views.forget()

    def _record(self, tx: Transaction, namespace: str, events: list[Event]) -> None:
        tx.audit.append(namespace, self._means.writer, events, self._means.clock.now())


def require_server(server: PinnedServer | None, name: str) -> PinnedServer:
    """Go on only with a server; a target is none (`flows.target`).

    Raises:
        UnknownServerError: There is none.
    """
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
        version=now,  # 2
        owner=actor.name,  # 3
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
    """What is said; None where nothing is (rule 1)."""

    idempotent: bool | None = None
    probes: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None
    effect: Effect | None = None
    roles: tuple[str, ...] | None = None
    unwatched: bool | None = None


def declared(pin: PinnedTool, said: Declaration, find: Callable[[str], PinnedTool | None]) -> PinnedTool:
    """The tool with what is said of it.

    Args:
        pin: The tool.
        said: What is said.
        find: Another pinned tool of the namespace, by name.

    Raises:
        DeclaredByTargetError: It is a kind of credential, and its effect is said.
        NotIdempotentError: It says of itself that it is not idempotent.
        BadProbeError: What is to be looked at is not said as it has to be.
        BadRoleError: What an argument is for is not.
    """
    definition = parse_definition(pin.definition)
    if said.idempotent and definition.denies_idempotence:
        raise NotIdempotentError(f"`{pin.name}` says of itself that it is not idempotent")  # 2
    if said.effect is not None and definition.name.startswith(CREDENTIAL):
        raise DeclaredByTargetError(f"what `{pin.name}` may do is declared in the file of its target")  # 6
    if said.unwatched and definition.name.startswith(CREDENTIAL):
        raise DeclaredByTargetError(f"what comes of `{pin.name}` is known: it is a kind of credential")  # 7
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
    """The record of what is declared of a tool from now on."""
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
            raise BadRoleError(f"`{definition.name}` has no argument `{shown(argument)}`")  # 5
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
    """What reads for this tool, with the definition that it has (rule 4)."""
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
                raise BadProbeError(f"`{definition.name}` has no argument `{name}`")  # 3


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
