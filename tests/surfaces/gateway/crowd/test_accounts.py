from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.surfaces.gateway.crowd.accounts import Made, Unaccounted, account
from tests.surfaces.gateway.crowd.ground import Held, Row, held_by
from tests.surfaces.gateway.crowd.soak import LeftBehind, TooMuch, not_grown, nothing_left, within


def row(state: str = "succeeded", text: str = "a", task: str = "one") -> Row:
    return Row(text=text, task=task, state=state, decision="permit", code="ok")


def made(*told: str, cancelled: bool = False) -> dict[str, Made]:
    return {"a": Made(task="one", cancelled=cancelled, told=list(told))}


SOUND: list[tuple[dict[str, Made], list[Row], list[str], str]] = [
    (made("ok"), [row()], ["a"], "succeeded"),
    (made("server-lost"), [row("unknown")], ["a"], "unknown"),
    (made("server-lost"), [row("unknown")], [], "unknown"),
    (made("server-lost"), [row("not-sent")], [], "not-sent"),
    (made("outside-scope"), [row("refused")], [], "refused"),
    (made("cancelled", cancelled=True), [], [], "none"),
    (made("silence", cancelled=True), [row("not-sent")], [], "not-sent"),
    (made(cancelled=True), [row("succeeded")], ["a"], "succeeded"),
    (made("ok", cancelled=True), [row("succeeded")], ["a"], "succeeded"),
    (made("daemon-lost"), [], [], "none"),
    (made("daemon-lost"), [row("unknown")], ["a"], "unknown"),
    (made("daemon-lost"), [row("succeeded")], ["a"], "succeeded"),
]
UNSOUND: dict[str, tuple[dict[str, Made], list[Row], list[str]]] = {
    "never answered": (made(), [row()], ["a"]),
    "answered by silence": (made("silence"), [row()], ["a"]),
    "answered twice": (made("ok", "ok"), [row()], ["a"]),
    "not on record": (made("ok"), [], ["a"]),
    "two actions": (made("ok"), [row(), row()], ["a"]),
    "sent twice": (made("ok"), [row()], ["a", "a"]),
    "still open": (made("ok"), [row("sent")], ["a"]),
    "permitted for ever": (made("server-lost"), [row("permitted")], []),
    "of another task": (made("ok"), [row(task="two")], ["a"]),
    "a result of what failed": (made("ok"), [row("unknown")], ["a"]),
    "a refusal of what was done": (made("server-lost"), [row()], ["a"]),
    "a success that no server saw": (made("ok"), [row()], []),
    "refused, and sent": (made("outside-scope"), [row("refused")], ["a"]),
    "not sent, and sent": (made("server-lost"), [row("not-sent")], ["a"]),
    "sent without a daemon": (made("daemon-lost"), [], ["a"]),
    "refused without a record": (made("outside-scope"), [], []),
    "cancelled, sent, and not on record": (made(cancelled=True), [], ["a"]),
    "an action that nobody asked for": ({}, [row()], []),
    "a call that nobody made": ({}, [], ["a"]),
}


@pytest.mark.parametrize(("calls", "rows", "reached", "state"), SOUND)
def test_a_call_whose_story_adds_up_is_counted_by_its_state(
    calls: dict[str, Made], rows: list[Row], reached: list[str], state: str
) -> None:
    assert dict(account(calls, rows, reached)) == {state: 1}


@pytest.mark.parametrize("story", UNSOUND.values(), ids=list(UNSOUND))
def test_a_call_whose_story_does_not_add_up_is_named(story: Any) -> None:
    with pytest.raises(Unaccounted, match="`a`"):
        account(*story)


# --- what is left behind ------------------------------------------------------------------------------------

BEFORE = Held(beneath=2, descriptors=20, resident=1 << 20)


@pytest.mark.parametrize("more", [{"beneath": 3}, {"descriptors": 21}])
def test_a_process_and_a_descriptor_more_than_before_are_left_behind(more: dict[str, int]) -> None:
    nothing_left("front", BEFORE, BEFORE)
    with pytest.raises(LeftBehind, match="the front had 2 processes and 20 descriptors before"):
        nothing_left("front", BEFORE, replace(BEFORE, **more))


def test_memory_above_the_bound_or_above_that_of_the_first_half_is_too_much() -> None:
    within("front", BEFORE, 1 << 20)
    with pytest.raises(TooMuch, match="the front has 1 MiB resident, and may have 0"):
        within("front", BEFORE, (1 << 20) - 1)
    not_grown({"front": 10}, {"front": 15, "gateway": 99}, 5)
    with pytest.raises(TooMuch, match="the front grew"):
        not_grown({"front": 10}, {"front": 16}, 5)


def test_connections_of_the_database_have_a_bound() -> None:
    with pytest.raises(LeftBehind, match="46 descriptors of its database"):
        within("daemon", replace(BEFORE, pooled=46), 1 << 20)
    within("daemon", replace(BEFORE, pooled=45), 1 << 20)


def test_what_a_process_holds_is_counted(tmp_path: Path) -> None:
    before = held_by(os.getpid())
    with (tmp_path / "open").open("w"), (tmp_path / "taskbound.db").open("w"):
        child = subprocess.Popen(["/bin/sleep", "60"])
        try:
            after = held_by(os.getpid())
        finally:
            child.kill()
            child.wait()
    assert (after.descriptors, after.pooled) == (before.descriptors + 1, before.pooled + 1)
    assert after.beneath == before.beneath + 1
    assert after.resident > 1 << 20
