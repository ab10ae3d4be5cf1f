"""Evaluates one call, read only, in order: parse, identity, task, scope, policy.

- The bytes are parsed again, strictly, and must be canonical, since they are what runs. The first failing
  step ends the evaluation as a refusal.
- Operands of held calls are probed each time. If policy reads operands, covered calls are probed before
  policy and refused if they cannot be; slow probes return the call unseen.
- Only a call that requests a new credential names a recipient key; plan steps and narrowings name none. No
  server checks its arguments, so they must fit our definition of the kind (`core.target`).
- Only the commit judges a renewal. Here another task's credential counts as old as the task, to reveal
  nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Action, canonical, parse_object, require_key
from taskbound.core.credential import end_of, require_recipient
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Holding, Presentation, Proposal, Refuse, Verdict, refusal
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.quick import quick
from taskbound.core.target import life_of, require_parameters
from taskbound.flows.approval.look import (
    NeedsProbe,
    OperandFindings,
    ProbedOperands,
    ReadingCalls,
    look_at,
    with_findings,
)
from taskbound.flows.decision.context import ContextCache
from taskbound.flows.decision.coverage import OUTSIDE, OutsideScope, cover_call, refuse_outside
from taskbound.flows.decision.errors import NotCanonicalError
from taskbound.flows.decision.facts import NOTHING_SOUGHT, Lookups, facts_found, verdict_of
from taskbound.flows.decision.retries import NOT_CHECKED, EffectCheck, check, reason_of
from taskbound.flows.decision.usable import require_told

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.scope import Covered
    from taskbound.core.target import Life
    from taskbound.flows.decision.commit import Watched
    from taskbound.flows.decision.context import CallContext, ToolView, Views
    from taskbound.flows.decision.facts import AuthorizedContext, PolicyQuery
    from taskbound.flows.decision.retries import Attempts
    from taskbound.flows.decision.tokens import AskingService
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.approval import Operands
    from taskbound.wire.jose import SignatureCheck


_SECOND: Final = 1_000_000


def life_asked_for(ground: AuthorizedContext, arguments: dict[str, JsonValue], now: Instant) -> Life:
    definition = ground.tool.definition
    require_parameters(definition, arguments)
    life = life_of(definition, arguments)
    end_of(life.asked, life.most, now, ground.until)
    return life


def life_since_made(views: Views, ground: AuthorizedContext, life: Life, now: Instant) -> int:
    """Returns the seconds a credential lives in all, including those since it was minted."""
    ends, began = end_of(life.asked, life.most, now, ground.until), now
    if life.renews:
        task = ground.lineage.task
        row = views.credential(task.namespace, life.renews)
        is_own = row is not None and (row.task, row.agent) == (task.id, ground.agent.name)
        began = row.made if row is not None and is_own else task.started
    return -((began - ends) // _SECOND)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as received from an enforcement point."""

    namespace: str
    agent: str
    task: str
    """The task that the connection is bound to; empty when it is bound to none."""
    unbound: TaskboundError | None
    """Why it is bound to none."""
    connection: str
    request: str
    key: str
    tool: str
    arguments: bytes
    proof: str
    resume: str = ""
    """The held action that the call waits for, when it is asked for again."""
    wait: int = 0
    """Seconds that the gateway will wait for people, if they have to be asked."""
    sight: OperandFindings | None = None
    """What was seen for it, once it was given back unseen."""
    read: tuple[str, ...] | None = None
    """The actions that its gateway read by; None where it was not told to, none where there is no gateway."""
    token: str = ""
    """The token that was shown for it over a network; empty where a gateway brings it."""
    watch: Watched | None = None
    """Observes the duration."""
    unwatched: bool | None = False
    """Whether who asks will tell no outcome; None where that is as the tool is declared."""
    subject: str = ""
    """Whom the asker says it is for, as JSON, where they say so: a claim, by which nothing is decided."""
    enforcing: AskingService | None = None
    """The service that asks in its own name; None if the agent asks."""
    recipient: str | None = ""
    """The key that a credential's secret is sealed to; empty for none, None if the call gets no permit."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class _Reached:
    tool: ToolView
    covered: Covered
    life: Life | None = None
    """For how long a credential is asked for."""


class Evaluator:
    """Evaluates calls against views of the store and the policies in force."""

    def __init__(self, views: Views, policies: Policies, operands: Operands, tokens: SignatureCheck) -> None:
        self._views = views
        self._operands = operands
        self._tokens = tokens
        self._standings = ContextCache(views, policies)

    def evaluate(self, call: Call, action_id: str, now: Instant) -> Proposal | NeedsProbe:
        """Returns the proposal for this call, or what must be looked at first."""
        require_key(call.key)
        arguments = parse_object(call.arguments)
        standing = self._standings.of(call)
        if canonical(arguments) != call.arguments:
            raise NotCanonicalError("the arguments are not in canonical form")
        if (standing.mints or call.recipient) and call.recipient is not None:
            require_recipient(call.recipient, credential=standing.mints_by(arguments))
        action = Action(frame=standing.frame, arguments=call.arguments)
        attempts, outcome = self._before(call.namespace, standing, action)
        flagged = action.flags()
        flags = tuple(sorted({flag.kind.value for flag in flagged})) if flagged else ()
        reached = self._reach(call, standing, arguments, now)
        seen = self._look(reached, arguments, call, now) if standing.reads_operands else None
        checked = self._check(call, standing, reached, arguments, attempts, now)
        if isinstance(seen, NeedsProbe):
            return seen
        if isinstance(checked, NeedsProbe):
            return checked
        case = standing.case(
            flags,
            outcome,
            call.proof,
            now,
            self._sought(standing, attempts, seen, checked, now, self._lived(call, standing, reached, now)),
        )
        verdict = self._verdict(call, reached, case, arguments, seen, now)
        if isinstance(verdict, NeedsProbe):
            return verdict
        if isinstance(verdict, Holding):
            hold = verdict.hold
            verdict = replace(verdict, hold=replace(hold, reasons=(*hold.reasons, *reason_of(checked))))
        return Proposal(
            id=action_id,
            action=action,
            root=standing.root,
            presented=Presentation(connection=call.connection, request=call.request, key=call.key),
            verdict=verdict,
            basis=case.basis,
            flags=flags,
            scope=standing.scope,
            facts=_found(case.words, reached, seen),
            resume=call.resume,
            life=None if isinstance(reached, Refuse) else reached.life,
            unwatched=not isinstance(reached, Refuse) and reached.tool.pinned.unwatched,
        )

    def ground(self, call: Call, now: Instant) -> AuthorizedContext:
        return self._standings.of(call).require(call.unbound, now)

    def _before(self, namespace: str, standing: CallContext, action: Action) -> tuple[Attempts | None, str]:
        if standing.reads_attempts or standing.checks:
            attempts = self._views.attempts(namespace, standing.root, action.act_key)
            return attempts, attempts.history.last_outcome
        if not standing.reads_outcome:
            return None, ""
        return None, self._views.last_outcome(standing.root, action.act_key)

    def _reach(
        self, call: Call, standing: CallContext, arguments: dict[str, JsonValue], now: Instant
    ) -> _Reached | Refuse:
        try:
            ground = standing.require(call.unbound, now)
        except DeniedError as error:
            return refusal(error)
        try:
            require_told(ground.tool.pinned, unwatched=call.unwatched)
            life = life_asked_for(ground, arguments, now) if standing.mints else None
        except (DeniedError, MalformedError) as error:
            return refusal(error)
        covered = cover_call(ground, arguments)
        if isinstance(covered, OutsideScope):
            return refuse_outside(self._views, ground, covered, arguments)
        return _Reached(tool=ground.tool, covered=covered, life=life)

    def _verdict(
        self,
        call: Call,
        reached: _Reached | Refuse,
        case: PolicyQuery,
        arguments: dict[str, JsonValue],
        seen: ProbedOperands | None,
        now: Instant,
    ) -> Verdict | NeedsProbe:
        if isinstance(reached, Refuse):
            return reached
        if seen is not None and seen.blocked is not None:
            return refusal(seen.blocked)
        verdict = verdict_of(case.conclusion(arguments), reached.covered)
        if not reached.tool.pinned.probes or not (call.resume or isinstance(verdict, Holding)):
            return verdict
        found = seen or self._look(reached, arguments, call, now)
        if isinstance(found, NeedsProbe):
            return found
        return with_findings(verdict, found, reached.covered)

    def _look(
        self, reached: _Reached | Refuse, arguments: dict[str, JsonValue], call: Call, now: Instant
    ) -> ProbedOperands | NeedsProbe:
        if isinstance(reached, Refuse):
            return ProbedOperands(at=now)
        brought = None
        if call.read is not None:
            brought = ReadingCalls(
                task=call.task,
                connection=call.connection,
                request=call.request,
                actions=call.read,
                find=partial(self._views.action, call.namespace),
            )
        return look_at(self._operands, reached.tool, arguments, sight=call.sight, brought=brought, now=now)

    def _check(
        self,
        call: Call,
        standing: CallContext,
        reached: _Reached | Refuse,
        arguments: dict[str, JsonValue],
        attempts: Attempts | None,
        now: Instant,
    ) -> EffectCheck | NeedsProbe:
        if isinstance(reached, Refuse) or attempts is None or not standing.checks:
            return NOT_CHECKED
        return check(reached.tool, arguments, attempts, call.sight, now)

    def _lived(self, call: Call, standing: CallContext, reached: _Reached | Refuse, now: Instant) -> int:
        if isinstance(reached, Refuse) or reached.life is None or not standing.reads_life:
            return 0
        return life_since_made(self._views, standing.require(call.unbound, now), reached.life, now)

    def _sought(
        self,
        standing: CallContext,
        attempts: Attempts | None,
        seen: ProbedOperands | None,
        checked: EffectCheck,
        now: Instant,
        life: int,
    ) -> Lookups:
        task = standing.rests_on
        vouching = None if task is None else self._views.vouching(task, self._tokens, now)
        if attempts is None and seen is None and vouching is None and not life:
            return NOTHING_SOUGHT
        times = [one for one in (None if seen is None else seen.at, checked.at) if one is not None]
        return Lookups(
            attempts=attempts,
            operands=None
            if seen is None
            else tuple(canonical(one.value()).decode() for one in seen.operands),
            vouching=vouching,
            checked=checked,
            credential_life=life,
            looked=min(times, default=None),
        )


def _found(
    words: tuple[tuple[str, str], ...], reached: _Reached | Refuse, seen: ProbedOperands | None
) -> tuple[tuple[str, str], ...]:
    if isinstance(reached, Refuse):
        return facts_found(words, covered=False if reached.code == OUTSIDE else None)
    return words if seen is None or seen.blocked is None else facts_found(words, covered=True)
