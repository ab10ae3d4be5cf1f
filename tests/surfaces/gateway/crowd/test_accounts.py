from __future__ import annotations

from typing import Any

import pytest

from tests.surfaces.gateway.crowd.accounts import Made, Unaccounted, account
from tests.surfaces.gateway.crowd.ground import Row


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
