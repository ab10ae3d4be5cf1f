"""Our `dataclass` makes what the standard library's makes: the two are compared, of the same class each."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import threading
import typing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, InitVar, field, fields, replace
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core import dataclass as ours
from taskbound.core.transition import NoTruth

T = TypeVar("T")
Make = Callable[[type], Any]
PLAIN: dict[str, Any] = {"frozen": True, "slots": True, "kw_only": True}


def both(body: dict[str, Any], **how: bool) -> tuple[Any, Any]:
    """The same class, made by the standard library and by us."""
    made: list[Any] = []
    for make in (dataclasses.dataclass, ours.dataclass):
        cls = type("Case", (), {"__doc__": "A case.", "__module__": __name__, **body})
        made.append(make(**(how or PLAIN))(cls))
    return made[0], made[1]


def of(names: str, **more: Any) -> dict[str, Any]:
    return {"__annotations__": dict.fromkeys(names.split(), "int"), **more}


def is_ours(cls: Any) -> bool:
    base = vars(ours)["_SharedMethods"]
    return cls.__repr__ is base.__repr__ or cls.__setattr__ is base.__setattr__


def told(cls: Any) -> dict[str, Any]:
    """What can be asked of a class without a value of it."""
    return {
        "params": repr(cls.__dataclass_params__),
        "fields": [repr(one) for one in fields(cls)],
        "match": cls.__match_args__,
        "slots": cls.__slots__,
        "doc": cls.__doc__,
        "signature": str(inspect.signature(cls)),
        "annotations": cls.__init__.__annotations__,
        "names": [
            (one, getattr(cls, one).__name__, getattr(cls, one).__module__, callable(getattr(cls, one)))
            for one in ("__init__", "__eq__", "__hash__")
            if getattr(cls, one) is not None
        ],
        "own": sorted(one for one in vars(cls) if not one.startswith("_abc")),
        "module": cls.__module__,
        "qualname": (cls.__qualname__, cls.__init__.__qualname__),
    }


@st.composite
def bodies(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, bool]]:
    """Annotations and fields of a class, and how it is made."""
    how_made = {"slots": True, "frozen": draw(st.booleans()), "kw_only": draw(st.booleans())}
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True))
    body: dict[str, Any] = {"__annotations__": dict.fromkeys(names, "int")}
    for name in names:
        told: Any = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "repr": st.booleans(),
                    "compare": st.booleans(),
                    "hash": st.sampled_from([None, True, False]),
                    "kw_only": st.booleans(),
                },
            )
        )
        how: dict[str, Any] = dict(told)
        match draw(st.sampled_from(["none", "value", "factory", "hidden", "made", "unset"])):
            case "value":
                how["default"] = draw(st.integers())
            case "factory":
                how["default_factory"] = list
            case "hidden":
                how |= {"default": 7, "init": False}
            case "made":
                how |= {"default_factory": list, "init": False}
            case "unset":
                how["init"] = False
        said: bool = draw(st.booleans())
        if how or said:
            body[name] = field(**how)
    return body, how_made


def refused(body: dict[str, Any], how: dict[str, bool]) -> Callable[[Any], str]:
    """Why a decorator does not take that; empty where it does."""

    def why(make: Any) -> str:
        try:
            make(**how)(type("Case", (), {"__doc__": "A case.", **body}))
        except TypeError as error:
            return str(error)
        return ""

    return why


@given(bodies())
def test_what_is_made_of_any_fields_is_what_the_standard_library_makes(
    drawn: tuple[dict[str, Any], dict[str, bool]],
) -> None:
    body, how = drawn
    if refusals := [one for one in map(refused(body, how), (dataclasses.dataclass, ours.dataclass)) if one]:
        theirs, own = refusals
        assert own
        assert theirs.startswith(own)  # a later Python names the other one, too
        return
    theirs, own = both(body, **how)
    assert is_ours(own)
    assert told(own) == told(theirs)
    given_in = {
        one.name: number + 100 for number, one in enumerate(fields(own)) if one.init and number % 2 == 0
    }
    needed = {
        one.name: 1
        for one in fields(own)
        if one.init and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    }
    values = [cls(**(needed | given_in)) for cls in (theirs, own)]
    states = [{one.name: getattr(value, one.name, "unset") for one in fields(value)} for value in values]
    assert states[0] == states[1]
    if "unset" not in states[0].values():
        assert repr(values[1]) == repr(values[0])
        assert values[1] == own(**(needed | given_in))
        assert (values[1] == values[0], values[1] == 3) == (False, False)
        if not how["frozen"]:
            assert own.__hash__ is None
            return
        if any(isinstance(one, list) for one in states[0].values()):
            return
        assert hash(values[1]) == hash(values[0])


def test_the_first_thing_that_is_wrong_is_told_as_there() -> None:
    _, own = both(of("a b", b=3))
    theirs, _ = both(of("a b", b=3))
    for words in ({}, {"a": 1, "c": 2}):
        said = []
        for cls in (theirs, own):
            with pytest.raises(TypeError) as caught:
                cls(**words)
            said.append(str(caught.value))
        assert said[0] == said[1]


@ours.dataclass(frozen=True, slots=True, kw_only=True)
class Value(NoTruth):
    """A value with something of everything."""

    name: str
    count: int = 3
    tags: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    own: list[int] = field(default_factory=list, compare=False)


@ours.dataclass(frozen=True, slots=True)
class Box(Generic[T]):
    """A value of a kind."""

    inside: T
    KIND: ClassVar[str] = "box"


def test_a_value_is_frozen_and_a_name_that_is_no_field_is_told_as_any_other() -> None:
    one = Value(name="a")
    for name in ("name", "other"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(one, name, "b")
        with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
            delattr(one, name)
    assert one == Value(name="a")


def test_a_value_is_copied_pickled_and_replaced() -> None:
    one = Value(name="a", secret="s", own=[1])
    for again in (
        copy.copy(one),
        copy.deepcopy(one),
        *(pickle.loads(pickle.dumps(one, how)) for how in range(2, pickle.HIGHEST_PROTOCOL + 1)),  # noqa: S301 -- our own
        replace(one),
    ):
        assert again == one
        assert (again.secret, again.own, type(again)) == ("s", [1], Value)
    assert replace(one, count=4) == Value(name="a", count=4, secret="s")
    assert copy.deepcopy(one).own is not one.own


def test_a_value_shows_what_may_be_shown() -> None:
    assert repr(Value(name="a", secret="s")) == "Value(name='a', count=3, tags=(), own=[])"
    round_it = Value(name="a")
    round_it.own.append(round_it)  # type: ignore[arg-type]  # the point
    assert repr(round_it) == "Value(name='a', count=3, tags=(), own=[...])"


def test_bases_that_are_no_dataclasses_are_kept() -> None:
    with pytest.raises(TypeError, match="truth"):
        bool(Value(name="a"))
    box: Box[int] = Box(3)
    match box:
        case Box(inside):
            assert (inside, box.KIND) == (3, "box")
    assert typing.get_type_hints(Value)["tags"] == tuple[str, ...]
    assert typing.get_type_hints(Value.__init__)["tags"] == tuple[str, ...]
    kind: Any = Box[int]
    assert kind(3) == box


def test_hashes_of_equal_values_are_equal_and_a_nan_is_itself() -> None:
    theirs, own = both(of("a"))
    nan = float("nan")
    assert own(a=nan) == own(a=nan)  # as tuples of them are, whatever a later Python's dataclasses do
    assert hash(own(a=(1, 2))) == hash(theirs(a=(1, 2)))
    theirs, own = both({})
    assert (own() == own(), hash(own())) == (True, hash(theirs()))
    theirs, own = both(of("a"), **PLAIN, eq=False)
    assert (own(a=1) == own(a=1), theirs(a=1) == theirs(a=1)) == (False, False)
    assert own.__hash__ is object.__hash__


def test_threads_that_compare_first_at_the_same_time_all_get_the_answer() -> None:
    for _ in range(50):
        own: Any = both(of("a b"))[1]
        begin = threading.Barrier(8)

        def ask(cls: Any = own, begin: threading.Barrier = begin) -> tuple[object, ...]:
            one, other = cls(a=1, b=2), cls(a=1, b=2)
            begin.wait(60)
            return one == other, one == cls(a=1, b=3), hash(one) == hash(other)

        with ThreadPoolExecutor(8) as pool:
            found = [pool.submit(ask) for _ in range(8)]
            assert {one.result(60) for one in found} == {(True, False, True)}


def after(self: Any) -> None:
    object.__setattr__(self, "b", self.a + 1)


def test_what_is_to_be_done_after_the_fields_is_done() -> None:
    theirs, own = both(of("a b", b=field(init=False), __post_init__=after))
    assert (own(a=1).b, theirs(a=1).b, told(own)) == (2, 2, told(theirs))


def test_fields_may_be_called_as_what_the_constructor_is_made_of() -> None:
    names = "self _set set made _made _0 own value cls object"
    theirs, own = both(of(names))
    values = {name: number for number, name in enumerate(names.split())}
    assert [getattr(own(**values), one) for one in values] == list(values.values())
    assert told(own) == told(theirs)


def test_what_a_class_has_written_itself_stays() -> None:
    for name in ("__init__", "__repr__", "__getstate__", "__setstate__"):

        def mine(*_: object) -> None:
            """Stays."""

        theirs, own = both(of("a", **{name: mine}))
        assert (vars(own)[name], vars(theirs)[name], is_ours(own)) == (mine, mine, True)


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (of("a"), {"frozen": True}),
        (of("a"), PLAIN | {"order": True}),
        (of("a"), PLAIN | {"weakref_slot": True}),
        (of("a"), PLAIN | {"init": False}),
        (of("a", __eq__=lambda *_: True), PLAIN),
        (of("a", __hash__=lambda _: 1), PLAIN),
        ({"__annotations__": {"a": "InitVar[int]"}}, PLAIN),
        ({"__annotations__": {"a": InitVar[int]}}, PLAIN),
    ],
)
def test_what_is_left_to_the_standard_library_is_its_own(body: dict[str, Any], how: dict[str, bool]) -> None:
    theirs, own = both(body, **how)
    assert not is_ours(own)
    assert [repr(one) for one in fields(own)] == [repr(one) for one in fields(theirs)]
    assert vars(own).keys() == vars(theirs).keys()


@pytest.mark.parametrize("name", ["__setattr__", "__delattr__"])
def test_a_class_that_says_itself_what_is_set_is_refused_as_there(name: str) -> None:
    with pytest.raises(TypeError, match=f"Cannot overwrite attribute {name}"):
        ours.dataclass(**PLAIN)(type("Case", (), of("a", __doc__="x", **{name: lambda *_: None})))


def test_one_that_rests_on_another_is_the_standard_librarys_and_both_ways_are_frozen() -> None:
    @ours.dataclass(frozen=True, slots=True, kw_only=True)
    class More(Value):
        """More of it."""

        more: int = 0

    assert not is_ours(More)
    one = More(name="a", more=1)
    with pytest.raises(FrozenInstanceError):
        one.more = 2  # type: ignore[misc]  # the point
    assert (one, hash(one)) == (More(name="a", more=1), hash(More(name="a", more=1)))
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
        ours.dataclass(slots=True)(type("Less", (Value,), {"__doc__": "Less."}))


def test_it_is_called_with_words_or_without() -> None:
    assert dataclasses.is_dataclass(ours.dataclass(type("Case", (), of("a"))))
    assert is_ours(ours.dataclass(type("Case", (), of("a", __doc__="A case.")), frozen=True, slots=True))
