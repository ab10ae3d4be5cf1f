from __future__ import annotations

from dataclasses import replace

import pytest

from taskbound.core.tool import BadLimitError, BadServerError, ServerIdentity
from taskbound.core.tool.name import Limit, limit_words, parse_limits
from tests.core.tool.test_identity import identity
from tests.core.tool.test_remote import remote


@pytest.mark.parametrize(
    ("words", "limits", "shown"),
    [
        ((), (), ""),
        (("memory=1GiB",), (("memory", 1 << 30),), "memory=1GiB"),
        (("size=1536MiB", "cpu=90"), (("cpu", 90), ("size", 1536 << 20)), "cpu=90 size=1536MiB"),
        (("memory=67108864",), (("memory", 64 << 20),), "memory=64MiB"),
        (("size=1000",), (("size", 1000),), "size=1000"),
        (("files=none", "processes=4"), (("files", 0), ("processes", 4)), "files=none processes=4"),
        (("files=1024",), (("files", 1024),), "files=1024"),
    ],
)
def test_limits_are_read_sorted_and_shown_as_they_are_declared(
    words: tuple[str, ...], limits: tuple[Limit, ...], shown: str
) -> None:
    assert parse_limits(words) == limits
    assert limit_words(limits) == shown
    assert parse_limits(shown.split()) == limits


@pytest.mark.parametrize(
    "words",
    [
        ("memory",), ("memory=",), ("memory=0",), ("memory=-1",), ("memory=1GB",), ("memory=1.5GiB",),
        ("memory=01GiB",), ("memory=1MiB",), ("memory=9999999GiB",), ("memory=1GiB ",), ("cpu=1MiB",),
        ("files=15",), ("Files=64",), ("stack=8MiB",), ("core=none",), ("cpu=1", "cpu=2"),
        ("cpu=1", "cpu=none"), ("cpu=9007199254740993",), ("cpu=None",), ("cpu=1\n",),
    ],
)  # fmt: skip  # a table reads better as one
def test_what_declares_no_limit_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(BadLimitError):
        parse_limits(words)


def test_limits_are_in_the_digest_of_what_is_started_and_change_none_that_has_none() -> None:
    assert replace(identity(), limits=()).digest == identity().digest
    others = [(("cpu", 1),), (("cpu", 2),), (("cpu", 0),), (("files", 16),), (("cpu", 1), ("files", 16))]
    digests = {identity(limits=one).digest for one in others}
    assert len({identity().digest, *digests}) == len(others) + 1


@pytest.mark.parametrize(
    "limits", [(("stack", 1),), (("cpu", -1),), (("files", 64), ("cpu", 1)), (("cpu", 1),) * 2]
)
def test_an_identity_has_no_limits_that_can_not_be_declared(limits: tuple[Limit, ...]) -> None:
    with pytest.raises(BadLimitError):
        identity(limits=limits)


def test_who_is_reached_has_no_limits() -> None:
    with pytest.raises(BadServerError):
        ServerIdentity(namespace="default", remote=remote(), limits=(("cpu", 1),))
