from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.revocation.feed import About, Thing, Turn
from taskbound.sdk.verify import Head
from taskbound.sdk.verify.endpoint import BadEndpointError
from taskbound.sdk.verify.errors import (
    OtherActionError,
    OtherToolError,
    OutcomeUnknownError,
    StillServingError,
    TokenAbsentError,
)
from taskbound.sdk.verify.function import verified
from tests.sdk.verify.world import DEFINITION, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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
        ({"account": "7", "cents": 301}, OtherActionError),
        ({"account": "8", "cents": 300}, OtherActionError),
        ({"account": "7", "cents": "300"}, OtherActionError),
        ({"account": "7", "cents": True}, OtherActionError),
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
    with pytest.raises(TokenAbsentError) as raised:
        bank.pay(head(), account="7", cents=300)
    assert raised.value.__notes__ == ["missing: txn-token"]
    with pytest.raises(OtherToolError):
        other.pay(head(place.token()), account="7", cents=300)
    place.feed.say(Thing(namespace="default", about=About.TASK, id="tsk_1"), Turn.OVER)
    with pytest.raises(TaskboundError, match="the task is over"):
        bank.pay(head(place.token()), account="7", cents=300)
    assert bank.paid == other.paid == []


def test_a_function_that_raises_is_not_run_again(place: Place) -> None:
    bank = Bank(place, RuntimeError("broke"))
    with pytest.raises(RuntimeError, match="broke"):
        bank.pay(head(place.token()), account="7", cents=300)
    with pytest.raises(OutcomeUnknownError):
        bank.pay(head(place.token()), account="7", cents=300)
    assert bank.paid == [("7", 300)]


@pytest.mark.parametrize(
    "result", [object(), {1: 2}, "x" * 300_000, b"bytes"], ids=["object", "keys", "long", "bytes"]
)
def test_a_result_that_is_not_kept_is_given_once_and_the_repeat_is_told_so(place: Place, result: Any) -> None:
    bank = Bank(place, result)
    assert bank.pay(head(place.token()), account="7", cents=300) is result
    with pytest.raises(OutcomeUnknownError, match="it was done"):
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
    assert [type(one) for one in others] == [StillServingError] * 5


def test_a_function_that_waits_and_raises_is_not_run_again(place: Place) -> None:
    @verified(place.verifier, "bank__pay", definition=DEFINITION)
    async def pay(account: str, cents: int) -> str:
        raise RuntimeError(f"{account} {cents}")

    with pytest.raises(RuntimeError, match="7 300"):
        asyncio.run(pay(head(place.token()), account="7", cents=300))
    with pytest.raises(OutcomeUnknownError):
        asyncio.run(pay(head(place.token()), account="7", cents=300))


def test_a_function_whose_arguments_have_no_names_is_no_tool(place: Place) -> None:
    def one(*account: str) -> None: ...

    def two(**account: str) -> None: ...

    def three(account: str, /) -> None: ...

    for function in (one, two, three):
        with pytest.raises(BadEndpointError):
            verified(place.verifier, "bank__pay")(function)
