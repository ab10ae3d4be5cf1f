"""What one set of candidate policies is told of a request: entities, facts and arguments that they read.

1. A fact that is read and was not given, or is of another kind than it must be, makes the
   question unanswerable; it is never left out.
2. The entities are the agent, the tool beneath its server, the tool's action in the group
   `call`, and the task where it is read; of each, only the attributes that are read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from taskbound.adapters.policy.cedar.bundle import ACTIONS, CALL
from taskbound.adapters.policy.cedar.head import Place
from taskbound.adapters.policy.cedar.mapping import tell, tell_beside
from taskbound.adapters.policy.cedar.reads import Reads, merge, reads_within
from taskbound.core.dataclass import dataclass
from taskbound.core.policy import FACTS, Fact, FactKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.adapters.policy.cedar.mapping import Unmapped
    from taskbound.adapters.policy.cedar.reads import Json
    from taskbound.adapters.policy.cedar.shape import Record
    from taskbound.core.policy import PolicyRequest


_BESIDE: Final = ("counts", "keys", "nulls")


class UntoldError(Exception):
    """A fact that is read and can't be told; the engine makes an erring answer of it."""


def uid(kind: str, namespace: str, name: str) -> dict[str, str]:
    """How Cedar's JSON names an entity of a namespace."""
    return {"type": f"Taskbound::{kind}", "id": f"{namespace}/{name}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who and what a request is about, as the heads of policies see it."""

    namespace: str
    agent: str
    tool: str
    server: str

    def places(self) -> tuple[Place, Place, Place]:
        """Principal, action and resource, each with what stands above it."""
        space = self.namespace
        return (
            Place(entity=("Taskbound::Agent", f"{space}/{self.agent}")),
            Place(entity=(ACTIONS, self.tool), above=frozenset({(ACTIONS, CALL)})),
            Place(
                entity=("Taskbound::Tool", f"{space}/{self.tool}"),
                above=frozenset({("Taskbound::Server", f"{space}/{self.server}")}),
            ),
        )


class Telling:
    """What to tell a set of candidates."""

    def __init__(self, reads: Iterable[Reads], facts: Iterable[frozenset[str]]) -> None:
        """Take together what each of them reads."""
        together: Reads = {}
        for one in reads:
            together = merge(together, one)
        self.facts = tuple(sorted(frozenset().union(*facts)))
        """Names of the facts, in order."""
        context = reads_within(together, "context")
        self.arguments: Reads = reads_within(context, "arguments")
        self._reads_arguments = context is None or "arguments" in context
        self._beside = tuple(one for one in _BESIDE if context is None or one in context)
        self._beside_reads = {one: reads_within(context, one) for one in self._beside}
        self.reads_task = context is None or "task" in context
        self.reads_call = self._reads_arguments or bool(self._beside)
        """Whether anything of the arguments is read."""

    def values(self, request: PolicyRequest) -> tuple[Fact, ...]:
        """The facts that are read, in order (rule 1)."""
        given = request.facts
        try:
            return tuple([given[one] for one in self.facts])
        except KeyError as error:
            raise UntoldError(f"the fact {error} is read and was not given") from error

    def call(self, request: PolicyRequest, shape: Record) -> tuple[dict[str, Json], tuple[Unmapped, ...]]:
        """What is read of the arguments, as parts of the context, and what of it is unmapped."""
        told: dict[str, Json] = {}
        unmapped: tuple[Unmapped, ...] = ()
        if self._reads_arguments:
            told["arguments"], unmapped = tell(request.arguments, shape, self.arguments)
        for one in self._beside:
            told[one] = tell_beside(request.arguments, one, self._beside_reads[one])
        return told, unmapped

    def context(self, request: PolicyRequest, call: dict[str, Json]) -> str:
        """The whole context as Cedar's JSON."""
        told = self._attributes(request, "") | call
        if self.reads_task:
            told["task"] = {"__entity": dict(uid("Task", request.namespace, request.task))}
        return json.dumps(told)

    def entities(self, request: PolicyRequest) -> str:
        """The entities as Cedar's JSON (rule 2)."""
        space = request.namespace
        server: Json = dict(uid("Server", space, request.server))
        group: Json = {"type": ACTIONS, "id": CALL}
        agent, tool = uid("Agent", space, request.agent), uid("Tool", space, request.tool)
        found: list[Json] = [
            _entity(agent, self._attributes(request, "agent."), []),
            _entity(tool, self._attributes(request, "tool."), [server]),
            _entity({"type": ACTIONS, "id": request.tool}, {}, [group]),
        ]
        if self.reads_task:
            task = uid("Task", space, request.task)
            found.append(_entity(task, self._attributes(request, "task."), []))
        return json.dumps(found)

    def _attributes(self, request: PolicyRequest, above: str) -> dict[str, Json]:
        return {
            name.removeprefix(above): _told(request, name)
            for name in self.facts
            if name.startswith(above) and ("." in name) is bool(above)
        }


def _entity(name: Mapping[str, str], attributes: dict[str, Json], parents: list[Json]) -> Json:
    return {"uid": dict(name), "attrs": attributes, "parents": parents}


def _told(request: PolicyRequest, name: str) -> Json:
    value = request.facts[name]
    match FACTS[name]:
        case FactKind.TRUTH if isinstance(value, bool):
            return value
        case FactKind.NUMBER if isinstance(value, int) and not isinstance(value, bool):
            return value
        case FactKind.TEXT if isinstance(value, str):
            return value
        case FactKind.TEXTS if isinstance(value, tuple):
            return list(value)
        case FactKind.PERSON if isinstance(value, str):
            return {"__entity": dict(uid("Person", request.namespace, value))}
        case FactKind.PERSONS if isinstance(value, tuple):
            return [{"__entity": dict(uid("Person", request.namespace, one))} for one in value]
        case kind:
            raise UntoldError(f"the fact `{name}` is not of the kind `{kind.value}`")
