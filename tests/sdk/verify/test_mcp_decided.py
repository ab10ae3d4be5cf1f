"""What a tool runs with is what was decided on, whatever its library makes of it: rule 4 of `calls`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from typing_extensions import TypedDict

from taskbound.sdk.verify.calls import Tools
from tests.sdk.verify.serving import (
    LEGACY,
    LIBRARIES,
    MODERN,
    Caller,
    app_of,
    guard,
    listening,
    permit,
    server_of,
    text,
    why,
)
from tests.sdk.verify.world import Place

RUNS: list[Any] = []


class Money(BaseModel):
    cents: int
    currency: str = "eur"


class Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    cents: int = Field(alias="c")


class Counted(BaseModel):
    cents: int = Field(default_factory=lambda: 99)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Counted] = Field(init=False)


class Doubled(BaseModel):
    cents: Annotated[int, AfterValidator(lambda cents: 2 * cents)] = Field(default=5, validate_default=True)
    places: list[int] = []


class Streamed(BaseModel):
    parts: Iterable[int]


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


@dataclass
class Order:
    item: Counted


@dataclass
class Hidden:
    x: int
    cents: Annotated[int, Field(exclude=True)] = field(default_factory=lambda: 99)


class Kept(TypedDict, total=False):
    x: int
    cents: Annotated[int, Field(default_factory=lambda: 99, exclude=True)]


def number(value: int) -> str:
    RUNS.append(value)
    return "done"


def fraction(value: float) -> str:
    RUNS.append(value)
    return "done"


def flag(value: bool) -> str:  # noqa: FBT001 - as a tool has it
    RUNS.append(value)
    return "done"


def words(value: list[str]) -> str:
    RUNS.append(value)
    return "done"


def kinds(value: set[int]) -> str:
    RUNS.append(value)
    return "done"


def money(value: Money) -> str:
    RUNS.append(value)
    return "done"


def loose(value: Loose) -> str:
    RUNS.append(value)
    return "done"


def point(value: Point) -> str:
    RUNS.append(value)
    return "done"


def day(value: date) -> str:
    RUNS.append(value)
    return "done"


def moment(value: datetime) -> str:
    RUNS.append(value)
    return "done"


def exact(value: Decimal) -> str:
    RUNS.append(value)
    return "done"


def color(value: Color) -> str:
    RUNS.append(value)
    return "done"


def place(value: Path) -> str:
    RUNS.append(value)
    return "done"


def secret(value: SecretStr) -> str:
    RUNS.append(value)
    return "done"


def trimmed(value: Annotated[str, BeforeValidator(str.strip)]) -> str:
    RUNS.append(value)
    return "done"


def either(value: int | str) -> str:
    RUNS.append(value)
    return "done"


def anything(value: Any) -> str:
    RUNS.append(value)
    return "done"


def more(value: dict[str, Any] | None = None) -> str:
    RUNS.append(value)
    return "done"


def counted(value: list[Counted]) -> str:
    RUNS.append(value)
    return "done"


def order(value: Order) -> str:
    RUNS.append(value)
    return "done"


def queue(value: deque[Counted]) -> str:
    RUNS.append(value)
    return "done"


def opened(value: Open) -> str:
    RUNS.append(value)
    return "done"


def hidden(value: Hidden) -> str:
    RUNS.append(value)
    return "done"


def kept(value: Kept) -> str:
    RUNS.append(value)
    return "done"


def doubled(value: Doubled) -> str:
    RUNS.append(value)
    return "done"


def stream(value: Iterable[str]) -> str:
    RUNS.append(value)
    return "done"


def streamed(value: list[Streamed | None]) -> str:
    RUNS.append(value)
    return "done"


def made(value: Annotated[int, Field(default_factory=lambda: 99)]) -> str:
    RUNS.append(value)
    return "done"


def filled(value: int = 5) -> str:
    RUNS.append(value)
    return "done"


FINE: list[tuple[Callable[..., str], Any, Any]] = [
    (number, 3, 3),
    (number, 3.0, 3),
    (fraction, 3, 3.0),
    (fraction, 1.5, 1.5),
    (flag, True, True),
    (words, ["a", "b"], ["a", "b"]),
    (money, {"cents": 5, "currency": "usd"}, Money(cents=5, currency="usd")),
    (money, {"cents": 5}, Money(cents=5)),
    (loose, {"c": 5}, Loose(c=5)),
    (point, {"x": 1}, Point(1)),
    (day, "2026-01-02", date(2026, 1, 2)),
    (exact, "1.50", Decimal("1.50")),
    (color, "red", Color.RED),
    (place, "a/b", Path("a/b")),
    (trimmed, "a", "a"),
    (either, "3", "3"),
    (anything, {"b": [1, None], "a": "é"}, {"a": "é", "b": [1, None]}),
    (more, None, None),
    (counted, [{"cents": 5}], [Counted(cents=5)]),
    (made, 5, 5),
    (doubled, {"cents": 0}, Doubled(cents=0)),
    (order, {"item": {"cents": 5}}, Order(Counted(cents=5))),
    (queue, [{"cents": 5}], deque([Counted(cents=5)])),
    (opened, {"one": {"cents": 5}}, Open.model_validate({"one": {"cents": 5}})),
]
CHANGED: list[tuple[Callable[..., str], Any]] = [
    (number, "3"),
    (number, True),
    (number, 3.5),
    (number, None),
    (fraction, "1.5"),
    (flag, "yes"),
    (flag, 1),
    (words, '["a","b"]'),
    (words, "a"),
    (kinds, [1, 1]),
    (money, {"cents": "5"}),
    (money, {"cents": 5, "unit": "x"}),
    (money, '{"cents":5}'),
    (loose, {"cents": 5}),
    (loose, {"c": 5, "cents": 6}),
    (point, {"x": "1"}),
    (day, "2026-01-02T00:00:00"),
    (moment, "2026-01-02T00:00:00+00:00"),
    (moment, 0),
    (exact, 1.5),
    (color, "RED"),
    (place, "a//b/./c"),
    (secret, "hush"),
    (trimmed, " a "),
]
UNDECIDED: list[tuple[Callable[..., str], dict[str, Any]]] = [
    (counted, {"value": [{"cents": 5}, {}]}),
    (made, {}),
    (number, {}),
    (order, {"value": {"item": {}}}),
    (doubled, {"value": {"places": [1]}}),
    (queue, {"value": [{"cents": 5}, {}]}),
    (opened, {"value": {"one": {}}}),
]
UNBOUND: list[tuple[Callable[..., str], Any]] = [
    (hidden, {"x": 1}),
    (kept, {"x": 1}),
    (stream, ["a", "b"]),
    (streamed, [{"parts": [1]}]),
]


@pytest.fixture(scope="module", params=LIBRARIES)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, int]]:
    functions = {one[0] for one in (*FINE, *CHANGED, *UNBOUND)} | {filled}
    with closing(Place(tmp_path_factory.mktemp("served"))) as where:
        server = server_of(request.param, *sorted(functions, key=lambda one: one.__name__))
        guard(server, where.verifier, Tools({one.__name__: "bank__pay" for one in functions}))
        with listening(app_of(server)) as port:
            yield where, port


@pytest.fixture(params=[LEGACY[-1], MODERN])
def caller(request: pytest.FixtureRequest, served: tuple[Place, int]) -> Caller:
    RUNS.clear()
    return Caller(served[1], request.param)


@pytest.mark.parametrize(
    ("function", "value", "got"), FINE, ids=[f"{one[0].__name__}-{at}" for at, one in enumerate(FINE)]
)
def test_what_was_decided_on_reaches_the_function_as_what_it_says(
    served: tuple[Place, int], caller: Caller, function: Callable[..., str], value: Any, got: Any
) -> None:
    token = permit(served[0], {"value": value})
    assert text(caller.call({"value": value}, token, name=function.__name__)) == "done"
    assert [got] == RUNS
    assert type(RUNS[0]) is type(got)


@pytest.mark.parametrize(
    ("function", "value"), CHANGED, ids=[f"{one[0].__name__}-{at}" for at, one in enumerate(CHANGED)]
)
def test_law_2_what_would_become_another_value_is_refused_and_uses_no_permit_up(
    served: tuple[Place, int], caller: Caller, function: Callable[..., str], value: Any
) -> None:
    token = permit(served[0], {"value": value})
    for _ in range(2):
        told = caller.call({"value": value}, token, name=function.__name__)
        assert why(told) == ("argument-changed", "arguments-as-decided")
        assert "io.taskbound/answer" not in told["_meta"]  # nothing was begun
    assert RUNS == []


@pytest.mark.parametrize(
    ("function", "arguments"), UNDECIDED, ids=[f"{one[0].__name__}-{at}" for at, one in enumerate(UNDECIDED)]
)
def test_law_2_what_would_be_filled_in_by_nobodys_decision_is_refused(
    served: tuple[Place, int], caller: Caller, function: Callable[..., str], arguments: dict[str, Any]
) -> None:
    told = caller.call(arguments, permit(served[0], arguments), name=function.__name__)
    assert why(told) == ("argument-undecided", "decided-arguments")
    assert RUNS == []


@pytest.mark.parametrize(("function", "value"), UNBOUND, ids=[one[0].__name__ for one in UNBOUND])
def test_law_2_what_is_not_all_there_when_it_is_compared_is_refused(
    served: tuple[Place, int], caller: Caller, function: Callable[..., str], value: Any
) -> None:
    told = caller.call({"value": value}, permit(served[0], {"value": value}), name=function.__name__)
    assert why(told) == ("tool-unbound", "bound-tool")
    assert RUNS == []


def test_a_default_that_the_schema_has_was_decided_on_with_it(
    served: tuple[Place, int], caller: Caller
) -> None:
    assert text(caller.call({}, permit(served[0], {}), name="filled")) == "done"
    assert text(caller.call({}, permit(served[0], {}), name="more")) == "done"
    assert RUNS == [5, None]


@pytest.mark.parametrize(
    "value", [float(2**60), 2**60, "\ud800"], ids=["large float", "large", "half a pair"]
)
def test_arguments_that_no_two_read_alike_are_refused(
    served: tuple[Place, int], caller: Caller, value: Any
) -> None:
    told = caller.call({"value": value}, permit(served[0], {"value": 1}), name="anything")
    assert "error" in told or why(told)[1] == "token-for-this-request"  # one era's reader refuses it before
    assert RUNS == []
