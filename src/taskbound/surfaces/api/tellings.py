"""What brokers tell and lease, taken together: one transaction for all that waits, after what is decided.

1. It has a lane of its own behind that of calls: what is told ends and stops nothing, it says what was seen,
   and what is leased to be revoked was ended with its row. `TOGETHER` are taken in a turn at most,
   so that no decision waits for more than some milliseconds of it. Who ends ten thousand has each row written
   twice more, and a commit for each would be one that decisions wait for. Ending all of a target is
   taken here too: every turn comes to it, however many calls wait, after a group of these at most (I-61).
2. `BURST` groups may follow each other at once; from then on one is taken every `EVERY` seconds, with all
   that was told meanwhile. A mint or an end waits for nobody, and ten thousand ends leave decisions nine
   tenths of the time, however fast brokers are: each group is a commit, which whoever comes then waits for.
3. What is taken together is one transaction, held to what authorizes each. Where any of it is refused, each
   is told alone, authorized anew: one broker's word is not in the way of another's.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

from taskbound.core.dataclass import dataclass
from taskbound.flows.policy.held import hold
from taskbound.surfaces.api.authority import based
from taskbound.surfaces.api.worker import WAITING, Lane, OverloadedError, answer_to, fail_with

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from taskbound.flows.means import Means
    from taskbound.flows.policy.held import Basis
    from taskbound.ports.store import Transaction
    from taskbound.surfaces.api.worker import Worker

    Tell = Callable[[Transaction | None], object]
    """Does it in this transaction, or by one of its own."""


TOGETHER: Final = 8
BURST: Final = 10
EVERY: Final = 0.02
"""Seconds (rule 2)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """Why it was not taken."""

    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """One thing that was told, or asked for."""

    bases: Callable[[], tuple[Basis, ...]]
    tell: Tell


class Tellings:
    """Takes them; used in the loop."""

    def __init__(self, means: Means, worker: Worker) -> None:
        """Take them in turns of this worker, behind the lanes that it has (rule 1)."""
        self._means = means
        self._loop = worker.loop
        self._lane: Final[Lane[_Telling, object]] = Lane(worker, self._take, most=TOGETHER)
        self._waiting: deque[tuple[_Telling, asyncio.Future[object]]] = deque()
        self._groups: float = BURST
        """That may be taken at once, as things stood at `_counted` (rule 2)."""
        self._counted = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, tell: Callable[[Transaction | None], T]) -> T:
        """What this answers, once it is written; raises what that raises."""
        if len(self._waiting) >= WAITING:
            raise OverloadedError(f"{WAITING} requests wait already")
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append((_Telling(bases=based(), tell=tell), future))
        self._go_on()
        taken = await future
        if isinstance(taken, _Refused):
            raise taken.error
        return cast("T", taken)

    def _go_on(self) -> None:
        """Have what waits taken, in a group that nobody has begun or in one of its own when it is time."""
        while self._waiting and self._timer is None:
            room = -len(self._lane) % TOGETHER
            if not room:
                wait = self._wait()
                if wait > 0:
                    self._timer = self._loop.call_later(wait, self._on_time)
                    return
                self._groups -= 1
                room = TOGETHER
            for _ in range(min(room, len(self._waiting))):
                telling, future = self._waiting.popleft()
                self._lane.hand(telling, partial(answer_to, future), partial(fail_with, future))

    def _wait(self) -> float:
        """Seconds until another group may be taken (rule 2)."""
        now = self._loop.time()
        self._groups = min(BURST, self._groups + (now - self._counted) / EVERY)
        self._counted = now
        return max(0.0, (1 - self._groups) * EVERY)

    def _on_time(self) -> None:
        self._timer = None
        self._go_on()

    def _take(self, tellings: Sequence[_Telling]) -> Sequence[object]:
        if len(tellings) > 1:
            try:
                with hold(*(basis for one in tellings for basis in one.bases())):
                    return self._means.store.write(partial(_all, tellings))
            except Exception:  # noqa: BLE001, S110 - whose it was is told by taking each alone (rule 3)
                pass
        return [_alone(one) for one in tellings]


def _all(tellings: Sequence[_Telling], tx: Transaction) -> list[object]:
    return [one.tell(tx) for one in tellings]


def _alone(one: _Telling) -> object:
    try:
        with hold(*one.bases()):
            return one.tell(None)
    except Exception as error:  # noqa: BLE001 - carried over to whoever awaits
        return _Refused(error=error)
