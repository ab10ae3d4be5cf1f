from __future__ import annotations

from typing import Any

from taskbound.core.policy import Forbid, PolicyAnswer, PolicyRequest, PolicyTrace, conclude
from taskbound.core.policy.turning import turns

TRACE = PolicyTrace(
    candidates=(),
    facts=("covered", "effect", "task.age", "tool.effect"),
    arguments=("arguments/force",),
    told="",
)


def request(**facts: Any) -> PolicyRequest:
    known = {"covered": True, "effect": "write", "task.age": 0, "tool.effect": "write", **facts}
    return PolicyRequest(
        namespace="default", agent="a", tool="t__t", server="t", arguments={"force": True}, facts=known
    )


def answer(*permits: str, forbids: tuple[str, ...] = ()) -> PolicyAnswer:
    barred = tuple(Forbid(policy=one) for one in forbids)
    return PolicyAnswer(permits=permits, forbids=barred, erred=(), bundle="b")


def test_each_fact_that_would_turn_the_answer_is_named_once_and_no_other_is() -> None:
    def ask(asked: PolicyRequest) -> PolicyAnswer:
        barred = asked.facts["effect"] == "destructive" or asked.arguments.get("force") is False
        return answer("p", forbids=("no",) if barred else ())

    found = turns(request(), TRACE, lambda one: conclude(ask(one)))
    assert [(one.what, one.change) for one in found.found] == [
        ("effect", "effect = `destructive`"),
        ("arguments/force", "force = false"),
    ]
    assert found.whole


def test_a_fact_with_two_names_is_changed_under_both() -> None:
    seen: set[tuple[object, object]] = set()

    def ask(asked: PolicyRequest) -> PolicyAnswer:
        seen.add((asked.facts["effect"], asked.facts["tool.effect"]))
        return answer("p")

    turns(request(), TRACE, lambda one: conclude(ask(one)))
    assert seen == {("write", "write"), ("read", "read"), ("destructive", "destructive")}


def test_asking_ends_and_says_so() -> None:
    asked = 0

    def ask(_: PolicyRequest) -> PolicyAnswer:
        nonlocal asked
        asked += 1
        return answer("p")

    flags = tuple(f"kind-{number:04}" for number in range(1_000))
    trace = PolicyTrace(candidates=(), facts=("flags",), arguments=(), told="")
    assert not turns(request(flags=flags), trace, lambda one: conclude(ask(one))).whole
    assert asked <= 402
