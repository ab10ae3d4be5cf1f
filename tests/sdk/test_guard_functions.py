from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import pickle
import typing
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, Required, TypedDict

import pytest
import typing_extensions

from taskbound.sdk.guard.errors import SignatureError
from taskbound.sdk.guard.guarded import Guarded, guard
from taskbound.sdk.guard.shape import shape_of
from tests.sdk.noted import note, note_later


def plain(text: str) -> str:
    """What is guarded."""
    return text


def other(*_: object, **__: object) -> str:
    return "another function than was guarded"


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a decorator makes that writes things of its own on a function."""

    @functools.wraps(function)
    def shorter(text: str) -> object:
        return function(text=text[:3])

    said = {
        name: other
        for name in (*dir(Guarded), *vars(guard(server="notes")(plain)))
        if not name.startswith("__")
    }
    vars(shorter).update({**said, "mine": 5})
    return shorter


def test_law_2_what_is_written_on_a_function_takes_the_place_of_nothing_that_guards_it() -> None:
    function = decorated(plain)
    plainly: Any = guard(server="notes")(plain)
    found: Any = guard(server="notes")(function)
    assert found.mine == 5
    assert found.__wrapped__ is function
    assert found.tool == "notes__plain"
    assert found.definition == plainly.definition
    assert found._digest == plainly._digest  # noqa: SLF001 -- by which a changed function is known
    assert found.made(found.written(("hello",), {})) == ([], {"text": "hello"})
    assert found.started(([], {"text": "hello"})) == "hel"
    assert found.finished("x") == "x"
    assert not found.is_awaited
    assert found.failed == ()


def test_a_guarded_function_that_is_guarded_again_is_asked_for_under_its_own_name() -> None:
    assert guard(server="outer")(guard(server="inner")(plain)).tool == "outer__plain"


class Whole(TypedDict):
    must: int
    may: NotRequired[str]
    marked: Annotated[NotRequired[int], "of no concern"]


class Part(TypedDict, total=False):
    must: Required[int]
    may: str


class Elsewhere(typing_extensions.TypedDict):
    must: int
    may: typing_extensions.NotRequired[str]


@pytest.mark.parametrize("kind", [Whole, Part, Elsewhere])
def test_members_that_may_be_missing_may_be_though_a_module_puts_off_its_types(kind: Any) -> None:
    shape = shape_of(kind, "it")
    assert shape.schema["required"] == ["must"]
    assert shape.read(shape.write({"must": 1}, "it")) == {"must": 1}
    with pytest.raises(SignatureError):
        shape.write({"may": "x"}, "it")


@dataclasses.dataclass
class Counted:
    amount: int
    times: dataclasses.InitVar[int] = 1


@dataclasses.dataclass(init=False)
class Parted:
    amount: int

    def __init__(self, euros: int = 0, amount: int = 0) -> None:
        self.amount = amount or euros * 100


@pytest.mark.parametrize(("kind", "more"), [(Counted, "times"), (Parted, "euros")])
def test_law_2_a_dataclass_that_is_made_of_more_than_its_fields_is_refused_where_it_is_guarded(
    kind: Any, more: str
) -> None:
    with pytest.raises(SignatureError, match="more than its fields") as caught:
        shape_of(kind, "it")
    assert more in caught.value.message


class Thing:
    def at(self, text: str) -> str:
        return text

    def __call__(self, text: str) -> str:
        return text

    @classmethod
    def made(cls, text: str) -> str:
        return text


Thing.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (Thing.at, r"`guard\(server=…\)\(thing.at\)`"),
        (Thing(), "name them"),
        (functools.partial(plain, "x"), "name them"),
        (vars(Thing)["made"], "right above the `def`"),
        ("notes", "right above the `def`"),
    ],
)
def test_what_can_not_be_guarded_says_what_can(function: Any, said: str) -> None:
    with pytest.raises(SignatureError) as caught:
        guard(function)
    assert caught.value.advice
    with pytest.raises(SignatureError, match=said):
        raise SignatureError(caught.value.advice)


@pytest.mark.parametrize("function", [Thing(), functools.partial(plain, "x")])
def test_what_has_no_annotations_of_its_own_is_to_be_called_by_a_function(function: Any) -> None:
    with pytest.raises(SignatureError) as caught:
        guard(server="notes", tool="one")(function)
    assert "define a function" in caught.value.advice


def test_one_objects_method_and_what_is_static_are_guarded() -> None:
    assert guard(server="notes")(Thing().at).written(("x",), {}) == b'{"text":"x"}'
    assert guard(server="notes")(staticmethod(plain)).tool == "notes__plain"


def test_a_guarded_function_is_found_by_its_name_as_functions_are() -> None:
    assert pickle.loads(pickle.dumps(note)) is note  # noqa: S301 -- as a pool of processes does
    assert copy.deepcopy(note) is note
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(note.using(wait=1))


def test_who_asks_hears_that_a_function_is_awaited() -> None:
    assert asyncio.iscoroutinefunction(note_later)
    assert not asyncio.iscoroutinefunction(note)
    assert typing.get_type_hints(note.__wrapped__)
