"""Recording what came of permitted actions, and whether their results may leave (design 4.9).

1. Outcomes that wait together are one transaction; each answer is durable.
2. A permit whose holder is gone is unknown: nobody assumes that it failed.
3. An ambiguous commit is looked up.
4. An outcome that could not be recorded is said to be so: its holder owes it, and tells it again. One that
   is told again is answered with what stands.
5. A token that was revoked while an outcome waited tells nothing any more.
6. An outcome that can't be believed (`sheet`, rule 4) is refused, and leaves one record, as far as the
   agent's allowance goes: its action stands as it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import CredentialWrittenError, TokenIssuedError
from taskbound.core.audit import OutcomeRefused
from taskbound.core.credential import credential_of, is_never_begun
from taskbound.core.decision import TooManyRefusalsError
from taskbound.core.errors import UnavailableError
from taskbound.flows.action.sheet import OPEN, UNSENT, Release, Released, Report, Sheet, Withhold
from taskbound.flows.credential.naming import renewed_with
from taskbound.flows.decision.tokens import ended_tokens
from taskbound.ports.store import AmbiguousCommitError, ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.clock import Instant
    from taskbound.flows.decision.refusals import Refusals
    from taskbound.flows.means import Means
    from taskbound.ports.action import OpenPermit
    from taskbound.ports.store import Transaction


_ROUNDS: Final = 4
_UNBELIEVED: Final = frozenset({CredentialWrittenError.code, TokenIssuedError.code})


class NotRecordedError(UnavailableError):
    """What came of some actions could not be recorded."""

    code = "not-recorded"
    remedy = "look at the daemon's log: it is tried again"


class Outcomes:
    """Records outcomes in groups; used from one thread at a time."""

    def __init__(self, means: Means, refusals: Refusals) -> None:
        """Keep what to record with, and who may be refused how often."""
        self._means = means
        self._refusals = refusals

    def record(self, reports: Sequence[Report]) -> tuple[Released, ...]:
        """For each report, in order, whether its result may leave; each durable."""
        by_namespace: dict[str, list[int]] = {}
        for number, report in enumerate(reports):
            by_namespace.setdefault(report.namespace, []).append(number)
        answers: dict[int, Released] = {}
        for namespace, numbers in by_namespace.items():
            group = [reports[number] for number in numbers]
            answers.update(zip(numbers, self._group(namespace, group), strict=True))
        return tuple(self._left(reports[number], answers[number]) for number in range(len(reports)))

    def lose(self, namespace: str, *, connection: str, reason: str) -> int:
        """Make every open permit of a connection unknown (rule 2); how many there were.

        Raises:
            NotRecordedError: Not all of it could be recorded: try again.
        """
        with self._means.store.read() as snapshot:
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
        """The answer, once what was refused has left its record (rule 6)."""
        if not isinstance(answer, Withhold) or answer.code not in _UNBELIEVED:
            return answer
        means = self._means
        try:
            with means.store.read() as snapshot:
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
            means.store.write(
                lambda tx: tx.audit.append(report.namespace, means.writer, [event], means.clock.now())
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
                return self._means.store.write(lambda tx: self._write(tx, namespace, reports))
            except AmbiguousCommitError:
                return [self._look_up(one) for one in reports]  # 3
            except ConflictError:
                continue
            except UnavailableError as error:
                return [_owed(one, error.code, error.message) for one in reports]  # 4
        reason = "the outcome could not be recorded: what it depends on kept changing"
        return [_owed(one, "contended", reason) for one in reports]

    def _look_up(self, report: Report) -> Released:
        try:
            with self._means.store.read() as snapshot:
                kept = snapshot.actions.action(report.namespace, report.action)
        except UnavailableError as error:
            return _owed(report, error.code, error.message)
        if kept is not None and kept.released:
            return Release(action=report.action)
        reason = "nobody knew whether the outcome was recorded"
        recorded = kept is None or kept.finished is not None
        return Withhold(action=report.action, code="ambiguous-commit", reason=reason, recorded=recorded)

    def _write(self, tx: Transaction, namespace: str, reports: Sequence[Report]) -> list[Released]:
        switch = tx.revocation.lock_kill_switch(namespace)
        permits = tx.actions.lock_permits(namespace, [one.action for one in reports])
        heads = tx.tasks.lock_heads(namespace, {one.task for one in permits.values()})
        now = self._means.clock.now()
        unsent = {one.action for one in reports if one.outcome == UNSENT}
        told = {
            one.id
            for one in permits.values()
            if one.id in unsent and tx.tokens.is_told(namespace, one.task, one.id)  # under its lock
        }
        minted = {one for one in unsent if _may_be_done(tx, namespace, one, now)}
        sheet = Sheet(namespace, now, switch, heads, told, minted)
        _, ended = ended_tokens(tx, namespace, {one.token for one in reports if one.token}, now)
        answers: list[Released] = []
        for one in reports:
            if one.token in ended:
                answers.append(_owed(one, ended[one.token].code, ended[one.token].message))  # 5
                continue
            permit = permits.get(one.action)
            before = _told_before(tx, sheet, one, permit)
            answers.append(sheet.take(one, permit) if before is None else before)
        sheet.write(tx, self._means.writer)
        return answers


def _may_be_done(tx: Transaction, namespace: str, action: str, now: Instant) -> bool:
    """Whether a credential of this action may be minted, or renewed by it."""
    row = tx.credentials.credential(namespace, credential_of(action))
    if row is not None:
        return not is_never_begun(row, now)
    return renewed_with(tx, namespace, action) is not None


def _told_before(tx: Transaction, sheet: Sheet, report: Report, permit: OpenPermit | None) -> Released | None:
    """What stands of an outcome that was told before (rule 4); None when it is told for the first time."""
    if permit is None or permit.state in OPEN:
        return None
    kept = tx.actions.action(report.namespace, report.action)
    return None if kept is None else sheet.recall(report, kept)


def _owed(report: Report, code: str, reason: str) -> Withhold:
    return Withhold(action=report.action, code=code, reason=reason, recorded=False)
