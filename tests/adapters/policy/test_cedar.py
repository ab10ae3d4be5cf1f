from __future__ import annotations

import cedarpy
import pytest

from taskbound.adapters.policy.cedar import CedarPolicyEngine, base_bundle
from taskbound.core.policy import (
    FACTS,
    Forbidden,
    Held,
    Permitted,
    PolicyReads,
    PolicyRequest,
    PolicySyntaxError,
    conclude,
)

PERMIT = '@id("all") permit (principal, action, resource);'
# The addition overflows, so the policy errs.
OVERFLOW = "(principal, action, resource) when { context.attempt + 9223372036854775807 > 0 };"


def request(**facts: str | int | bool | tuple[str, ...]) -> PolicyRequest:
    return PolicyRequest(
        namespace="default", agent="coder", tool="git__log", server="git", facts={"covered": True, **facts}
    )


def base(**facts: str | int | bool | tuple[str, ...]) -> object:
    given = {"checked": "", "effect": "write", "idempotent": False, "last_outcome": "none", **facts}
    return conclude(CedarPolicyEngine(base_bundle()).answer(request(**given)))


def test_a_covering_grant_is_the_permit() -> None:
    assert base() == Permitted(policies=("base:covering-grant",))
    assert base(covered=False) == Forbidden(code="not-permitted", policies=())


def test_law_7_a_repeat_after_unknown_holds_and_reading_again_does_not() -> None:
    held = base(last_outcome="unknown")
    assert held == Held(policies=("base:repeat-after-unknown",), lifters=("confirm",))
    assert base(last_outcome="unknown", effect="read") == Permitted(policies=("base:covering-grant",))
    assert base(last_outcome="unknown", idempotent=True) == Permitted(policies=("base:covering-grant",))
    assert base(last_outcome="unknown", checked="absent") == Permitted(policies=("base:covering-grant",))
    for shown in ("present", "unsettled", "unreadable", "Absent"):
        assert base(last_outcome="unknown", checked=shown) == held
    assert base(last_outcome="failed") == Permitted(policies=("base:covering-grant",))


def test_a_hold_does_not_stand_in_for_a_permit() -> None:
    assert base(covered=False, last_outcome="unknown") == Forbidden(code="not-permitted", policies=())


def test_a_forbid_that_errs_refuses_though_cedar_itself_skips_it_and_allows() -> None:
    text = f'{PERMIT} @id("bar") forbid {OVERFLOW}'
    raw = cedarpy.is_authorized(
        {"principal": 'A::"a"', "action": 'A::"b"', "resource": 'A::"c"', "context": {"attempt": 1}}, text, []
    )
    assert raw.decision is cedarpy.Decision.Allow
    assert raw.diagnostics.errors
    answer = CedarPolicyEngine(text).answer(request(attempt=1))
    words = answer.erred[0].words
    assert "overflow" in words
    assert conclude(answer) == Forbidden(code="policy-erred", policies=("bar",), details=(words,))


def test_a_permit_that_errs_refuses_as_well() -> None:
    text = f'{PERMIT} @id("more") permit {OVERFLOW}'
    assert isinstance(conclude(CedarPolicyEngine(text).answer(request(attempt=1))), Forbidden)


def test_a_fact_that_was_not_given_errs_and_refuses() -> None:
    assert isinstance(conclude(CedarPolicyEngine(base_bundle()).answer(request())), Forbidden)


@pytest.mark.parametrize(
    "text",
    [
        "permit (principal, action, resource);",
        '@id("") permit (principal, action, resource);',
        PERMIT + PERMIT,
        "this is no policy",
        PERMIT + '@id("x") forbid (principal, action, resource) when { context.mood > 3 };',
        PERMIT + '@id("x") forbid (principal, action, resource) unless { context has approved };',
        PERMIT + '@id("x") forbid (principal, action, resource) when { context["Covered"] };',
    ],
    ids=[
        "no-id",
        "empty-id",
        "same-id-twice",
        "no-cedar",
        "unknown-fact",
        "unknown-fact-has",
        "case-of-a-fact",
    ],
)
def test_a201_a_bundle_that_can_not_be_read_or_reads_what_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(PolicySyntaxError):
        CedarPolicyEngine(text)


def test_only_the_facts_that_policies_read_are_asked_for() -> None:
    assert CedarPolicyEngine(base_bundle()).reads == {
        "checked",
        "covered",
        "effect",
        "idempotent",
        "last_outcome",
    }
    whole = PERMIT + '@id("x") forbid (principal, action, resource) when { context == {"a": 1} };'
    assert CedarPolicyEngine(whole).reads == set(FACTS)
    assert CedarPolicyEngine(PERMIT).reads == set()


@pytest.mark.parametrize(
    "changed",
    [
        {"agent": "other"},
        {"namespace": "other"},
        {"tool": "git__status"},
        {
            "facts": {
                "covered": False,
                "effect": "write",
                "idempotent": False,
                "checked": "",
                "last_outcome": "none",
            }
        },
        {
            "facts": {
                "covered": True,
                "effect": "write",
                "idempotent": False,
                "checked": "",
                "last_outcome": "unknown",
            }
        },
    ],
    ids=["agent", "namespace", "tool", "covered", "last-outcome"],
)
def test_i21_a_remembered_answer_is_the_one_that_would_be_computed(changed: dict[str, object]) -> None:
    text = base_bundle() + (
        '@id("t") forbid (principal, action, resource == Taskbound::Tool::"default/git__status");'
        '@id("a") forbid (principal == Taskbound::Agent::"default/other", action, resource);'
        '@id("n") forbid (principal == Taskbound::Agent::"other/coder", action, resource);'
    )
    start = {
        "namespace": "default",
        "agent": "coder",
        "tool": "git__log",
        "server": "git",
        "facts": {
            "covered": True,
            "effect": "write",
            "idempotent": False,
            "checked": "",
            "last_outcome": "none",
        },
    }
    warm = CedarPolicyEngine(text)
    first = warm.answer(PolicyRequest(**start))  # type: ignore[arg-type]  # fields of several types
    other = PolicyRequest(**start | changed)  # type: ignore[arg-type]  # fields of several types
    fresh = CedarPolicyEngine(text).answer(other)
    assert warm.answer(other) == fresh
    assert (fresh.permits, fresh.forbids) != (first.permits, first.forbids)


def test_a206_names_with_newlines_and_quotes_are_ids_and_nothing_else() -> None:
    strange = PolicyRequest(
        namespace='a"\n',
        agent='x"); permit(principal, action, resource); //',
        tool="t__\u2028",
        server="s",
        facts={
            "covered": False,
            "effect": "write",
            "idempotent": False,
            "checked": "",
            "last_outcome": "none",
        },
    )
    answer = CedarPolicyEngine(base_bundle()).answer(strange)
    assert (answer.permits, answer.forbids) == ((), ())
    assert isinstance(conclude(answer), Forbidden)


def test_the_same_bundle_has_the_same_digest_and_another_one_does_not() -> None:
    assert CedarPolicyEngine(PERMIT).bundle == CedarPolicyEngine(PERMIT).bundle
    assert CedarPolicyEngine(PERMIT).bundle != CedarPolicyEngine(PERMIT + "\n").bundle


@pytest.mark.parametrize(
    ("text", "words", "benign"),
    [
        (
            '@id("x") forbid (principal, action == Taskbound::Action::"call", resource);',
            "which nothing is",
            '@id("x") forbid (principal, action in Taskbound::Action::"call", resource);',
        ),
        (
            '@id("x") @hold("confirm") permit (principal, action, resource);',
            "has `@hold` and is a permit",
            '@id("x") @hold("confirm") forbid (principal, action, resource);',
        ),
        (
            '@id("x") @hold("approvel:cfo") forbid (principal, action, resource);',
            "which does not exist",
            '@id("x") @hold("approval:cfo") forbid (principal, action, resource);',
        ),
        (
            '@id("x") forbid (principal == ?principal, action, resource);',
            "template",
            '@id("x") forbid (principal, action, resource);',
        ),
        (
            '@id("x") forbid (principal, action, resource) when { action.name == "y" };',
            "`action.name`, which does not exist",
            '@id("x") forbid (principal, action, resource) when { resource.name == "y" };',
        ),
    ],
    ids=["call", "hold-on-permit", "lifter", "template", "action"],
)
def test_a201_what_would_be_read_and_do_nothing_is_refused(text: str, words: str, benign: str) -> None:
    with pytest.raises(PolicySyntaxError, match=words):
        CedarPolicyEngine(text)
    assert CedarPolicyEngine(benign).policies == ("x",)


@pytest.mark.parametrize(
    ("condition", "read"),
    [
        ("principal.owner == principal", {"agent.owner"}),
        ('principal == Taskbound::Agent::"n/a"', set()),
        ('Taskbound::Agent::"n/a" has owner', set(FACTS)),
        ('(if true then principal else Taskbound::Agent::"n/b").name == "a"', set(FACTS)),
        ('{"p": principal}.p.name == "a"', set(FACTS)),
        ('context.task == Taskbound::Task::"n/t"', set()),
        ("context.task.age > 3 && context has attempt", {"task.age", "attempt"}),
        ("[principal.owner].contains(principal)", {"agent.owner"}),
        ("context.arguments.x.y == 3 && context.counts has z", set()),
    ],
)
def test_every_fact_that_a_condition_may_reach_is_among_what_it_reads(condition: str, read: set[str]) -> None:
    text = f'@id("x") forbid (principal, action, resource) when {{ {condition} }};'
    assert CedarPolicyEngine(text).reads == read


def test_what_can_change_an_answer_is_said_for_an_agent_and_a_tool() -> None:
    engine = CedarPolicyEngine(
        PERMIT + '@id("age") forbid (principal == Taskbound::Agent::"n/a", action, resource)'
        "when { context.task.age > 3 };"
        '@id("path") forbid (principal, action == Taskbound::Action::"s__t", resource)'
        "when { context.arguments has path };"
    )
    assert engine.reads_of("n", "a", "s__t", "s") == PolicyReads(
        facts=frozenset({"task.age"}), arguments=True
    )
    assert engine.reads_of("n", "b", "s__u", "s") == PolicyReads(facts=frozenset(), arguments=False)
