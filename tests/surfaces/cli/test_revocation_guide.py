"""The guide of the feed does what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from taskbound import __version__
from taskbound.sdk.feed import RevokedError, StaleFeedError
from taskbound.wiring.home import find_socket
from tests.house.tree import ROOT
from tests.wiring.running import until

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

PAGE = (ROOT / "docs/guides/revocation.md").read_text(encoding="utf-8")
LINE = re.compile(r"^\d{4}-\d\d-\d\dT[\d:]+Z  \d+  (stopped|back|over)  task (tsk_\w+)$")


def test_the_feed_says_of_a_pause_and_an_end_what_the_guide_says(place: Installation) -> None:
    task = place.start_task("to be paused and ended")
    for words in (("task", "pause", task), ("task", "resume", task), ("task", "end", task, "--yes")):
        assert place(*words).status == 0
    block = PAGE.split("$ taskbound revocation tail\n")[1].split("```")[0]
    turns = [found[1] for line in block.splitlines() if (found := LINE.match(line)) is not None]
    assert turns == ["stopped", "back", "over"]

    def told() -> list[str]:
        lines = place("revocation", "tail").out.splitlines()
        return [found[1] for line in lines if (found := LINE.match(line)) is not None and found[2] == task]

    until(lambda: told() == turns, "all three are told")


def test_the_reader_of_the_guide_refuses_what_ended(place: Installation) -> None:
    names: dict[str, Any] = {}
    exec(PAGE.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - the guide of this repository
    task = place.start_task("to be ended")
    reader, follower = names["followed"](find_socket(place.home), __version__)

    def goes() -> bool:
        try:
            names["require_going"](reader, task)
        except StaleFeedError:
            return False
        return True

    until(goes, "the reader is fresh")
    place("task", "end", task, "--yes")

    def ended() -> bool:
        try:
            names["require_going"](reader, task)
        except RevokedError:
            return True
        return False

    until(ended, "it has heard of the end")
    follower.stop()
    with pytest.raises(RevokedError):
        names["require_going"](reader, task)
