from __future__ import annotations

import pytest

from taskbound.core.identity import Person, PersonState
from taskbound.core.policy import (
    ActiveBundle,
    AuthorActivatesError,
    MovedInForceError,
    NotInForceBeforeError,
    require_activator,
    require_earlier,
    require_unmoved,
)

PAST = [
    ActiveBundle(epoch=3, digest="c"),
    ActiveBundle(epoch=2, digest="b"),
    ActiveBundle(epoch=1, digest="a"),
    ActiveBundle(),
]


def person(name: str, *, gone: bool = False, human: str = "") -> Person:
    state = PersonState.GONE if gone else PersonState.PRESENT
    return Person(namespace="default", name=name, uid=1000, state=state, human=human)


def test_the_author_puts_in_force_only_what_nobody_else_could() -> None:
    ann, bob = person("ann"), person("bob")
    assert require_activator("ann", "bob", {"ann": ann, "bob": bob}) is False
    assert require_activator("ann", "ann", {"ann": ann}) is True
    assert require_activator("ann", "ann", {"ann": ann, "bob": person("bob", gone=True)}) is True
    with pytest.raises(AuthorActivatesError):
        require_activator("ann", "ann", {"ann": ann, "bob": bob})
    with pytest.raises(AuthorActivatesError):
        require_activator("ann", "ann", {"bob": bob})


def test_persons_who_are_linked_are_one_human_who_is_the_author() -> None:
    two = {"ann": person("ann", human="h1"), "annie": person("annie", human="h1")}
    assert require_activator("ann", "annie", two) is True
    three = {**two, "bob": person("bob")}
    assert require_activator("ann", "bob", three) is False
    with pytest.raises(AuthorActivatesError):
        require_activator("ann", "annie", three)


def test_only_what_was_in_force_until_now_is_gone_back_to() -> None:
    now = PAST[0]
    assert require_earlier(now, PAST, None) == "b"
    assert [require_earlier(now, PAST, told) for told in ("b", "a", "")] == ["b", "a", ""]
    for told in ("c", "d"):
        with pytest.raises(NotInForceBeforeError):
            require_earlier(now, PAST, told)
    with pytest.raises(NotInForceBeforeError):
        require_earlier(ActiveBundle(), [ActiveBundle()], None)


def test_what_was_looked_at_over_something_else_is_not_put_in_force() -> None:
    for now in PAST:
        require_unmoved(now, now)
    for seen, now in (
        (PAST[1], PAST[0]),
        (ActiveBundle(), ActiveBundle(epoch=2)),
        (ActiveBundle(epoch=2), ActiveBundle()),
    ):
        with pytest.raises(MovedInForceError):
            require_unmoved(seen, now)
