"""What a person declares of a tool's pinned definition.

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
from typing import TYPE_CHECKING

from taskbound.core.approval import BadProbeError, ProbeKind, parse_probes
from taskbound.core.approval.answer import parse_reading
from taskbound.core.approval.check import parse_checks
from taskbound.core.audit.events import ToolDeclared
from taskbound.core.dataclass import dataclass
from taskbound.core.tool import CREDENTIAL, Effect, effect_of, parse_definition
from taskbound.core.tool.file import UNWATCHED, BadRoleError, parse_roles, role_text
from taskbound.core.tool.name import shown
from taskbound.flows.tool.errors import DeclaredByTargetError, NotIdempotentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.core.approval import Probe
    from taskbound.core.tool import ToolDefinition
    from taskbound.flows.means import Actor
    from taskbound.ports.tool import PinnedTool


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
