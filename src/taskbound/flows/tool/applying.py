"""Applies a tool file; sets owners and approvers of tools.

Changes are shown and applied only under their digest; a relaxation needs explicit consent too. Approvers are
present persons of the namespace and replace the agent's approvers for the tool. They are written after the
tool's row is locked, so a concurrent decision sees them or is evaluated again. The account that owns the data
directory names the owner of a tool without one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.audit.events import ToolApproversChanged, ToolOwnerChanged, UpstreamDeclared
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import NotOwnerError, PersonState
from taskbound.core.tool import effect_of, parse_definition
from taskbound.core.tool.file import Change, Declared, change_of_sharing, changes, digest_of
from taskbound.core.tool.name import shown
from taskbound.flows.decision.errors import UnknownToolError
from taskbound.flows.identity.leaving import require_present, require_self
from taskbound.flows.tool.errors import OtherChangesError, RelaxesError
from taskbound.flows.tool.pin import declared, declaring, require_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.audit import Event
    from taskbound.core.identity import Person
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.tool.pin import Declaration
    from taskbound.ports.store import Transaction
    from taskbound.ports.tool import PinnedServer, PinnedTool, ToolReads


_MOST: Final = 32


class TooManyApproversError(MalformedError):
    """Too many approvers for one tool."""

    code = "too-many-approvers"
    remedy = "name a group in a policy instead: `approval:GROUP`"


def set_approvers(
    adapters: Adapters,
    namespace: str,
    tool: str,
    approvers: tuple[str, ...] | None,
    *,
    actor: Actor,
    owns: bool,
) -> tuple[str, ...]:
    """Sets a tool's approvers; None restores the agent's approvers."""
    require_self(actor, (), owns=owns)
    named = require_few(approvers or ())

    def work(tx: Transaction) -> None:
        pin = tx.tools.tool(namespace, tool)
        if pin is None:
            raise UnknownToolError(
                f"no tool `{tool}` is pinned", remedy="list the pinned ones with `taskbound tool list`"
            )
        tx.tools.put_tool(replace(pin, version=pin.version + 1), expect=pin.version)
        persons, _ = tx.identities.lock_grantors(namespace)
        for name in named:
            require_present(persons.get(name), name)
        tx.tools.put_approvers(namespace, tool, None if approvers is None else named)
        event = ToolApproversChanged(
            tool=tool, approvers=named, by=actor.name, proof=actor.proof, own=approvers is not None
        )
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)
    return named


def require_few(approvers: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the persons without duplicates, sorted; raises TooManyApproversError."""
    named = tuple(sorted(set(approvers)))
    if len(named) > _MOST:
        raise TooManyApproversError(f"at most {_MOST} persons approve for a tool")
    return named


def set_owner(
    adapters: Adapters, namespace: str, tool: str, owner: str, *, actor: Actor, owns: bool
) -> PinnedTool:
    def work(tx: Transaction) -> PinnedTool:
        pin = tx.tools.tool(namespace, tool)
        if pin is None:
            raise UnknownToolError(
                f"no tool `{tool}` is pinned", remedy="list the pinned ones with `taskbound tool list`"
            )
        after = replace(pin, owner=owner, version=pin.version + 1)
        tx.tools.put_tool(after, expect=pin.version)
        persons, _ = tx.identities.lock_grantors(namespace)
        event = owned_by(pin, owner, persons, actor, owns=owns)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return after

    return adapters.store.write(work)


def owned_by(
    pin: PinnedTool, owner: str, persons: Mapping[str, Person], actor: Actor, *, owns: bool
) -> ToolOwnerChanged:
    """Returns the event of a tool's new owner; raises as `set_owner`."""
    require_present(persons.get(owner), owner)
    left = persons.get(pin.owner)
    orphaned = left is None or left.state is not PersonState.PRESENT
    if not (owns if orphaned else actor.name == pin.owner):
        raise NotOwnerError(
            f"only {'the account that owns the data directory' if orphaned else f'`{pin.owner}`'}"
            f" says who owns tool `{pin.name}`",
            remedy="ask an owner to declare it: `taskbound tool list` names them",
        )
    return ToolOwnerChanged(tool=pin.name, before=pin.owner, owner=owner, by=actor.name, proof=actor.proof)


_PEOPLE: Final = frozenset({"approvers", "owner"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDeclaration:
    """What a tool file declares of one tool."""

    name: str
    """`server__tool`."""
    said: Declaration
    approvers: tuple[str, ...] | None = None
    """None where nothing is said of them."""
    owner: str | None = None
    """None where nothing is said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDeclaration:
    """What a tool file declares of a server and its tools."""

    server: str
    tools: tuple[ToolDeclaration, ...]
    shareable: bool | None = None
    """None where nothing is said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The changes that a tool file makes, in order."""

    changes: tuple[Change, ...]

    @property
    def digest(self) -> str:
        """Returns the digest that applying must name."""
        return digest_of(self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sharing:
    server: PinnedServer
    before: bool
    after: bool

    @property
    def changes(self) -> tuple[Change, ...]:
        server = self.server
        return change_of_sharing(server.name, server.identity, before=self.before, after=self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    before: PinnedTool
    after: PinnedTool
    old: tuple[str, ...] | None
    """Who approved for it."""
    new: tuple[str, ...] | None

    @property
    def changes(self) -> tuple[Change, ...]:
        return changes(self.after.name, _held(self.before, self.old), _held(self.after, self.new))

    @property
    def owned(self) -> bool:
        return self.before.owner != self.after.owner

    @property
    def declares(self) -> bool:
        return any(one.what not in _PEOPLE for one in self.changes)


def compare_file(adapters: Adapters, namespace: str, said: FileDeclaration) -> Applied:
    with adapters.store.read() as snapshot:
        return _found(_sharing(snapshot.tools, namespace, said), _steps(snapshot.tools, namespace, said))


def apply_file(  # noqa: PLR0913 -- what is said, by whom, and the two words that it needs
    adapters: Adapters,
    namespace: str,
    said: FileDeclaration,
    *,
    agreed: str,
    relax: bool,
    actor: Actor,
    owns: bool,
) -> Applied:
    """Applies a tool file. `agreed` is the digest of the changes shown; `relax` consents to relaxations."""

    def work(tx: Transaction) -> Applied:
        server, steps = _sharing(tx.tools, namespace, said), _steps(tx.tools, namespace, said)
        found = _found(server, steps)
        if found.digest != agreed:
            raise OtherChangesError("what would change now is not what was shown")
        loose = [one for one in found.changes if one.relaxes]
        if loose and not relax:
            raise RelaxesError(
                f"{loose[0].what} of `{loose[0].tool}` would be {loose[0].after} and not {loose[0].before}"
            )
        changing = [step for step in steps if step.changes]
        for step in changing:
            tx.tools.put_tool(step.after, expect=step.before.version)
        events: list[Event] = [declaring(step.after, actor) for step in changing if step.declares]
        events += _share(tx, server, actor)
        events += _own(tx, namespace, [step for step in changing if step.owned], actor, owns=owns)
        events += _name(tx, namespace, [step for step in changing if step.old != step.new], actor, owns=owns)
        if events:
            tx.audit.append(namespace, adapters.writer, events, adapters.clock.now())
        return found

    return adapters.store.write(work)


def _own(
    tx: Transaction, namespace: str, steps: list[_Step], actor: Actor, *, owns: bool
) -> list[ToolOwnerChanged]:
    if not steps:
        return []
    persons, _ = tx.identities.lock_grantors(namespace)
    return [owned_by(step.before, step.after.owner, persons, actor, owns=owns) for step in steps]


def _name(
    tx: Transaction, namespace: str, steps: list[_Step], actor: Actor, *, owns: bool
) -> list[ToolApproversChanged]:
    if not steps:
        return []
    require_self(actor, (), owns=owns)
    persons, _ = tx.identities.lock_grantors(namespace)
    events: list[ToolApproversChanged] = []
    for step in steps:
        named = step.new or ()
        for name in named:
            require_present(persons.get(name), name)
        tx.tools.put_approvers(namespace, step.after.name, named)
        events.append(
            ToolApproversChanged(tool=step.after.name, approvers=named, by=actor.name, proof=actor.proof)
        )
    return events


def _sharing(tools: ToolReads, namespace: str, said: FileDeclaration) -> _Sharing:
    server = require_server(tools.server(namespace, said.server), said.server)
    before = parse_object(server.spec).get("shareable") is True
    return _Sharing(server=server, before=before, after=before if said.shareable is None else said.shareable)


def _share(tx: Transaction, sharing: _Sharing, actor: Actor) -> list[UpstreamDeclared]:
    server = sharing.server
    if not sharing.changes:
        return []
    spec = canonical(parse_object(server.spec) | {"shareable": sharing.after})
    tx.tools.put_server(replace(server, spec=spec, version=server.version + 1), expect=server.version)
    return [
        UpstreamDeclared(
            upstream=server.name,
            server=server.identity,
            shareable=sharing.after,
            by=actor.name,
            proof=actor.proof,
        )
    ]


def _steps(tools: ToolReads, namespace: str, said: FileDeclaration) -> tuple[_Step, ...]:
    server, sayings = said.server, said.tools
    pins = {pin.name: pin for pin in tools.tools(namespace, server=server)}
    named = tools.approvers(namespace)
    effects = {one.name: one.said.effect for one in sayings}

    def find(name: str) -> PinnedTool | None:
        effect, pin = effects.get(name), tools.tool(namespace, name)
        return replace(pin, effect=effect.value) if effect is not None and pin is not None else pin

    steps: list[_Step] = []
    for one in sorted(sayings, key=lambda saying: saying.name):
        pin = pins.pop(one.name, None)
        if pin is None:
            raise UnknownToolError(
                f"no tool `{shown(one.name)}` of server `{server}` is pinned, or it stands twice",
                remedy="list the pinned ones with `taskbound tool list`",
            )
        old = named.get(one.name)
        new = old if one.approvers is None else require_few(one.approvers)
        after = declared(pin, one.said, find)
        after = after if one.owner is None else replace(after, owner=one.owner)
        steps.append(_Step(before=pin, after=after, old=old, new=new))
    return tuple(steps)


def _found(server: _Sharing, steps: tuple[_Step, ...]) -> Applied:
    return Applied(changes=(*server.changes, *(change for step in steps for change in step.changes)))


def _held(pin: PinnedTool, approvers: tuple[str, ...] | None) -> Declared:
    return Declared(
        definition=pin.digest,
        effect=effect_of(parse_definition(pin.definition), pin.effect),
        roles=pin.roles,
        idempotent=pin.idempotent,
        probes=pin.probes,
        checks=pin.checks,
        approvers=approvers,
        owner=pin.owner,
        unwatched=pin.unwatched,
    )
