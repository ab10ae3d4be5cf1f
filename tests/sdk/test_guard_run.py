"""What runs on a permit, and what is told of it: the values that were decided, within the permit's time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskbound.sdk import fresh
from taskbound.sdk.guard import errors
from taskbound.sdk.guard.guarded import Guarded, guard
from taskbound.sdk.guard.shape import UnwritableArgumentError
from taskbound.surfaces.api.server.socket import SocketServer
from taskbound.wire.action import ActionPermitted, Permitted
from tests.sdk.noted import FUNCTIONS, note, note_later, ran
from tests.sdk.notes import async_client_at, client_at, notes_world, noting, outcomes, within
from tests.sdk.notes_afar import Distant, distant

pytestmark = pytest.mark.anyio


class RefusedByBankError(Exception):
    """The bank did nothing."""


class BusyBankError(RefusedByBankError):
    """A kind of it."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError, "unknown"),
        (ValueError, "unknown"),
        (asyncio.CancelledError, "unknown"),
        (RefusedByBankError, "failed"),
        (BusyBankError, "failed"),
    ],
)
async def test_law_7_what_a_function_raises_is_unknown_but_for_what_was_declared(
    tmp_path: Path, error: type[BaseException], told: str
) -> None:
    @guard(server="notes", tool="fail", effect="write", failed=RefusedByBankError)
    def pay(text: str) -> str:
        """Fail, with a secret in the words."""
        raise error(text)

    async with noting(tmp_path) as place:

        def work() -> str:
            with client_at(place):
                try:
                    pay("x")
                except BaseException as raised:  # noqa: BLE001 - what is raised is compared
                    return type(raised).__name__
                return ""

        assert await within(work) == error.__name__
        assert outcomes(place.world) == [told]


async def test_law_7_a_payment_that_timed_out_is_not_made_again_before_somebody_has_looked(
    tmp_path: Path,
) -> None:
    @guard(server="notes", tool="fail", effect="write")
    def pay(text: str) -> str:
        """Fail, with a secret in the words."""
        ran.append(text)
        raise TimeoutError

    async with noting(tmp_path) as place:

        def work() -> str:
            with client_at(place):
                with pytest.raises(TimeoutError):
                    pay("x")
                with pytest.raises(errors.RefusedError) as caught:
                    pay("x")
                return caught.value.code

        assert await within(work) == "held"
        assert ran == ["x"]


@pytest.mark.parametrize("failed", [KeyboardInterrupt, (ValueError, "ValueError"), BaseException])
def test_only_errors_say_that_nothing_was_done(failed: Any) -> None:
    with pytest.raises(errors.SignatureError, match="nothing was done"):
        guard(server="notes", failed=failed)


async def test_what_is_under_way_when_a_function_returns_is_not_told_as_failed_whatever_is_declared(
    tmp_path: Path,
) -> None:
    @guard(server="notes", tool="note_later", effect="write", failed=Exception)
    async def hidden(text: str) -> Any:
        """Write a note down, by and by."""

        async def later() -> None:
            ran.append(text)

        under_way.append(asyncio.ensure_future(later()))
        return under_way[0]

    under_way: list[asyncio.Future[None]] = []
    async with noting(tmp_path) as place:
        async with async_client_at(place):
            with pytest.raises(errors.SignatureError, match="still to run"):
                await hidden("x")
        await under_way[0]
        assert ran == ["x"]
        assert outcomes(place.world) == ["unknown"]


made: list[int] = []


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    made.clear()


@dataclass(frozen=True)
class Money:
    """In cents once it is made; what is made is counted."""

    amount: int
    unit: str

    def __post_init__(self) -> None:
        made.append(self.amount)
        object.__setattr__(self, "amount", self.amount * 100)


@dataclass(frozen=True)
class Later:
    """Another value, or an error, when it is made for the third time: to run."""

    amount: int
    how: str

    def __post_init__(self) -> None:
        made.append(self.amount)
        if len(made) > 2:
            if self.how == "raise":
                raise LookupError(self.how)
            object.__setattr__(self, "amount", self.amount * 100)


@guard(server="notes", tool="note_later", effect="write")
def pay_money(text: Money) -> None:
    """Pay."""
    ran.append(text)


@guard(server="notes", tool="fail", effect="write")
def pay_later(text: Later) -> None:
    """Pay later."""
    ran.append(text)


async def paid(folder: Path, function: Guarded[..., Any], value: object, error: type[Exception]) -> list[str]:
    """What was decided and told of a call that ends in this error."""
    world = notes_world(functions=(*(one for one in FUNCTIONS if one.tool != function.tool), function))
    async with noting(folder, world=world) as place:

        def work() -> None:
            with client_at(place), pytest.raises(error):
                function(value)

        await within(work)
        assert ran == []
        return [*(["decided"] * len(world.events("action-decided"))), *outcomes(world)]


async def test_law_2_what_is_another_value_once_it_is_read_back_is_not_even_asked_for(tmp_path: Path) -> None:
    assert await paid(tmp_path, pay_money, Money(5, "eur"), UnwritableArgumentError) == []


async def test_law_2_what_is_another_value_than_was_decided_does_not_run(tmp_path: Path) -> None:
    told = await paid(tmp_path, pay_later, Later(5, "change"), errors.DecisionAlteredError)
    assert told == ["decided", "not-sent"]
    assert made == [5, 5, 5]


async def test_law_7_whatever_goes_wrong_between_permit_and_run_is_told_as_not_sent(tmp_path: Path) -> None:
    assert await paid(tmp_path, pay_later, Later(5, "raise"), LookupError) == ["decided", "not-sent"]


class Sleeping:
    """The clocks of a machine that sleeps for a minute when its permit is said."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type[Any]) -> None:
        self.slept = 0.0
        send = SocketServer._answer  # noqa: SLF001 - the seam of the moment

        def answer(server: Any, number: int, said: Any) -> None:
            if isinstance(said, kind):
                self.slept = 60.0
            send(server, number, said)

        monkeypatch.setattr(SocketServer, "_answer", answer)
        monkeypatch.setattr(fresh, "time", self)

    def clock_gettime(self, which: int) -> float:
        return time.clock_gettime(which) + self.slept

    def monotonic(self) -> float:
        return time.monotonic()


async def test_law_2_a_permit_that_a_machine_slept_through_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with noting(tmp_path) as place:
        Sleeping(monkeypatch, Permitted)
        async with async_client_at(place):
            with pytest.raises(errors.PermitOverError):
                await note_later("hello")
        assert ran == []
        assert outcomes(place.world) == ["not-sent"]


def test_law_2_a_permit_that_a_machine_slept_through_runs_nothing_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(one: Distant) -> None:
        Sleeping(monkeypatch, ActionPermitted)
        with one.client(), pytest.raises(errors.PermitOverError):
            note("hello")
        assert ran == []
        assert outcomes(one.world) == ["not-sent"]

    distant(tmp_path, work, monkeypatch)


def infinite(share: float = float("inf")) -> None:
    """Take a share."""


def beyond(count: int = 2**53) -> None:
    """Count to there."""


def halved(text: str = "\ud800") -> None:
    """Say it."""


def undescribed(text: str) -> None:
    pass


undescribed.__doc__ = "\ud800"  # Python 3.13 compiles no such docstring


@pytest.mark.parametrize("function", [infinite, beyond, halved, undescribed])
def test_what_no_tool_file_can_say_is_refused_where_the_function_is_defined(function: Any) -> None:
    with pytest.raises(errors.SignatureError, match="can't be pinned"):
        guard(server="notes", effect="write")(function)
