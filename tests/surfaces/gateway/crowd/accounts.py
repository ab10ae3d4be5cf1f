"""Every call accounted for: what the client was told, what is on record, and what reached a server.

1. A call is answered once, or its client cancelled it and waits for nothing.
2. It is one action in a final state, of the task whose client made it. Only a call that its client took
   back, or that was refused because no daemon could be asked, may be none, and then no server saw it.
3. What was told is what is recorded: a result is a success, and a call that a server saw is none that was
   refused or not sent. Each success was seen by a server. What came while no daemon could be asked is
   withheld, and recorded as what it was once there is one.
4. No server saw a call twice.
5. The states add up to the calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.surfaces.gateway.crowd.ground import Row

FINAL: Final = frozenset({"succeeded", "failed", "unknown", "refused", "withdrawn", "not-sent", "lapsed"})
AWAY: Final = "daemon-lost"
UNSEEN: Final = frozenset({"refused", "withdrawn", "not-sent", "lapsed"})


class Unaccounted(AssertionError):  # noqa: N818 -- what it is
    """A call whose story does not add up."""


@dataclass(slots=True, kw_only=True)
class Made:
    """One call as its client knows it."""

    task: str
    cancelled: bool = False
    told: list[str] = field(default_factory=list)
    """The code of each answer: `ok`, or why not."""


def account(made: Mapping[str, Made], rows: Iterable[Row], reached: Sequence[str]) -> Counter[str]:
    """How many calls ended in which state, `none` for those that nothing came of.

    Args:
        made: The calls by their texts.
        rows: All that is on record.
        reached: The text of each call that a server saw, as often as it did.

    Raises:
        Unaccounted: Of the first call that does not add up.
    """
    kept: dict[str, list[Row]] = {text: [] for text in made}
    for row in rows:
        if row.text not in kept:
            raise Unaccounted(f"the action `{row.text}` is on record, and nobody called")
        kept[row.text].append(row)
    seen = Counter(reached)
    for text in seen.keys() - made.keys():
        raise Unaccounted(f"the call `{text}` reached a server, and nobody called")
    found = Counter(_state(text, call, kept[text], seen[text]) for text, call in made.items())
    if found.total() != len(made):
        raise Unaccounted(f"{len(made)} calls are {found.total()} actions")  # 5
    return found


def _state(text: str, call: Made, rows: Sequence[Row], seen: int) -> str:
    told = [one for one in call.told if one not in {"cancelled", "silence"}]
    if len(told) > 1 or (not told and not call.cancelled):
        raise Unaccounted(f"the call `{text}` was answered {len(told)} times: {call.told}")  # 1
    if seen > 1:
        raise Unaccounted(f"the call `{text}` was sent to a server {seen} times")  # 4
    if len(rows) > 1 or (not rows and not call.cancelled and told != [AWAY]):
        raise Unaccounted(f"the call `{text}` is {len(rows)} actions, and was told {call.told}")  # 2
    if not rows:
        if seen or told not in ([], [AWAY]):
            raise Unaccounted(f"the call `{text}` is not on record, and was sent or answered: {told}")  # 2
        return "none"
    (row,) = rows
    if row.state not in FINAL or row.task != call.task:
        raise Unaccounted(f"the call `{text}` of `{call.task}` is `{row.state}` of `{row.task}`")  # 2
    if told == ["ok"] and row.state != "succeeded":
        raise Unaccounted(f"the call `{text}` got a result, and is on record as `{row.state}`")  # 3
    if told and told not in (["ok"], [AWAY]) and row.state == "succeeded":
        raise Unaccounted(f"the call `{text}` was refused its result as `{told[0]}`, and succeeded")  # 3
    if (row.state == "succeeded" and not seen) or (row.state in UNSEEN and seen):
        raise Unaccounted(f"the call `{text}` is `{row.state}`, and servers saw it {seen} times")  # 3
    return row.state
