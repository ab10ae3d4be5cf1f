"""Recording what came of permitted actions, and whether their results may leave (design 4.9).

1. Outcomes that wait together are one transaction; each answer is durable.
2. A permit whose holder is gone is unknown: nobody assumes that it failed.
3. An ambiguous commit is looked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError
from taskbound.flows.action.sheet import Release, Released, Report, Sheet, Withhold
from taskbound.ports.store import AmbiguousCommitError, ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.flows.means import Means
    from taskbound.ports.store import Transaction

__all__ = ["Outcomes"]

_ROUNDS: Final = 4


class Outcomes:
    """Records outcomes in groups; used from one thread at a time."""

    def __init__(self, means: Means) -> None:
        """Keep what to record with."""
        self._means = means

    def record(self, reports: Sequence[Report]) -> tuple[Released, ...]:
        """For each report, in order, whether its result may leave; each durable."""
        by_namespace: dict[str, list[int]] = {}
        for number, report in enumerate(reports):
            by_namespace.setdefault(report.namespace, []).append(number)
        answers: dict[int, Released] = {}
        for namespace, numbers in by_namespace.items():
            group = [reports[number] for number in numbers]
            answers.update(zip(numbers, self._group(namespace, group), strict=True))
        return tuple(answers[number] for number in range(len(reports)))

    def lose(self, namespace: str, *, connection: str, reason: str) -> int:
        """Make every open permit of a connection unknown (rule 2); how many there were."""
        with self._means.store.read() as snapshot:
            permits = snapshot.actions.open_permits(namespace, connection=connection)
        reports = [
            Report(
                namespace=namespace, connection=one.connection, action=one.id, outcome="unknown", note=reason
            )
            for one in permits
        ]
        self.record(reports)
        return len(reports)

    def lose_strangers(self, held: frozenset[str], *, reason: str) -> int:
        """Make open permits unknown whose connection is none of these; how many there were."""
        with self._means.store.read() as snapshot:
            reports = [
                Report(
                    namespace=space, connection=one.connection, action=one.id, outcome="unknown", note=reason
                )
                for space in snapshot.actions.namespaces()
                for one in snapshot.actions.open_permits(space)
                if one.connection not in held
            ]
        self.record(reports)
        return len(reports)

    def _group(self, namespace: str, reports: Sequence[Report]) -> Sequence[Released]:
        for _ in range(_ROUNDS):
            try:
                return self._means.store.write(lambda tx: self._write(tx, namespace, reports))
            except AmbiguousCommitError:
                return [self._look_up(one) for one in reports]  # 3
            except ConflictError:
                continue
            except UnavailableError as error:
                return [Withhold(action=one.action, code=error.code, reason=error.message) for one in reports]
        reason = "the outcome could not be recorded: what it depends on kept changing"
        return [Withhold(action=one.action, code="contended", reason=reason) for one in reports]

    def _look_up(self, report: Report) -> Released:
        with self._means.store.read() as snapshot:
            kept = snapshot.actions.action(report.namespace, report.action)
        if kept is not None and kept.released:
            return Release(action=report.action)
        return Withhold(
            action=report.action,
            code="ambiguous-commit",
            reason="nobody knows whether the outcome was recorded",
        )

    def _write(self, tx: Transaction, namespace: str, reports: Sequence[Report]) -> list[Released]:
        switch = tx.revocation.lock_kill_switch(namespace)
        permits = tx.actions.lock_permits(namespace, [one.action for one in reports])
        heads = tx.tasks.lock_heads(namespace, {one.task for one in permits.values()})
        now = self._means.clock.now()
        sheet = Sheet(namespace, now, switch, heads)
        answers = [sheet.take(one, permits.get(one.action)) for one in reports]
        sheet.write(tx, self._means.writer)
        return answers
