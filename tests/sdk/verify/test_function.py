from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.revocation import About, FeedEvent, Thing
from taskbound.core.token.shared import ClaimsUnavailableError
from taskbound.sdk.verify import Head, errors
from taskbound.sdk.verify.endpoint import BadEndpointError
from taskbound.sdk.verify.function import verified
from tests.sdk.verify.world import DEFINITION, Place, Places, full


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def head(*tokens: str) -> Head:
    return Head(tokens=tokens)


class Bank:
    """What was paid, by a function that only tokens let run."""

    def __init__(self, place: Place, result: Any = None, *, tool: str = "bank__pay") -> None:
        self.paid: list[tuple[str, int]] = []

        @verified(place.verifier, tool, definition=DEFINITION)
        def pay(account: str, cents: int) -> Any:
            self.paid.append((account, cents))
            if isinstance(result, Exception):
                raise result
            return {"paid": cents} if result is None else result

        self.pay = pay


def test_a_function_runs_once_for_what_was_permitted_and_gives_a_repeat_the_same(place: Place) -> None:
    bank = Bank(place)
    token = place.token()
    assert bank.pay(head(token), account="7", cents=300) == {"paid": 300}
    assert bank.pay(head(token), "7", 300) == {"paid": 300}
    assert bank.paid == [("7", 300)]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"account": "7", "cents": 301}, errors.OtherActionError),
        ({"account": "8", "cents": 300}, errors.OtherActionError),
        ({"account": "7", "cents": "300"}, errors.OtherActionError),
        ({"account": "7", "cents": True}, errors.OtherActionError),
        ({"account": "7", "cents": float("nan")}, TaskboundError),
        ({"account": "7", "cents": object()}, TaskboundError),
        ({"account": "7"}, TypeError),
    ],
)
def test_other_arguments_run_nothing(place: Place, arguments: dict[str, Any], error: type[Exception]) -> None:
    bank = Bank(place)
    with pytest.raises(error):
        bank.pay(head(place.token()), **arguments)
    assert bank.paid == []


def test_the_function_is_given_what_was_decided_and_not_an_equal_of_it(place: Place) -> None:
    seen: list[Any] = []

    @verified(place.verifier, "bank__pay", definition=DEFINITION)
    def pay(account: str, cents: float) -> None:
        seen.append((account, type(cents)))

    pay(head(place.token()), account="7", cents=300.0)
    assert seen == [("7", int)]


def test_without_a_token_or_with_another_tools_nothing_runs_and_the_error_says_what_is_missing(
    place: Place,
) -> None:
    bank, other = Bank(place), Bank(place, tool="bank__refund")
    with pytest.raises(errors.TokenAbsentError) as raised:
        bank.pay(head(), account="7", cents=300)
    assert raised.value.added_notes() == ("missing: txn-token",)
    with pytest.raises(errors.OtherToolError):
        other.pay(head(place.token()), account="7", cents=300)
    place.feed.say(Thing(namespace="default", about=About.TASK, id="tsk_1"), FeedEvent.OVER)
    with pytest.raises(TaskboundError, match="the task is over"):
        bank.pay(head(place.token()), account="7", cents=300)
    assert bank.paid == other.paid == []


def test_a_function_that_raises_is_not_run_again(place: Place) -> None:
    bank = Bank(place, RuntimeError("broke"))
    with pytest.raises(RuntimeError, match="broke"):
        bank.pay(head(place.token()), account="7", cents=300)
    with pytest.raises(errors.OutcomeUnknownError):
        bank.pay(head(place.token()), account="7", cents=300)
    assert bank.paid == [("7", 300)]


@pytest.mark.parametrize(
    "result", [object(), {1: 2}, "x" * 300_000, b"bytes"], ids=["object", "keys", "long", "bytes"]
)
def test_a_result_that_is_not_kept_is_given_once_and_the_repeat_is_told_so(place: Place, result: Any) -> None:
    bank = Bank(place, result)
    assert bank.pay(head(place.token()), account="7", cents=300) is result
    with pytest.raises(errors.OutcomeUnknownError, match="it was done"):
        bank.pay(head(place.token()), account="7", cents=300)
    assert bank.paid == [("7", 300)]


@pytest.mark.parametrize("result", [[], 0, False, "", {"a": [1, 2.5, None]}], ids=str)
def test_a_result_of_json_comes_back_as_it_was(place: Place, result: Any) -> None:
    bank = Bank(place, result)
    assert bank.pay(head(place.token()), account="7", cents=300) == result
    assert bank.pay(head(place.token()), account="7", cents=300) == result
    assert bank.paid == [("7", 300)]


def test_a_function_that_waits_runs_once_of_those_that_come_at_once(place: Place) -> None:
    paid: list[int] = []

    async def main() -> list[Any]:
        runs, may = asyncio.Event(), asyncio.Event()

        @verified(place.verifier, "bank__pay", definition=DEFINITION)
        async def pay(account: str, cents: int) -> str:
            paid.append(cents)
            runs.set()
            await may.wait()
            return account

        first = asyncio.ensure_future(pay(head(place.token()), account="7", cents=300))
        await runs.wait()
        others = await asyncio.gather(
            *(pay(head(place.token()), account="7", cents=300) for _ in range(5)), return_exceptions=True
        )
        may.set()
        return [await first, await pay(head(place.token()), account="7", cents=300), *others]

    first, again, *others = asyncio.run(main())
    assert (first, again, paid) == ("7", "7", [300])
    assert [type(one) for one in others] == [errors.StillServingError] * 5


def test_a_function_that_waits_and_raises_is_not_run_again(place: Place) -> None:
    @verified(place.verifier, "bank__pay", definition=DEFINITION)
    async def pay(account: str, cents: int) -> str:
        raise RuntimeError(f"{account} {cents}")

    with pytest.raises(RuntimeError, match="7 300"):
        asyncio.run(pay(head(place.token()), account="7", cents=300))
    with pytest.raises(errors.OutcomeUnknownError):
        asyncio.run(pay(head(place.token()), account="7", cents=300))


def test_a_function_whose_arguments_have_no_names_is_no_tool(place: Place) -> None:
    def one(*account: str) -> None: ...

    def two(**account: str) -> None: ...

    def three(account: str, /) -> None: ...

    for function in (one, two, three):
        with pytest.raises(BadEndpointError):
            verified(place.verifier, "bank__pay")(function)


@pytest.mark.parametrize("waits", [False, True], ids=["plain", "waits"])
def test_a_result_that_can_not_be_kept_is_in_the_error_that_says_that_it_was_done(
    place: Place, *, waits: bool
) -> None:
    with ExitStack() as disk:

        def pay(account: str, cents: int) -> str:
            disk.enter_context(full(place))
            return f"{account} {cents}"

        with pytest.raises(errors.AnswerUnkeptError) as raised:
            call(place, pay, waits=waits)
        assert raised.value.result == "7 300"
        assert not isinstance(raised.value, UnavailableError)  # which says that nothing was allowed
        assert isinstance(raised.value.__cause__, ClaimsUnavailableError)
    with pytest.raises(errors.OutcomeUnknownError):
        call(place, pay, waits=waits)


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, KeyboardInterrupt])
@pytest.mark.parametrize("waits", [False, True], ids=["plain", "waits"])
def test_what_a_function_raises_is_raised_though_its_claim_can_not_be_written(
    place: Place, error: type[BaseException], *, waits: bool
) -> None:
    with ExitStack() as disk:

        def pay(account: str, cents: int) -> str:
            disk.enter_context(full(place))
            raise error(f"{account} {cents}")

        with pytest.raises(error):
            call(place, pay, waits=waits)
    with pytest.raises(errors.OutcomeUnknownError):
        call(place, pay, waits=waits)


def call(place: Place, function: Callable[[str, int], Any], *, waits: bool) -> Any:
    """What a guarded call gives, of a function that is done at once or of one that waits."""
    if not waits:

        def plain(account: str, cents: int) -> Any:
            return function(account, cents)

        return verified(place.verifier, "bank__pay", definition=DEFINITION)(plain)(
            head(place.token()), account="7", cents=300
        )

    async def waiting(account: str, cents: int) -> Any:
        return function(account, cents)

    guarded = verified(place.verifier, "bank__pay", definition=DEFINITION)(waiting)
    return asyncio.run(guarded(head(place.token()), account="7", cents=300))


async def later() -> int:
    return 1


async def many() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("waits", [False, True], ids=["plain", "waits"])
@pytest.mark.parametrize(
    "lazy",
    [later, many, lambda: (one for one in "1"), lambda: map(int, "1"), Future],
    ids=["coroutine", "asynchronous", "generator", "map", "future"],
)
def test_what_has_yet_to_run_is_no_result_and_nobody_knows(
    place: Place, lazy: Callable[[], Any], *, waits: bool
) -> None:
    def pay(_: str, __: int) -> Any:
        return lazy()

    with pytest.raises(errors.YetToRunError):
        call(place, pay, waits=waits)
    with pytest.raises(errors.OutcomeUnknownError, match="its outcome is unknown"):
        call(place, pay, waits=waits)


def test_a_generator_is_no_tool(place: Place) -> None:
    def one(account: str) -> Iterator[str]:
        yield account

    async def two(account: str) -> AsyncIterator[str]:
        yield account

    for function in (one, two):
        with pytest.raises(BadEndpointError):
            verified(place.verifier, "bank__pay")(function)


def test_a_call_that_is_cancelled_while_it_begins_runs_nothing_and_is_not_still_at_it(place: Place) -> None:
    ran: list[str] = []
    may = threading.Event()
    clear = place.feed.require_clear

    @verified(place.verifier, "bank__pay", definition=DEFINITION)
    async def pay(account: str, cents: int) -> None:
        ran.append(f"{account} {cents}")

    async def cancelled() -> None:
        loop = asyncio.get_running_loop()
        begins = asyncio.Event()

        def slow(things: Any) -> None:
            loop.call_soon_threadsafe(begins.set)
            may.wait(20)
            clear(things)

        place.feed.require_clear = slow  # type: ignore[method-assign]  # a feed that takes its time
        task = asyncio.ensure_future(pay(head(place.token()), account="7", cents=300))
        await begins.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may.set()

    asyncio.run(cancelled())  # it ends when its threads have
    place.feed.require_clear = clear  # type: ignore[method-assign]  # as it was
    with pytest.raises(errors.OutcomeUnknownError):
        asyncio.run(pay(head(place.token()), account="7", cents=300))
    assert ran == []
