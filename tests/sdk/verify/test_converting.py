"""What a tool's arguments become and are written as again, without a server: rules of `converting`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, computed_field

from taskbound.sdk.verify.converting import PydanticConverting
from taskbound.sdk.verify.errors import ArgumentChangedError, ArgumentUndecidedError, ToolUnboundError


class Opaque:
    """What pydantic knows no schema of."""


class Unfinished(BaseModel):
    later: Later  # type: ignore[name-defined]  # noqa: F821 - it is never defined


def converting(function: Callable[..., Any], *names: str, **defaults: Any) -> PydanticConverting:
    """Of a function that is listed with these arguments, of which some have a default."""
    properties = {name: {"default": defaults[name]} if name in defaults else {} for name in names}
    return PydanticConverting(function, {"properties": properties})


def plain(text: str, count: int = 3) -> str:
    return text * count


def steps(text: str) -> Iterator[str]:
    yield text


async def later(text: str) -> AsyncIterator[str]:
    yield text


def unknown(text: Nobody) -> None:  # type: ignore[name-defined]  # noqa: F821 - it is never defined
    """A type that is not there."""


def broken(text: None()) -> None:  # type: ignore[valid-type]  # it is no type at all
    """A type that can't be made."""


def absent(text: converting.Nothing) -> None:  # type: ignore[name-defined]  # it is not there
    """A type that its module does not have."""


def number(text: len(1)) -> None:  # type: ignore[valid-type]  # it is no type at all
    """A type that can't be called for."""


def opaque(text: Opaque) -> None:
    """A type that can't be written."""


def unfinished(text: Unfinished) -> None:
    """A type that is not whole."""


def bare(text) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as some tools are written
    """A parameter without a type."""


def iterated(text: dict[str, list[Iterable[int]]]) -> None:
    """What can be read once."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (steps, "a generator is not done"),
        (later, "a generator is not done"),
        (unknown, "can't be read"),
        (broken, "can't be read"),
        (absent, "can't be read"),
        (number, "can't be read"),
        (dict, "can't be read"),
        (opaque, "can't be written as JSON"),
        (unfinished, "can't be written as JSON"),
        (iterated, "not all there"),
        (lambda other: other, "is no parameter"),
    ],
    ids=[
        "generator",
        "later",
        "unknown",
        "broken",
        "absent",
        "number",
        "builtin",
        "opaque",
        "unfinished",
        "iterated",
        "other",
    ],
)
def test_a_function_that_can_not_be_looked_into_is_not_bound(
    function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(ToolUnboundError, match=words):
        converting(function, "text")


def test_a_tool_without_arguments_takes_none_and_what_has_no_type_is_anything() -> None:
    for schema in ({}, {"properties": None}):
        none = PydanticConverting(lambda: None, schema)
        none.require_kept({})
        assert none.written({}, ()) == {}
        with pytest.raises(ArgumentChangedError, match="no such argument") as caught:
            none.require_kept({"secret": 1})
        assert caught.value.where == ""
    anything = converting(bare, "text")
    anything.require_kept({"text": {"a": [1, None]}})
    assert anything.written({"text": {"a": [1, None]}}, ["text"]) == {"text": {"a": [1, None]}}


def refuse(value: object) -> object:
    raise TypeError(value)


def typed(text: Annotated[str, BeforeValidator(refuse)]) -> None:
    """Whose author's code says no in a way of its own."""


def other(text: Annotated[str, PlainSerializer(lambda _: "other")]) -> None:
    """Whose value is written as another."""


class Computing(BaseModel):
    @computed_field  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def cents(self) -> int:
        raise TypeError(self)


def computing(text: Computing) -> None:
    """Whose author's code can't write it."""


@pytest.mark.parametrize(
    ("function", "value", "words"),
    [
        (computing, {}, "can't be written"),
        (plain, 5, "does not take the argument"),
        (typed, "a", "does not take the argument"),
        (other, "a", "another value"),
        (bare, 2**60, "another value"),
    ],
    ids=["computed", "kind", "author's", "written", "no two read alike"],
)
def test_law_2_what_would_become_another_value_is_refused(
    function: Callable[..., Any], value: Any, words: str
) -> None:
    with pytest.raises(ArgumentChangedError, match=words) as caught:
        converting(function, "text").require_kept({"text": value})
    assert caught.value.where == "text"


def test_law_2_what_is_not_there_is_what_the_schema_says_or_refused() -> None:
    with pytest.raises(ArgumentUndecidedError) as caught:
        converting(plain, "text", "count").require_kept({"text": "a"})
    assert caught.value.where == "count"
    known = converting(plain, "text", "count", count=3)
    known.require_kept({"text": "a"})
    assert known.written({"text": "a"}, ["text"]) == {"text": "a"}
    assert known.written({"text": "a", "count": 3}, ["text"]) == {"text": "a"}
    for given in ({"text": "a", "count": 4}, {"text": "a", "count": "3"}):
        with pytest.raises((ArgumentUndecidedError, ArgumentChangedError)) as filled:
            known.written(given, ["text"])
        assert filled.value.where == "count"
    for schemas in ({}, {"count": 4}):
        with pytest.raises(ArgumentUndecidedError, match="a default that its schema does not have") as caught:
            converting(plain, "text", "count", **schemas).written({"text": "a"}, ["text"])
        assert caught.value.where == "count"


def test_law_2_what_was_decided_reaches_the_function_and_can_be_written() -> None:
    one = converting(plain, "text")
    with pytest.raises(ArgumentChangedError, match="does not reach") as caught:
        one.written({}, ["text"])
    assert caught.value.where == "text"
    with pytest.raises(ArgumentChangedError, match="no such argument"):
        one.written({"text": "a", "more": 1}, ["text", "more"])
    with pytest.raises(ArgumentChangedError, match="can't be written") as caught:
        one.written({"text": 5}, ["text"])
    assert caught.value.where == "text"
    with pytest.raises(ArgumentChangedError, match="can't be written"):
        converting(bare, "text").written({"text": Opaque()}, ["text"])


class Held(BaseModel):
    made: list[int] = Field(default_factory=lambda: [99])


def holding(text: dict[str, tuple[Held, ...]]) -> None:
    """Models within."""


def test_law_2_what_is_made_within_is_refused_also_where_the_function_gets_it() -> None:
    one = converting(holding, "text")
    one.require_kept({"text": {"a": [{"made": [99]}]}})
    with pytest.raises(ArgumentUndecidedError, match="a member is not there"):
        one.require_kept({"text": {"a": [{"made": [1]}, {}]}})
    with pytest.raises(ArgumentUndecidedError, match="a member is not there") as caught:
        one.written({"text": {"a": (Held(made=[1]), Held())}}, ["text"])
    assert caught.value.where == "text"
