"""Evaluates a Cedar bundle and reports every error and every matching policy.

1. Cedar's own verdict is not used: it skips policies that err, and `bool()` of a denial is true.
2. Whatever Cedar cannot evaluate is answered as an error.
3. Only policies whose head fits are evaluated (`head.HeadIndex`), with only the facts that they read.
4. Cedar names no permit beside a matching forbid. So every policy is evaluated as a permit, and a table here
   knows which of them forbid.
5. Answers are cached by everything that they were computed from; all caches are bounded.
6. A candidate that reads an argument that cannot be mapped errs.

A fact that is read and is missing or of the wrong type is an error, never left out. Entities are the agent,
the tool below its server, the action in the group `call`, and the task if read, each with the attributes
read.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import cedarpy

from taskbound.adapters.policy.cedar.bundle import ACTIONS, CALL, read_bundle
from taskbound.adapters.policy.cedar.mapping import tell, tell_beside
from taskbound.adapters.policy.cedar.operating import OperationsOf
from taskbound.adapters.policy.cedar.reads import EntityPath, Reads, merge, paths, reads_within
from taskbound.adapters.policy.cedar.vocabulary import Record, shape_of
from taskbound.core.dataclass import dataclass
from taskbound.core.policy import FACTS, Erred, Fact, FactKind, Forbid, PolicyAnswer, PolicyReads, PolicyTrace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.adapters.policy.cedar.bundle import Policy
    from taskbound.adapters.policy.cedar.mapping import Unmapped
    from taskbound.adapters.policy.cedar.reads import Json
    from taskbound.core.policy import PolicyRequest


_BESIDE: Final = ("counts", "keys", "nulls")


class UntoldError(Exception):
    """A fact is missing or of the wrong type; the engine answers with an error."""


def uid(kind: str, namespace: str, name: str) -> dict[str, str]:
    return {"type": f"Taskbound::{kind}", "id": f"{namespace}/{name}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadContext:
    """The agent, tool and action of a request, as policy heads see them."""

    namespace: str
    agent: str
    tool: str
    server: str

    def places(self) -> tuple[EntityPath, EntityPath, EntityPath]:
        space = self.namespace
        return (
            EntityPath(entity=("Taskbound::Agent", f"{space}/{self.agent}")),
            EntityPath(entity=(ACTIONS, self.tool), above=frozenset({(ACTIONS, CALL)})),
            EntityPath(
                entity=("Taskbound::Tool", f"{space}/{self.tool}"),
                above=frozenset({("Taskbound::Server", f"{space}/{self.server}")}),
            ),
        )


class ReadFacts:
    """The facts and arguments that a set of candidates reads."""

    def __init__(self, reads: Iterable[Reads], facts: Iterable[frozenset[str]]) -> None:
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
        given = request.facts
        try:
            return tuple([given[one] for one in self.facts])
        except KeyError as error:
            raise UntoldError(f"the fact {error} is read and was not given") from error

    def call(self, request: PolicyRequest, shape: Record) -> tuple[dict[str, Json], tuple[Unmapped, ...]]:
        """Returns the context parts of the arguments that are read, and what could not be mapped."""
        told: dict[str, Json] = {}
        unmapped: tuple[Unmapped, ...] = ()
        if self._reads_arguments:
            told["arguments"], unmapped = tell(request.arguments, shape, self.arguments)
        for one in self._beside:
            told[one] = tell_beside(request.arguments, one, self._beside_reads[one])
        return told, unmapped

    def context(self, request: PolicyRequest, call: dict[str, Json]) -> str:
        told = self._attributes(request, "") | call
        if self.reads_task:
            told["task"] = {"__entity": dict(uid("Task", request.namespace, request.task))}
        return json.dumps(told)

    def entities(self, request: PolicyRequest) -> str:
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


_ANSWERS: Final = 4_096
_ENTITIES: Final = 4_096
_SHAPES: Final = 1_024
_STANDINGS: Final = 16_384
_PARSED: Final = 40_000
"""Policies held in parsed form, over all sets of candidates."""
_ERROR: Final = re.compile(r"error while evaluating policy `policy(\d+)`: (.*)", re.DOTALL)
_Who: TypeAlias = "tuple[str, str, str, str]"
_Key: TypeAlias = "tuple[_Who, str, tuple[Fact, ...], str]"
K = TypeVar("K")
V = TypeVar("V")


def base_bundle() -> str:
    return f"{_text('base.cedar')}\n{rights()}"


def rights() -> str:
    return _text("operations.cedar")


def _text(name: str) -> str:
    return files("taskbound.adapters.policy.cedar").joinpath(name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """Policies that can apply, ready to be evaluated."""

    numbers: tuple[int, ...]
    handle: cedarpy.PolicySet
    telling: ReadFacts


class CedarPolicyEngine:
    """A parsed bundle; see `taskbound.ports.policy.PolicyEngine`."""

    def __init__(self, text: str, *, digest: str = "") -> None:
        """Parses the bundle; raises PolicySyntaxError. An empty `digest` means SHA-256 of the text."""
        self._bundle = read_bundle(text)
        self._digest = digest or sha256(text.encode()).hexdigest()
        self.operations = OperationsOf(self._bundle, self._digest)
        """What it says of operations of our own API."""
        self._parsed = 0
        self._sets: dict[tuple[int, ...], _Candidates] = {}
        self._standings: dict[_Who, _Candidates] = {}
        self._shapes: dict[str, Record] = {}
        self._entities: dict[tuple[_Who, str, tuple[Fact, ...]], cedarpy.Entities] = {}
        self._answers: dict[_Key, PolicyAnswer] = {}

    @property
    def bundle(self) -> str:
        return self._digest

    @property
    def reads(self) -> frozenset[str]:
        return self._bundle.reads

    @property
    def policies(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._bundle.policies)

    @property
    def lifters(self) -> frozenset[str]:
        return frozenset(one.lifter for one in self._bundle.policies if one.lifter)

    def reads_of(self, namespace: str, agent: str, tool: str, server: str) -> PolicyReads:
        who = (namespace, agent, tool, server)
        telling = (self._standings.get(who) or self._stand(who)).telling
        return PolicyReads(facts=frozenset(telling.facts), arguments=telling.reads_call)

    def answer(self, request: PolicyRequest) -> PolicyAnswer:
        """Evaluates the request; never raises because of its contents."""
        who = (request.namespace, request.agent, request.tool, request.server)
        candidates = self._standings.get(who) or self._stand(who)
        telling = candidates.telling
        try:
            facts = telling.values(request)
            call: dict[str, Json] = {}
            told = ""
            if telling.reads_call:
                call, unmapped = telling.call(request, self._shape(request))
                if unmapped:
                    return self._unmapped(request, candidates, unmapped)  # 6
                told = json.dumps(call)
            task = request.task if telling.reads_task else ""
            key: _Key = (who, task, facts, told)
            known = self._answers.get(key)
            if known is None:
                known = self._ask(request, candidates, telling.context(request, call), (who, task, facts))
                _make_room(self._answers, _ANSWERS)
                self._answers[key] = known
        except (UntoldError, ValueError, TypeError) as error:
            return self._failed(str(error))  # 2
        return known

    def trace(self, request: PolicyRequest) -> PolicyTrace:
        who = (request.namespace, request.agent, request.tool, request.server)
        candidates = self._standings.get(who) or self._stand(who)
        telling = candidates.telling
        call, _ = telling.call(request, self._shape(request))
        try:
            told = telling.context(request, call)
        except (UntoldError, KeyError) as error:
            told = str(error)
        found = paths(telling.arguments) if telling.arguments != {} else ()
        return PolicyTrace(
            candidates=tuple(self._bundle.policies[one].name for one in candidates.numbers),
            facts=telling.facts,
            arguments=tuple("/".join(("arguments", *path)) for path, _ in found),
            told=told,
        )

    def _stand(self, who: _Who) -> _Candidates:
        namespace, agent, tool, server = who
        standing = HeadContext(namespace=namespace, agent=agent, tool=tool, server=server)
        numbers = self._bundle.index.candidates(*standing.places())  # 3
        known = self._sets.get(numbers)
        if known is None:
            chosen = [self._bundle.policies[one] for one in numbers]
            if self._parsed + len(chosen) > _PARSED:
                self._sets.clear()
                self._standings.clear()
                self._parsed = 0
            known = _Candidates(
                numbers=numbers,
                handle=cedarpy.PolicySet.from_str("\n".join([one.as_permit for one in chosen])),
                telling=ReadFacts([one.reads for one in chosen], [one.facts for one in chosen]),
            )
            self._parsed += len(chosen)
            self._sets[numbers] = known
        _make_room(self._standings, _STANDINGS)
        self._standings[who] = known
        return known

    def _shape(self, request: PolicyRequest) -> Record:
        known = self._shapes.get(request.definition) if request.definition else None
        if known is None:
            known = shape_of(request.schema)
            if request.definition:
                _make_room(self._shapes, _SHAPES)
                self._shapes[request.definition] = known
        return known

    def _ask(
        self,
        request: PolicyRequest,
        candidates: _Candidates,
        context: str,
        about: tuple[_Who, str, tuple[Fact, ...]],
    ) -> PolicyAnswer:
        question = {
            "principal": uid("Agent", request.namespace, request.agent),
            "action": {"type": ACTIONS, "id": request.tool},
            "resource": uid("Tool", request.namespace, request.tool),
            "context": context,
        }
        known = self._entities.get(about)
        if known is None:
            known = cedarpy.Entities.from_json_str(candidates.telling.entities(request))
            _make_room(self._entities, _ENTITIES)
            self._entities[about] = known
        result = cedarpy.is_authorized(question, candidates.handle, known)
        chosen = [self._bundle.policies[one] for one in candidates.numbers]
        erred = _errors(chosen, result.diagnostics.errors)
        if result.decision is cedarpy.Decision.NoDecision and not erred:
            return self._failed("it gave no answer and no reason")  # 2
        matched = [chosen[int(one.removeprefix("policy"))] for one in result.diagnostics.reasons]
        return PolicyAnswer(
            permits=tuple(sorted(one.name for one in matched if not one.forbids)),
            forbids=tuple(
                Forbid(policy=one.name, lifter=one.lifter)
                for one in sorted(matched, key=lambda one: one.name)
                if one.forbids
            ),
            erred=erred,
            bundle=self._digest,
        )

    def _unmapped(
        self, request: PolicyRequest, candidates: _Candidates, missed: tuple[Unmapped, ...]
    ) -> PolicyAnswer:
        shape = self._shape(request)
        erred: list[Erred] = []
        for number in candidates.numbers:
            policy = self._bundle.policies[number]
            reads = reads_within(policy.reads, "context", "arguments")
            own = tell(request.arguments, shape, reads)[1] if reads is None or reads else ()
            if own:
                erred.append(_unmapped(policy.name, own[0]))
        return PolicyAnswer(
            permits=(),
            forbids=(),
            erred=tuple(sorted(erred, key=lambda one: one.policy)) or (_unmapped("engine", missed[0]),),
            bundle=self._digest,
        )

    def _failed(self, words: str) -> PolicyAnswer:
        erred = (Erred(policy="engine", words=words),)
        return PolicyAnswer(permits=(), forbids=(), erred=erred, bundle=self._digest)


def _errors(asked: Sequence[Policy], errors: Sequence[str]) -> tuple[Erred, ...]:
    found: list[Erred] = []
    for one in errors:
        match = _ERROR.fullmatch(one)
        name = asked[int(match[1])].name if match else "engine"
        found.append(Erred(policy=name, words=match[2] if match else one))
    return tuple(sorted(found, key=lambda one: (one.policy, one.words)))


def _unmapped(policy: str, one: Unmapped) -> Erred:
    return Erred(
        policy=policy,
        words=f"it reads `{one.pointer}`, which can't be told to a policy: {one.why}",
        unmapped=one.pointer,
    )


def _make_room(kept: dict[K, V], most: int) -> None:
    if len(kept) >= most:
        kept.clear()
