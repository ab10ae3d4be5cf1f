"""What a person declares of a tool's pinned definition.

1. What is not said stays as it is.
2. What a server says of idempotence never loosens anything: it can only keep a person from declaring it.
3. A probe, and what shows an effect, is of an argument that the pinned schema has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taskbound.core.approval import BadProbeError, parse_probes
from taskbound.core.approval.check import parse_checks
from taskbound.core.tool import parse_definition
from taskbound.flows.tool.errors import NotIdempotentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.approval import Probe
    from taskbound.core.tool import ToolDefinition
    from taskbound.ports.tool import PinnedTool

__all__ = ["Declaration", "declared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What is said; None where nothing is (rule 1)."""

    idempotent: bool | None = None
    probes: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None


def declared(pin: PinnedTool, said: Declaration) -> PinnedTool:
    """The tool with what is said of it.

    Raises:
        NotIdempotentError: It says of itself that it is not idempotent.
        BadProbeError: What is to be looked at is not said as it has to be.
    """
    definition = parse_definition(pin.definition)
    if said.idempotent and definition.denies_idempotence:
        raise NotIdempotentError(f"`{pin.name}` says of itself that it is not idempotent")  # 2
    return replace(
        pin,
        idempotent=pin.idempotent if said.idempotent is None else said.idempotent,
        probes=pin.probes if said.probes is None else _probes(definition, said.probes),
        checks=pin.checks if said.checks is None else _checks(definition, said.checks),
        version=pin.version + 1,
    )


def _probes(definition: ToolDefinition, texts: tuple[str, ...]) -> tuple[str, ...]:
    found = parse_probes(texts)
    _require_arguments(definition, found)
    return tuple(one.text for one in found)


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
