"""Renews the credentials of a running command; each renewal is a decision, and none blocks.

1. A credential is renewed with a third of its life left; one that ends with its task is not.
2. After a lost connection a request is repeated under its own idempotency key.
3. Held renewals are reported once, and requested again every few seconds.
4. Requests about one credential are at least a second apart. A refused renewal lets it expire.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.wire.action import Decide, Duplicate, Narrowed, Permitted, Refused
from taskbound.wire.approval import HoldPush, LeaveHold
from taskbound.wire.connection import Fault
from taskbound.wire.target import AwaitRenewal, Renewed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskbound.sdk.credential import Task
    from taskbound.sdk.wish import TaskCredential
    from taskbound.wire.envelope import Answer, Reply


_SECOND: Final = 1_000_000
_PART: Final = 3
"""A renewal is asked for when so much of a life is left: one part of so many (rule 1)."""
_AGAIN: Final = 5.0
"""Seconds until what could not be had, or waits for people, is asked for again."""
_LEAST: Final = 1.0
_WAIT: Final = 45
"""Seconds for which a request says that its caller waits."""
_LATER: Final = frozenset({"renewal-under-way", "overloaded"})
"""Where the same may be had a little later."""
_UNTOLD: Final = frozenset({"still-renewing", "overloaded"})
"""Where what came of a renewal that was permitted is to be heard a little later."""
_OVER: Final = frozenset({"denied", "expired", "withdrawn"})


@dataclass(slots=True)
class _Kept:
    credential: TaskCredential
    seconds: int
    due: int
    """Instant of the next renewal, µs."""
    step: Literal["", "asked", "held", "told"] = ""
    """What is waited for: nothing, a decision, people, or the target."""
    request: str = ""
    arguments: bytes = b""
    resume: str = ""
    number: int = 0
    """Under which the answer arrives; 0 for none."""
    again: float = 0.0
    """On the clock that is never set: nothing is asked before."""
    over: bool = False
    """Whether it is not renewed any more."""
    told: bool = False
    """Whether people's part was said."""


class Renewals:
    """Renews credentials."""

    def __init__(
        self,
        say: Callable[[str], None],
        held: Callable[[Refused], None],
        *,
        elapsed: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        """`elapsed` is a monotonic clock in seconds, `now` a wall clock in microseconds."""
        self._say = say
        self._held = held
        self._elapsed = elapsed
        self._now = now
        self._kept: list[_Kept] = []
        self._asked = 0

    def keep(self, credential: TaskCredential, seconds: int) -> None:
        """Renew this credential from now on, each time for so many seconds; 0 for the maximum."""
        self._kept.append(_Kept(credential, seconds, self._due(credential.ends)))

    def ends_of(self, credential: TaskCredential) -> int:
        return next(
            (one.credential.ends for one in self._kept if one.credential.id == credential.id), credential.ends
        )

    def tend(self, task: Task) -> None:
        for one in self._kept:
            if one.over or one.number:
                continue
            if self._now() >= one.credential.ends:
                self._give_up(task, one)
            elif one.step == "" and one.credential.ends >= task.deadline - _SECOND:
                one.over = True  # 1
            elif self._elapsed() >= one.again and (one.step or self._now() >= one.due):
                self._ask(task, one)

    def _ask(self, task: Task, one: _Kept) -> None:
        one.again = self._elapsed() + _LEAST  # 4
        if one.step == "told":
            one.number = task.client.begin(AwaitRenewal(credential=one.credential.id))
            return
        if one.step == "":
            self._asked += 1
            one.request = f'"renewal-{self._asked}"'
            one.arguments, one.resume = one.credential.renewed_for(one.seconds).arguments, ""
        one.step = "asked"
        one.number = task.client.begin(
            Decide(
                tool=one.credential.renewed_for().tool,
                arguments=msgspec.Raw(one.arguments),
                request=one.request,
                resume=one.resume,
                wait=_WAIT,
            )
        )

    def drop(self) -> None:
        """Mark requests of a lost connection for repetition under their own idempotency keys."""
        for one in self._kept:
            one.number = 0

    def hear(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            if isinstance(reply.push, HoldPush):
                self._answered(reply.push)
            elif reply.answer is not None:
                for one in self._kept:
                    if one.number and one.number == reply.id:
                        one.number = 0
                        self._take(one, reply.answer)

    def _take(self, one: _Kept, answer: Answer) -> None:
        match answer:
            case Permitted() | Duplicate():
                one.step, one.again = "told", 0.0
            case Narrowed():
                one.arguments, one.resume = bytes(answer.arguments), answer.action
            case Refused() if answer.code == "held" and answer.action:
                one.step, one.resume = "held", answer.action
                one.again = self._elapsed() + _AGAIN
                if not one.told:
                    one.told = True
                    self._held(answer)
            case Renewed():
                one.credential = replace(one.credential, ends=answer.ends)
                one.step, one.told, one.due = "", False, self._due(answer.ends)
            case Fault() if one.step == "told" and answer.code in _UNTOLD:
                one.again = self._elapsed() + _LEAST
            case Refused() | Fault() if answer.code in _LATER:
                one.step, one.again = "", self._elapsed() + _AGAIN
            case Refused():
                why = "; ".join(reason.text for reason in answer.reasons)
                self._stop(one, f"{shown(Words(why))} [{answer.code}]")
            case Fault():
                self._stop(one, f"{shown(Words(answer.message))} [{answer.code}]")
            case _:
                self._stop(one, f"the daemon answered `{type(answer).__name__}`")

    def _answered(self, push: HoldPush) -> None:
        for one in self._kept:
            if one.resume != push.action or one.step != "held":
                continue
            if push.state in _OVER:
                self._stop(one, shown(Words(push.reason or f"the question is {push.state}")))
            else:
                one.again = 0.0
                if push.state == "superseded":
                    one.resume = ""

    def _give_up(self, task: Task, one: _Kept) -> None:
        one.over = True
        if one.step == "held":
            task.client.begin(LeaveHold(action=one.resume))
            self._say(f"{shown(one.credential.id)} was not renewed: no approver answered before it expired")

    def _stop(self, one: _Kept, why: str) -> None:
        one.over = True
        self._say(
            f"{shown(one.credential.id)} is not renewed, and ends at {moment(one.credential.ends)}: {why}"
        )

    def _due(self, ends: int) -> int:
        return ends - max(0, ends - self._now()) // _PART  # 1
