"""The policy engine's answer, and the conclusion drawn from it here.

The engine's own verdict is never read. Rules, strongest first:

1. a policy that erred refuses, also one that reads an argument that cannot be mapped;
2. a `forbid` without a lifter refuses;
3. if only `forbid` policies with lifters match, the answer is hold;
4. at least one named `permit` permits;
5. no match refuses.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


Fact: TypeAlias = "str | int | bool | tuple[str, ...]"
"""One fact's value; several texts are a set."""


class FactKind(Enum):
    """The type of a fact in policies."""

    TRUTH = "truth"
    NUMBER = "number"
    TEXT = "text"
    TEXTS = "texts"
    PERSON = "person"
    PERSONS = "persons"


FACTS: Final[Mapping[str, FactKind]] = MappingProxyType(
    {
        "attempt": FactKind.NUMBER,
        "changed": FactKind.TEXTS,
        "check_found": FactKind.TEXTS,
        "checked": FactKind.TEXT,
        "covered": FactKind.TRUTH,
        "credential_life": FactKind.NUMBER,
        "effect": FactKind.TEXT,
        "flags": FactKind.TEXTS,
        "idempotent": FactKind.TRUTH,
        "last_action": FactKind.TEXT,
        "last_age": FactKind.NUMBER,
        "last_outcome": FactKind.TEXT,
        "operands": FactKind.TEXTS,
        "proof": FactKind.TEXT,
        "risk": FactKind.TEXT,
        "agent.approvers": FactKind.PERSONS,
        "agent.name": FactKind.TEXT,
        "agent.namespace": FactKind.TEXT,
        "agent.owner": FactKind.PERSON,
        "task.age": FactKind.NUMBER,
        "task.depth": FactKind.NUMBER,
        "task.evidence": FactKind.TEXTS,
        "task.learning": FactKind.TRUTH,
        "task.proven": FactKind.TEXTS,
        "task.purpose": FactKind.TEXT,
        "task.remaining": FactKind.NUMBER,
        "task.requester": FactKind.PERSON,
        "task.unproven": FactKind.TEXTS,
        "tool.effect": FactKind.TEXT,
        "tool.name": FactKind.TEXT,
        "tool.open_world": FactKind.TRUTH,
        "tool.server": FactKind.TEXT,
    }
)
"""The facts that policies may read, by name; names without a prefix are of the call itself.

`task.age` and `task.remaining` are whole seconds since the task's start and until its deadline; `last_age`
since the act's last attempt. `operands` is what probes found behind the arguments, each as one JSON object.
`credential_life` is for how many seconds a credential lives by this call, counted from when it was made: one
that is renewed too. It is 0 of what asks for none.
`checked` is what declared checks show of an effect after an unknown outcome
(`core.approval.check.Shown`), and `check_found` what they found, each as one JSON object.
`risk` is `low`, `medium` or `high`: the highest of what is said of the agent and of those of the tasks above.
`task.proven` and `task.unproven` are the names (`jws`, `jws.ISSUER`) that its signed evidence answers to:
statements that an issuer still makes, and statements that no issuer makes any more.
"""


TIMED: Final = frozenset({"credential_life", "task.age", "task.remaining"})
"""The facts that change with nothing but the time."""
LIVED: Final = "credential_life"
"""The fact for which a credential is looked up that is to be renewed."""
TRIED: Final = frozenset({"attempt", "changed", "last_action", "last_age"})
"""The facts of an act's attempts before; each attempt changes them, and `last_age` the time as well."""


LOOKED: Final = frozenset({"changed", "operands"})
"""The facts for which what the arguments name is looked at, where a person declared that it can change."""


VOUCHED: Final = frozenset({"task.proven", "task.unproven"})
"""The facts for which the task's evidence is verified again, by whose word counts now."""


class PolicySyntaxError(MalformedError):
    """The policy bundle cannot be read, or reads a fact that does not exist."""

    code = "bad-policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRequest:
    """A request to the engine: agent, tool, arguments and facts."""

    namespace: str
    agent: str
    tool: str
    server: str
    task: str = ""
    """Id of the task."""
    arguments: Mapping[str, JsonValue] = field(default_factory=dict)
    definition: str = ""
    """Digest of the tool's pinned definition; two with the same digest have the same schema."""
    schema: Mapping[str, JsonValue] = field(default_factory=dict)
    """The input schema of that definition, which types each argument."""
    facts: Mapping[str, Fact]
    """At least those that the bundle's policies read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTool:
    """A pinned tool, as policies see it."""

    namespace: str
    name: str
    """`server__tool`."""
    server: str
    schema: Mapping[str, JsonValue]
    """Its input schema."""
    definition: str = ""
    """Digest of its pinned definition."""
    effect: str = "destructive"
    open_world: bool = True
    idempotent: bool = False
    """Whether a person declared it so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProblem:
    """A problem at one place of a bundle."""

    file: str
    line: int
    column: int
    policy: str
    """Its name, when it could be read."""
    words: str
    hint: str
    """What to do, or a name that is near; empty when nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbid:
    """A `forbid` that matched, and its lifter (empty for none)."""

    policy: str
    lifter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erred:
    """A policy that could not be evaluated."""

    policy: str
    """Its name; `engine` when none could be."""
    words: str
    unmapped: str = ""
    """The argument that it reads and that can't be told to it, when that was in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReads:
    """Everything that the answer for one agent and tool depends on."""

    facts: frozenset[str]
    """Names of the facts; `task.age` and `task.remaining` change with time."""
    arguments: bool
    """Whether any reads the arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTrace:
    """What the engine read for a request, for explanations only."""

    candidates: tuple[str, ...]
    """The policies whose head fits; the others were not asked."""
    facts: tuple[str, ...]
    """The facts that candidates read."""
    arguments: tuple[str, ...]
    """Pointers of the arguments that candidates read."""
    told: str
    """What they were told in the engine's own form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAnswer(NoTruth):
    """The names of the policies that matched and of those that erred."""

    permits: tuple[str, ...]
    forbids: tuple[Forbid, ...]
    erred: tuple[Erred, ...]
    bundle: str
    """Digest of the bundle that answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted(NoTruth):
    """Policy permits."""

    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(NoTruth):
    """Policy permits once these lifters are given."""

    policies: tuple[str, ...]
    lifters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden(NoTruth):
    """Policy refuses."""

    code: str
    """`policy-erred`, `unmapped-argument`, `forbidden` or `not-permitted`."""
    policies: tuple[str, ...]
    details: tuple[str, ...] = ()
    """A sentence for each policy, where there is more to say than its name; of what no grant covers, why."""


PolicyConclusion = Permitted | Held | Forbidden


def conclude(answer: PolicyAnswer) -> PolicyConclusion:
    if answer.erred:
        return _forbidden(answer.erred)  # 1
    barred = tuple(one.policy for one in answer.forbids if not one.lifter)
    if barred:
        return Forbidden(code="forbidden", policies=barred)  # 2
    if answer.forbids and answer.permits:
        return Held(  # 3
            policies=tuple(one.policy for one in answer.forbids),
            lifters=tuple(sorted({one.lifter for one in answer.forbids})),
        )
    if answer.permits:
        return Permitted(policies=answer.permits)  # 4
    return Forbidden(code="not-permitted", policies=())  # 5


def _forbidden(erred: tuple[Erred, ...]) -> Forbidden:
    unmapped = all(one.unmapped for one in erred)
    return Forbidden(
        code="unmapped-argument" if unmapped else "policy-erred",
        policies=tuple(one.policy for one in erred),
        details=tuple(one.words for one in erred),
    )
