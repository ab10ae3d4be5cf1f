from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from taskbound.sdk.wish import TaskCredential
from taskbound.surfaces.cli.running.renewal import Renewals
from taskbound.wire.action import Decide, Permitted
from taskbound.wire.connection import Fault
from taskbound.wire.envelope import Reply
from taskbound.wire.target import AwaitRenewal, Renewed

if TYPE_CHECKING:
    from taskbound.sdk.credential import Task
    from taskbound.wire.envelope import Answer, Ask

SECOND = 1_000_000
PERMIT = Permitted(action="act_2", task="tsk_1", digest="d", until=0, server="s", definition="f")


class Asking:
    """A connection that keeps what is asked on it, and the task that is served there."""

    def __init__(self) -> None:
        self.deadline = 3600 * SECOND
        self.asked: list[Ask] = []
        self.seconds = 0.0

    @property
    def client(self) -> Asking:
        return self

    def begin(self, ask: Ask) -> int:
        self.asked.append(ask)
        return len(self.asked)


@pytest.mark.parametrize("code", ["overloaded", "still-renewing"])
def test_a_renewal_that_is_permitted_is_not_paid_again_where_nobody_can_say_yet_how_it_went(
    code: str,
) -> None:
    there, said = Asking(), list[str]()
    renewals = Renewals(
        said.append,
        lambda _: None,
        elapsed=lambda: there.seconds,
        now=lambda: round(there.seconds * SECOND),
    )
    has = TaskCredential(id="crd_1", target="db", kind="reader", ends=90 * SECOND, open={}, secret={})
    renewals.keep(has, 0)

    def answered(*answers: Answer) -> None:
        for one in answers:
            there.seconds += 6
            renewals.tend(cast("Task", there))
            renewals.hear([Reply(id=len(there.asked), answer=one)])

    there.seconds = 60
    busy = Fault(code=code, message="later", family="unavailable")
    answered(PERMIT, busy, Renewed(credential="crd_1", ends=600 * SECOND))
    assert [type(one) for one in there.asked] == [Decide, AwaitRenewal, AwaitRenewal]
    assert renewals.ends_of(has) == 600 * SECOND
    assert said == []
