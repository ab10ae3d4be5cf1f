"""Values with the quicker constructor are what they were without it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from taskbound.core.audit import ActionDecided
from taskbound.core.decision import Presentation
from taskbound.core.quick import quick
from taskbound.core.transition import NoTruth
from taskbound.ports.action import StoredAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain(NoTruth):
    name: str
    own: int = 3
    tags: tuple[str, ...] = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick(NoTruth):
    name: str
    own: int = 3
    tags: tuple[str, ...] = ()


def test_a_quick_value_equals_hashes_and_shows_as_a_plain_one() -> None:
    one = Quick(name="a", tags=("b",))
    assert type(one) is Quick
    assert one == Quick(name="a", own=3, tags=("b",))
    assert one != Quick(name="b", tags=("b",))
    assert hash(one) == hash(Plain(name="a", tags=("b",)))
    assert repr(one) == repr(Plain(name="a", tags=("b",))).replace("Plain", "Quick")
    assert replace(one, own=4) == Quick(name="a", own=4, tags=("b",))


def test_a_quick_value_can_not_be_changed_nor_given_another_class() -> None:
    one = Quick(name="a")
    with pytest.raises(FrozenInstanceError):
        one.name = "b"  # type: ignore[misc]  # the point
    with pytest.raises(FrozenInstanceError):
        del one.name
    with pytest.raises((FrozenInstanceError, TypeError)):  # which of them depends on the Python
        one.__class__ = Plain  # type: ignore[assignment]  # the point
    assert one.name == "a"


def test_a_quick_value_refuses_what_is_missing_too_much_or_not_named() -> None:
    with pytest.raises(TypeError, match="name"):
        Quick()  # type: ignore[call-arg]  # the point
    with pytest.raises(TypeError, match="other"):
        Quick(name="a", other=1)  # type: ignore[call-arg]  # the point
    with pytest.raises(TypeError, match="positional"):
        Quick("a")  # type: ignore[call-arg]  # the point


def test_every_field_of_the_widest_values_holds_what_it_was_given() -> None:
    for kind in (StoredAction, ActionDecided, Presentation):
        given = {one.name: object() for one in fields(kind)}
        made = kind(**given)  # type: ignore[arg-type]  # any object will do
        assert all(getattr(made, name) is value for name, value in given.items())


def test_a_class_that_is_not_frozen_is_refused() -> None:
    with pytest.raises(TypeError, match="frozen"):

        @quick
        @dataclass(slots=True, kw_only=True)
        class _Loose:
            name: str


def test_a_class_that_works_something_out_after_its_fields_is_refused() -> None:
    with pytest.raises(TypeError, match="frozen"):

        @quick
        @dataclass(frozen=True, slots=True, kw_only=True)
        class _Later:
            name: str

            def __post_init__(self) -> None: ...


def test_a_class_with_a_field_that_is_made_anew_each_time_is_refused() -> None:
    with pytest.raises(TypeError, match="plain"):

        @quick
        @dataclass(frozen=True, slots=True, kw_only=True)
        class _Made:
            names: list[str] = field(default_factory=list)


def test_a_class_without_slots_is_refused() -> None:
    with pytest.raises(TypeError, match="plain"):

        @quick
        @dataclass(frozen=True, kw_only=True)
        class _Wide:
            name: str


def test_a_class_with_a_field_that_could_be_taken_for_the_constructors_own_words_is_refused() -> None:
    with pytest.raises(TypeError, match="plain"):

        @quick
        @dataclass(frozen=True, slots=True, kw_only=True)
        class _Hidden:
            _own: str
