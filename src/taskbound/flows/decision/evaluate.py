"""Evaluates one call, read only, in the order of the design: parse, identity, task, scope, policy.

Of `evaluate`:

1. The bytes are parsed again here, strictly: whoever sent them is not trusted to have done so, and they must
   be their own canonical form, since they are what runs.
2. The first step that finds something in the way ends the evaluation; its error is the refusal. Nothing that
   goes wrong on the way is anything but a refusal.
3. An action must be covered by the scope of its task, of every ancestor, and by the ceilings of
   their agents (law 3, `covering`).
4. A refusal that comes from a scope says whether the task's requester could grant what was missing: by what
   they may grant and by the ceiling, as they are known here. It is advice, and permits nothing.
5. What policy holds is looked at, as far as a person declared that its arguments name what can change; so it
   is each time that the call is made, also while people are asked. Where a policy reads of that, whatever is
   covered is looked at before policy is asked; what can't be looked at is refused then. Where looking may
   wait, or a tool has to be called for it, the call is given back unseen (`flows.approval.look.looking`).
   After an unknown outcome what a person declared to show the effect is looked at too, for policies that read
   of it.
6. Where a policy reads what of the task's evidence stands, it is verified again for each call.
7. Who asks for a credential names whom its secret is sealed to, and nobody else does, nor who renews one. A
   step of a plan, and what a person narrows to, are given to nobody: who presents them does it then
   (`crediting`).
8. What was read is named by version in the proposal's basis. What the arguments don't change is worked out
   once (`standing`). Its facts are those that were found: a refusal that comes before policy leaves out what
   was not looked at then.

Of `crediting`:

1. Its arguments fit the pinned definition of its kind, which is ours (`core.target`). Of other tools nobody
   but their servers can say that; of these nobody else would look before a target is called.
2. It can live: for a number of seconds that its kind allows, and for a second at least before the first
   deadline of its task and that one's ancestors. The commit judges that again by its own instant, and says
   when it ends.
3. What is renewed is judged by the commit alone, by its row. Here nothing is read of it but since when it
   lives, where a policy reads that of what is covered: whoever has no grant for a renewal is told nothing of
   a credential. What is not the task's own is taken to be as old as the task, which no credential of it is
   older than: so nobody is told of another's.
4. What does not fit is refused like what is outside of a scope: with an action and a record of it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Action, canonical, parse_object, require_key
from taskbound.core.credential import end_of, require_recipient
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Holding, Presented, Proposal, Refuse, Verdict, refusal
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError
from taskbound.core.quick import quick
from taskbound.core.target import life_of, require_parameters
from taskbound.flows.approval.look import Brought, Seen, Sight, Unseen, look_at, with_findings
from taskbound.flows.decision.context import Standings
from taskbound.flows.decision.coverage import OUTSIDE, Outside, cover_call, refuse_outside
from taskbound.flows.decision.errors import NotCanonicalError
from taskbound.flows.decision.facts import NOTHING_SOUGHT, Sought, facts_found, verdict_of
from taskbound.flows.decision.retries import NOT_CHECKED, Checked, check, reason_of
from taskbound.flows.decision.usable import require_told

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.scope import Covered
    from taskbound.core.target import Life
    from taskbound.flows.decision.commit import Watched
    from taskbound.flows.decision.context import Standing, ToolView, Views
    from taskbound.flows.decision.facts import Case, Ground
    from taskbound.flows.decision.retries import Attempts
    from taskbound.flows.decision.tokens import Enforcing
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.approval import Operands
    from taskbound.wire.jose import SignatureCheck


_SECOND: Final = 1_000_000


def life_asked_for(ground: Ground, arguments: dict[str, JsonValue], now: Instant) -> Life:
    """For how long a credential is asked for (rules 1 and 2).

    Raises:
        BadParameterError: Its kind has no such parameters.
        BadCredentialLifeError: It can't live so long, or its task is about to end.
        BadKindError: The pinned definition is no kind's.
    """
    definition = ground.tool.definition
    require_parameters(definition, arguments)
    life = life_of(definition, arguments)
    end_of(life.asked, life.most, now, ground.until)
    return life


def life_since_made(views: Views, ground: Ground, life: Life, now: Instant) -> int:
    """For how many seconds a credential lives by what is asked for, begun ones too (rule 3).

    Args:
        views: What of the store is read by.
        ground: What the call stands on.
        life: What is asked for.
        now: When.
    """
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
    """One call as it came from an enforcement point."""

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
    sight: Sight | None = None
    """What was seen for it, once it was given back unseen."""
    read: tuple[str, ...] | None = None
    """The actions that its gateway read by; None where it was not told to, none where there is no gateway."""
    token: str = ""
    """The token that was shown for it over a network; empty where a gateway brings it."""
    watch: Watched | None = None
    """Who is told how long it takes."""
    unwatched: bool | None = False
    """Whether who asks will tell no outcome; None where that is as the tool is declared."""
    subject: str = ""
    """Whom the asker says it is for, as JSON, where they say so: a claim, by which nothing is decided."""
    enforcing: Enforcing | None = None
    """The service that asks in its own name; None where whoever acts asks."""
    recipient: str | None = ""
    """Whom a credential's secret is sealed to; empty for none, None where nobody is
    given a permit (rule 7)."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class _Reached:
    """Nothing stands in the way of the call but policy."""

    tool: ToolView
    covered: Covered
    life: Life | None = None
    """For how long a credential is asked for (rule 7)."""


class Evaluator:
    """Evaluates calls against views of the store and the policies in force."""

    def __init__(self, views: Views, policies: Policies, operands: Operands, tokens: SignatureCheck) -> None:
        """Keep what to read from, and what to look with."""
        self._views = views
        self._operands = operands
        self._tokens = tokens
        self._standings = Standings(views, policies)

    def evaluate(self, call: Call, action_id: str, now: Instant) -> Proposal | Unseen:
        """The proposal for this call, whatever is in its way, or what has to be looked at first.

        Args:
            call: The call.
            action_id: The id that the action will have.
            now: The instant of the evaluation.

        Raises:
            MalformedError: Its arguments, key or recipient can't be any; there is no action then.
            DamagedBundleError: The bundle in force is not whole; nothing is decided then.
        """
        require_key(call.key)
        arguments = parse_object(call.arguments)
        standing = self._standings.of(call)
        if canonical(arguments) != call.arguments:
            raise NotCanonicalError("the arguments are not in canonical form")  # 1
        if (standing.mints or call.recipient) and call.recipient is not None:
            require_recipient(call.recipient, credential=standing.mints_by(arguments))  # 7
        action = Action(frame=standing.frame, arguments=call.arguments)
        attempts, outcome = self._before(call.namespace, standing, action)
        flagged = action.flags()
        flags = tuple(sorted({flag.kind.value for flag in flagged})) if flagged else ()
        reached = self._reach(call, standing, arguments, now)
        seen = self._look(reached, arguments, call, now) if standing.reads_operands else None
        checked = self._check(call, standing, reached, arguments, attempts, now)
        if isinstance(seen, Unseen):
            return seen
        if isinstance(checked, Unseen):
            return checked
        case = standing.case(
            flags,
            outcome,
            call.proof,
            now,
            self._sought(standing, attempts, seen, checked, now, self._lived(call, standing, reached, now)),
        )
        verdict = self._verdict(call, reached, case, arguments, seen, now)
        if isinstance(verdict, Unseen):
            return verdict
        if isinstance(verdict, Holding):
            hold = verdict.hold
            verdict = replace(verdict, hold=replace(hold, reasons=(*hold.reasons, *reason_of(checked))))
        return Proposal(
            id=action_id,
            action=action,
            root=standing.root,
            presented=Presented(connection=call.connection, request=call.request, key=call.key),
            verdict=verdict,
            basis=case.basis,
            flags=flags,
            scope=standing.scope,
            facts=_found(case.words, reached, seen),  # 8
            resume=call.resume,
            life=None if isinstance(reached, Refuse) else reached.life,
            unwatched=not isinstance(reached, Refuse) and reached.tool.pinned.unwatched,
        )

    def ground(self, call: Call, now: Instant) -> Ground:
        """What this call stands on, whatever its arguments; raises as `Standing.require`."""
        return self._standings.of(call).require(call.unbound, now)

    def _before(self, namespace: str, standing: Standing, action: Action) -> tuple[Attempts | None, str]:
        """What policy reads of the attempts before, and how the act last ended, if it reads that."""
        if standing.reads_attempts or standing.checks:
            attempts = self._views.attempts(namespace, standing.root, action.act_key)
            return attempts, attempts.history.last_outcome
        if not standing.reads_outcome:
            return None, ""
        return None, self._views.last_outcome(standing.root, action.act_key)

    def _reach(
        self, call: Call, standing: Standing, arguments: dict[str, JsonValue], now: Instant
    ) -> _Reached | Refuse:
        """What the call stands on and what covers it, or why it gets no further."""
        try:
            ground = standing.require(call.unbound, now)
        except DeniedError as error:
            return refusal(error)
        try:
            require_told(ground.tool.pinned, unwatched=call.unwatched)
            life = life_asked_for(ground, arguments, now) if standing.mints else None  # 7
        except (DeniedError, MalformedError) as error:
            return refusal(error)
        covered = cover_call(ground, arguments)
        if isinstance(covered, Outside):
            return refuse_outside(self._views, ground, covered, arguments)  # 4
        return _Reached(tool=ground.tool, covered=covered, life=life)

    def _verdict(
        self,
        call: Call,
        reached: _Reached | Refuse,
        case: Case,
        arguments: dict[str, JsonValue],
        seen: Seen | None,
        now: Instant,
    ) -> Verdict | Unseen:
        if isinstance(reached, Refuse):
            return reached
        if seen is not None and seen.blocked is not None:
            return refusal(seen.blocked)  # 5
        verdict = verdict_of(case.conclusion(arguments), reached.covered)
        if not reached.tool.pinned.probes or not (call.resume or isinstance(verdict, Holding)):
            return verdict
        found = seen or self._look(reached, arguments, call, now)
        if isinstance(found, Unseen):
            return found
        return with_findings(verdict, found, reached.covered)

    def _look(
        self, reached: _Reached | Refuse, arguments: dict[str, JsonValue], call: Call, now: Instant
    ) -> Seen | Unseen:
        """What probes find behind the arguments of what is covered (rule 5)."""
        if isinstance(reached, Refuse):
            return Seen(at=now)
        brought = None
        if call.read is not None:
            brought = Brought(
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
        standing: Standing,
        reached: _Reached | Refuse,
        arguments: dict[str, JsonValue],
        attempts: Attempts | None,
        now: Instant,
    ) -> Checked | Unseen:
        """What shows whether an attempt before had its effect (rule 5)."""
        if isinstance(reached, Refuse) or attempts is None or not standing.checks:
            return NOT_CHECKED
        return check(reached.tool, arguments, attempts, call.sight, now)

    def _lived(self, call: Call, standing: Standing, reached: _Reached | Refuse, now: Instant) -> int:
        """For how long a credential lives by what is covered, where a policy reads that (rule 7)."""
        if isinstance(reached, Refuse) or reached.life is None or not standing.reads_life:
            return 0
        return life_since_made(self._views, standing.require(call.unbound, now), reached.life, now)

    def _sought(
        self,
        standing: Standing,
        attempts: Attempts | None,
        seen: Seen | None,
        checked: Checked,
        now: Instant,
        life: int,
    ) -> Sought:
        """All that was looked up for policy."""
        task = standing.rests_on
        vouching = None if task is None else self._views.vouching(task, self._tokens, now)
        if attempts is None and seen is None and vouching is None and not life:
            return NOTHING_SOUGHT
        times = [one for one in (None if seen is None else seen.at, checked.at) if one is not None]
        return Sought(
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
    words: tuple[tuple[str, str], ...], reached: _Reached | Refuse, seen: Seen | None
) -> tuple[tuple[str, str], ...]:
    """The facts that were found when policy was asked, or when the call got no further (rule 8)."""
    if isinstance(reached, Refuse):
        return facts_found(words, covered=False if reached.code == OUTSIDE else None)
    return words if seen is None or seen.blocked is None else facts_found(words, covered=True)
