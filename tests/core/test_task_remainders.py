from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from taskbound.core.clock import Instant
from taskbound.core.scope import Scope, initial_limits, parse_scope
from taskbound.core.task.amendment import rows_of
from taskbound.core.task.spent import read_spent, spent_text
from tests.core.test_task import make_task

WHOLE: Final = {"limit": 100, "exponent": 0}
CENTS: Final = {"limit": 15_000, "exponent": 2}
FINE: Final = {"limit": 10_000, "exponent": 2}
COARSE: Final = {"limit": 150, "exponent": 0}


def money(*currencies: str, by: str = "currency") -> dict[str, Any]:
    limits = dict(one.split() for one in currencies)
    return {"currency": by, "limits": limits}


def pay(total: dict[str, Any]) -> Scope:
    arguments = {name: {"any": True} for name in ("amount", "currency", "cur")}
    grant: dict[str, Any] = {"tool": "bank__pay", "arguments": arguments, "optional": ["cur", "currency"]}
    if "currency" in total:
        grant["optional"] = ["cur" if total["currency"] == "currency" else "currency"]
    return parse_scope({"grants": [grant | {"total": {"amount": total}}]})


@pytest.mark.parametrize(
    ("old", "spent", "new", "left"),
    [
        (WHOLE, 100, CENTS, [5_000]),
        (FINE, 10_000, COARSE, [50]),
        (FINE, 9_901, COARSE, [50]),
        (money("EUR 100.00"), 10_000, CENTS, [5_000]),
        (FINE, 10_000, money("EUR 150.00"), [5_000]),
        (WHOLE, 100, money("EUR 150.00", "USD 150.00"), [5_000, 5_000]),
        (money("EUR 100.00"), 10_000, money("EUR 150.00", "USD 10.00"), [5_000, 1_000]),
        (money("EUR 100.00"), 10_000, money("USD 150.00"), [15_000]),
        (money("USD 100.00", by="cur"), 10_000, money("EUR 150.00"), [5_000]),
        (WHOLE, 2**53 - 1, {"limit": 2**53 - 1, "exponent": 9}, [0]),
    ],
)
def test_money_that_was_used_counts_however_the_new_total_says_it(
    old: dict[str, Any], spent: int, new: dict[str, Any], left: list[int]
) -> None:
    before, after = pay(old | {"limit": max(spent, 100)} if old is WHOLE else old), pay(new)
    ((limit, whole),) = initial_limits(before).items()
    task = replace(make_task(), scope=before)
    then = rows_of(task, after, 0, {limit: whole - spent}, Instant(1), None)
    assert list(then.rows.values()) == left
    assert all(abs(amount) < 2**63 for _, amount in then.over)
    assert tuple(map(read_spent, map(spent_text, then.spent))) == then.spent


def test_what_was_used_beyond_a_limit_is_remembered_from_one_way_to_say_money_to_another() -> None:
    before, between = pay(FINE), pay(money("EUR 10.00"))
    task = replace(make_task(), scope=before)
    one = rows_of(task, between, 0, {"g0/total/amount": 2_000}, Instant(1), None)
    assert (one.rows, one.over) == ({"g0/total/amount/EUR": 0}, (("g0/total/amount/EUR", -1_000),))
    narrowed = replace(task, scope=between, over=one.over, spent=one.spent)
    two = rows_of(narrowed, before, 0, one.rows, Instant(2), None)
    assert (two.rows, two.over) == ({"g0/total/amount": 2_000}, (("g0/total/amount", -8_000),))
    assert two.spent == one.spent, "nothing was spent meanwhile"
