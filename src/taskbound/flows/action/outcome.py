"""Records outcomes of permitted actions and decides whether their results may be released.

- Only the connection that holds the permit (for network calls: a holder of a token of its task) may report,
  once. The same report again gets the recorded answer. A lost connection makes the permit unknown, never
  failed.
- A result is released only if its task and all ancestors are live and nothing is stopped at the commit.
- *Not sent* gives uses and limits back while the task has the scope they were charged to, not after an
  amendment. *Unknown* keeps them, also when a person reconciles it (once).
- *Not sent* is refused once a transaction token of the action may exist or its credential may be minted.
  Issuing a token locks the permit too, so the first commit wins. A contradicting outcome leaves one record,
  within the agent's refusal allowance.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import (
    GIVES_BACK,
    ActionEvent,
    ActionState,
    CredentialWrittenError,
    TokenIssuedError,
    advance,
    require_unsent,
)
from taskbound.core.audit import ActionOutcome, OutcomeRefused
from taskbound.core.audit.events import ActionReconciled
from taskbound.core.credential import credential_of, is_never_begun
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import ActHistory, TooManyRefusalsError
from taskbound.core.decision.hold import is_network_holder
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.core.revocation import require_not_stopped
from taskbound.core.task import require_live
from taskbound.core.transition import NoTruth
from taskbound.flows.action.explain import UnknownActionError
from taskbound.flows.credential.naming import renewed_with
from taskbound.flows.decision.tokens import ended_tokens
from taskbound.ports.action import OutcomeChange
from taskbound.ports.store import AmbiguousCommitError, ConflictError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.revocation import KillSwitch
    from taskbound.core.task import Task, TaskHead
    from taskbound.flows.decision.commit import Refusals
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.action import OpenPermit, StoredAction
    from taskbound.ports.store import Transaction


ANSWER_LIMIT: Final = 1_048_576
"""Bytes of an answer that is kept whole for duplicates; of a larger one only the digest is."""

UNSENT: Final = "not-sent"
"""The report where nothing was done."""
_EVENTS: Final[Mapping[str, tuple[ActionEvent, ...]]] = {
    "succeeded": (ActionEvent.SEND, ActionEvent.SUCCEED),
    "failed": (ActionEvent.SEND, ActionEvent.FAIL),
    "unknown": (ActionEvent.LOSE,),
    UNSENT: (ActionEvent.NOT_SEND,),
}
OPEN: Final = frozenset({ActionState.PERMITTED, ActionState.SENT})
"""Where an outcome is still to come."""
_RESULTS: Final = frozenset({"succeeded", "failed"})
_HISTORY: Final = frozenset({"succeeded", "failed", "unknown"})


class OutcomeSyntaxError(MalformedError):
    """The outcome is none of the four kinds."""

    code = "bad-outcome"
    remedy = "use succeeded, failed, unknown or not-sent"


class NotHolderError(DeniedError):
    """The connection holds no open permit for this action."""

    code = "not-holder"
    remedy = "a permit's outcome can be reported once, in time, by the connection that holds it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of an action, as reported by the holder of its permit."""

    namespace: str
    connection: str
    action: str
    outcome: str
    answer: bytes | None = None
    answer_digest: str = ""
    note: str = ""
    task: str = ""
    """The task whose token was shown, where no connection says it; then `connection` is empty."""
    token: str = ""
    """That token."""

    def __post_init__(self) -> None:
        """Raises OutcomeSyntaxError unless the outcome is one of the four kinds."""
        if self.outcome not in _EVENTS:
            raise OutcomeSyntaxError(f"`{self.outcome}` is no outcome")

    @property
    def digest(self) -> str:
        return self.answer_digest if self.answer is None else sha256(self.answer).hexdigest()

    def holds(self, task: str, connection: str) -> bool:
        if self.token:
            return is_network_holder(connection) and task == self.task
        return connection == self.connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(NoTruth):
    """The outcome is durable; the result may be released."""

    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withhold(NoTruth):
    """The result must be withheld."""

    action: str
    code: str
    reason: str
    recorded: bool = True
    """Whether the outcome is durable: one that is not has to be told again."""
    advice: str = ""
    """What to tell instead, where this will never be recorded."""


Released: TypeAlias = Release | Withhold


class OutcomeBatch:
    """The rows that a group of outcomes changes."""

    def __init__(
        self,
        namespace: str,
        now: Instant,
        switch: KillSwitch,
        heads: Mapping[str, TaskHead],
        told: Collection[str] = (),
        minted: Collection[str] = (),
    ) -> None:
        self._told = told
        self._minted = minted
        self._namespace = namespace
        self._now = now
        self._switch = switch
        self._heads = heads
        self._changes: list[OutcomeChange] = []
        self._events: list[Event] = []
        self._ended: list[tuple[OpenPermit, str]] = []
        self._back: list[OpenPermit] = []
        self._taken: dict[str, tuple[str, str]] = {}

    def take(self, report: Report, permit: OpenPermit | None) -> Released:
        held = permit is not None and report.holds(permit.task, permit.connection)
        if permit is None or not held or permit.state not in OPEN or self._is_another(report):
            error = NotHolderError(f"`{report.action}` is no open permit of who tells this")
            return Withhold(action=report.action, code=error.code, reason=error.message)
        if permit.id in self._taken:
            return self.judge(report, permit.task)  # the same again, in one group
        after = _after(permit.state, _EVENTS[report.outcome])
        try:
            require_unsent(after, told=permit.id in self._told, credential=permit.id in self._minted)
        except (CredentialWrittenError, TokenIssuedError) as error:
            said = Withhold(action=permit.id, code=error.code, reason=error.message, recorded=False)
            return replace(said, advice=error.advice)
        self._taken[permit.id] = report.outcome, report.digest
        answer = self.judge(report, permit.task)
        self._keep(report, permit, after, released=isinstance(answer, Release))
        return answer

    def _is_another(self, report: Report) -> bool:
        told = (report.outcome, report.digest)
        return self._taken.get(report.action, told) != told

    def recall(self, report: Report, kept: StoredAction) -> Released | None:
        """Returns the recorded answer, None if the report differs; a release only while the task runs."""
        same = (kept.state.value, kept.answer_digest) == (report.outcome, report.digest)
        if not (same and report.holds(kept.task, kept.connection)):
            return None
        if report.outcome in _RESULTS and not kept.released:
            return Withhold(action=kept.id, code="withheld", reason="its result was withheld before")
        return self.judge(report, kept.task)

    def judge(self, report: Report, task: str) -> Released:
        if report.outcome not in _RESULTS:
            reason = report.note or "there is no result"
            return Withhold(action=report.action, code=report.outcome, reason=reason)
        try:
            require_not_stopped(self._switch)
            require_live(task, self._heads, self._now)
        except DeniedError as error:
            return Withhold(action=report.action, code=error.code, reason=error.message)
        return Release(action=report.action)

    def _keep(self, report: Report, permit: OpenPermit, after: ActionState, *, released: bool) -> None:
        answer, digest = report.answer, report.digest
        keep = answer if released and answer is not None and len(answer) <= ANSWER_LIMIT else None
        change = OutcomeChange(
            id=permit.id,
            before=permit.state,
            after=after,
            finished=self._now,
            answer=keep,
            answer_digest=digest,
            released=released,
            note=report.note,
        )
        self._changes.append(change)
        self._events.append(
            ActionOutcome(
                action=permit.id,
                task=permit.task,
                before=permit.state.value,
                after=after.value,
                released=released,
                answer=digest,
                reason=report.note,
            )
        )
        if report.outcome in _HISTORY:
            self._ended.append((permit, report.outcome))
        if after in GIVES_BACK:
            self._back.append(permit)

    def write(self, tx: Transaction, writer: str) -> None:
        if not self._changes:
            return
        tx.actions.set_outcomes(self._namespace, self._changes)
        keys = {(permit.root, permit.act_key) for permit, _ in self._ended}
        known = dict(tx.actions.lock_acts(self._namespace, keys)) if keys else {}
        for permit, outcome in self._ended:
            key = (permit.root, permit.act_key)
            known[key] = replace(known.get(key, ActHistory()), last_outcome=outcome)
        if known:
            tx.actions.put_acts(self._namespace, known)
        self._give_back(tx)
        tx.audit.append(self._namespace, writer, self._events, self._now)

    def _give_back(self, tx: Transaction) -> None:
        if not self._back:
            return
        scopes = {one.task: tx.tasks.task(self._namespace, one.task) for one in self._back}
        back = [one for one in self._back if (of := scopes[one.task]) and self._is_of(tx, of, one)]
        left = tx.tasks.lock_remainders(self._namespace, {one.task for one in back})
        after: dict[tuple[str, str], int] = {}
        for permit in back:
            for limit, amount in permit.charges:
                key = (permit.task, limit)
                after[key] = after.get(key, left[permit.task][limit]) + amount
        changes = {(task, limit): (left[task][limit], amount) for (task, limit), amount in after.items()}
        tx.tasks.set_remainders(self._namespace, changes)

    def _is_of(self, tx: Transaction, task: Task, permit: OpenPermit) -> bool:
        """Whether the limits are still those it was charged to; an amendment back to a scope starts anew."""
        if task.scope.digest != permit.scope or task.scope_version == 1:
            return task.scope.digest == permit.scope
        kept = tx.actions.action(self._namespace, permit.id)
        return kept is not None and kept.at > task.since


def _after(state: ActionState, events: tuple[ActionEvent, ...]) -> ActionState:
    for event in events:
        if state is ActionState.SENT and event is ActionEvent.SEND:
            continue
        state = advance(state, event)
    return state


_ROUNDS: Final = 4
_UNBELIEVED: Final = frozenset({CredentialWrittenError.code, TokenIssuedError.code})


class NotRecordedError(UnavailableError):
    """Some outcomes could not be recorded."""

    code = "not-recorded"
    remedy = "look at the daemon's log: it is tried again"


class Outcomes:
    """Records outcomes in groups; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, refusals: Refusals) -> None:
        self._adapters = adapters
        self._refusals = refusals

    def record(self, reports: Sequence[Report]) -> tuple[Released, ...]:
        """Records the reports and returns for each, in order, whether its result may be released."""
        by_namespace: dict[str, list[int]] = {}
        for number, report in enumerate(reports):
            by_namespace.setdefault(report.namespace, []).append(number)
        answers: dict[int, Released] = {}
        for namespace, numbers in by_namespace.items():
            group = [reports[number] for number in numbers]
            answers.update(zip(numbers, self._group(namespace, group), strict=True))
        return tuple(self._left(reports[number], answers[number]) for number in range(len(reports)))

    def lose(self, namespace: str, *, connection: str, reason: str) -> int:
        """Marks a connection's open permits unknown; after NotRecordedError the caller must retry."""
        with self._adapters.store.read() as snapshot:
            permits = snapshot.actions.open_permits(namespace, connection=connection)
        reports = [
            Report(
                namespace=namespace, connection=one.connection, action=one.id, outcome="unknown", note=reason
            )
            for one in permits
        ]
        for answer in self.record(reports):
            if isinstance(answer, Withhold) and not answer.recorded:
                raise NotRecordedError(f"what a lost gateway held could not be recorded: {answer.reason}")
        return len(reports)

    def _left(self, report: Report, answer: Released) -> Released:
        if not isinstance(answer, Withhold) or answer.code not in _UNBELIEVED:
            return answer
        adapters = self._adapters
        try:
            with adapters.store.read() as snapshot:
                kept = snapshot.actions.action(report.namespace, report.action)
            agent = "" if kept is None else kept.agent
            self._refusals.require(report.namespace, agent, code=answer.code)
            event = OutcomeRefused(
                action=report.action,
                task="" if kept is None else kept.task,
                agent=agent,
                outcome=report.outcome,
                code=answer.code,
                connection="" if kept is None else kept.connection,
                token=report.token,
            )
            adapters.store.write(
                lambda tx: tx.audit.append(report.namespace, adapters.writer, [event], adapters.clock.now())
            )
        except TooManyRefusalsError:
            return answer
        except UnavailableError as error:
            return _owed(report, error.code, error.message)
        self._refusals.take(report.namespace, agent)
        return answer

    def _group(self, namespace: str, reports: Sequence[Report]) -> Sequence[Released]:
        for _ in range(_ROUNDS):
            try:
                return self._adapters.store.write(lambda tx: self._write(tx, namespace, reports))
            except AmbiguousCommitError:
                return [self._look_up(one) for one in reports]
            except ConflictError:
                continue
            except UnavailableError as error:
                return [_owed(one, error.code, error.message) for one in reports]
        reason = "the outcome could not be recorded: what it depends on kept changing"
        return [_owed(one, "contended", reason) for one in reports]

    def _look_up(self, report: Report) -> Released:
        try:
            with self._adapters.store.read() as snapshot:
                kept = snapshot.actions.action(report.namespace, report.action)
        except UnavailableError as error:
            return _owed(report, error.code, error.message)
        if kept is not None and kept.released:
            return Release(action=report.action)
        reason = "it is unknown whether the outcome was recorded"
        recorded = kept is None or kept.finished is not None
        return Withhold(action=report.action, code="ambiguous-commit", reason=reason, recorded=recorded)

    def _write(self, tx: Transaction, namespace: str, reports: Sequence[Report]) -> list[Released]:
        switch = tx.revocation.lock_kill_switch(namespace)
        permits = tx.actions.lock_permits(namespace, [one.action for one in reports])
        heads = tx.tasks.lock_heads(namespace, {one.task for one in permits.values()})
        now = self._adapters.clock.now()
        unsent = {one.action for one in reports if one.outcome == UNSENT}
        told = {
            one.id
            for one in permits.values()
            if one.id in unsent and tx.tokens.is_told(namespace, one.task, one.id)  # under its lock
        }
        minted = {one for one in unsent if _may_be_done(tx, namespace, one, now)}
        sheet = OutcomeBatch(namespace, now, switch, heads, told, minted)
        _, ended = ended_tokens(tx, namespace, {one.token for one in reports if one.token}, now)
        answers: list[Released] = []
        for one in reports:
            if one.token in ended:
                answers.append(_owed(one, ended[one.token].code, ended[one.token].message))
                continue
            permit = permits.get(one.action)
            before = _told_before(tx, sheet, one, permit)
            answers.append(sheet.take(one, permit) if before is None else before)
        sheet.write(tx, self._adapters.writer)
        return answers


def _may_be_done(tx: Transaction, namespace: str, action: str, now: Instant) -> bool:
    row = tx.credentials.credential(namespace, credential_of(action))
    if row is not None:
        return not is_never_begun(row, now)
    return renewed_with(tx, namespace, action) is not None


def _told_before(
    tx: Transaction, sheet: OutcomeBatch, report: Report, permit: OpenPermit | None
) -> Released | None:
    if permit is None or permit.state in OPEN:
        return None
    kept = tx.actions.action(report.namespace, report.action)
    return None if kept is None else sheet.recall(report, kept)


def _owed(report: Report, code: str, reason: str) -> Withhold:
    return Withhold(action=report.action, code=code, reason=reason, recorded=False)


_RECONCILE_EVENTS: Final[Mapping[str, ActionEvent]] = {
    "succeeded": ActionEvent.RECONCILE_SUCCEEDED,
    "failed": ActionEvent.RECONCILE_FAILED,
}
_NOTE: Final = 500


class BadReconciliationError(MalformedError):
    """The note is missing or too long, or the outcome is not one that a person may set."""

    code = "bad-reconciliation"
    remedy = "say `succeeded` or `failed`, and in --note how you know"


def reconcile(adapters: Adapters, namespace: str, action: str, outcome: str, note: str, actor: Actor) -> str:
    event = _RECONCILE_EVENTS.get(outcome)
    if event is None:
        raise BadReconciliationError(f"`{outcome}` is nothing that an action can be reconciled as")
    if not note.strip() or len(note) > _NOTE:
        raise BadReconciliationError(f"the note is a text of 1 to {_NOTE} characters")

    def work(tx: Transaction) -> str:
        permit = tx.actions.lock_permits(namespace, [action]).get(action)
        kept = tx.actions.action(namespace, action)
        if kept is None or permit is None:
            raise UnknownActionError(f"no action is named `{action}`")
        after = advance(permit.state, event)
        now = adapters.clock.now()
        change = OutcomeChange(
            id=action,
            before=permit.state,
            after=after,
            finished=now,
            answer=None,
            answer_digest=kept.answer_digest,
            released=False,
            note=note,
        )
        key = (permit.root, permit.act_key)
        history = tx.actions.lock_acts(namespace, [key]).get(key, ActHistory())
        tx.actions.set_outcomes(namespace, [change])
        others = tx.actions.unknowns(namespace, *key)
        tx.actions.put_acts(namespace, {key: history.reconciled(outcome, still_unknown=bool(others))})
        record = ActionReconciled(
            action=action,
            task=permit.task,
            after=after.value,
            note=note,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, adapters.writer, [record], now)
        return after.value

    return adapters.store.write(work)
