"""Every kind of bad input that policies can be: one clear error each, or an answer, in bounded time."""

from __future__ import annotations

import pytest

from taskbound.adapters.policy.cedar import ApartLanguage, CedarLanguage, CedarPolicyEngine
from taskbound.core.errors import TaskboundError
from taskbound.core.policy import (
    MAX_BUNDLE,
    PolicyBundle,
    PolicyRequest,
    PolicyTool,
    conclude,
    pack,
    parse_cases,
    whole,
    words_of,
)

TOOL = PolicyTool(
    namespace="default",
    name="s__t",
    server="s",
    schema={"type": "object", "properties": {"path": {"type": "string"}}},
    effect="read",
    open_world=False,
)
PERMIT = '@id("p") permit (principal, action, resource);\n'
FORBID = '@id("no") forbid (principal, action, resource) when {{ {} }};'
BAD: dict[str, tuple[str, str]] = {
    "without a name": ("forbid (principal, action, resource);", "bad-policy"),
    "huge": (PERMIT * 10_001, "bad-policy"),
    "deeply nested, by parentheses": (FORBID.format("(" * 20_000 + "true" + ")" * 20_000), "bad-policy"),
    "deeply nested, without any": (FORBID.format("true && " * 20_000 + "true"), "bad-policy"),
    "deeply nested, by names": (FORBID.format("context" + ".a" * 20_000), "bad-policy"),
    "deeply nested, by lists": (FORBID.format("[" * 5_000 + "]" * 5_000 + " == 1"), "bad-policy"),
    "no end": ("forbid (principal, action, resource", "bad-policy"),
    "in a cycle, through a slot": (
        '@id("no") forbid (principal in ?principal, action, resource);',
        "bad-policy",
    ),
    "a name twice": (FORBID.format("true") + FORBID.format("false"), "bad-policy"),
    "a name that looks like another": (
        FORBID.format("true") + FORBID.format("false").replace("no", "No"),
        "bad-policy",
    ),
    "a letter of another alphabet for one of ours": (
        "forbid (princip\u0430l, action, resource);",
        "bad-policy",
    ),
    "a name that can not be shown": (FORBID.format("true").replace("no", "n\u202eo"), "bad-policy"),
    "a fact that looks like one": (FORBID.format("context.\u0441overed"), "bad-policy"),
}
"""By kind: the text and the one error."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_bundle_that_is_bad_is_one_clear_error(kind: str) -> None:
    text, code = BAD[kind]
    with pytest.raises(TaskboundError) as caught:
        CedarPolicyEngine(text)
    assert caught.value.code == code
    assert 0 < len(caught.value.message) < 500
    problems = ApartLanguage().problems({"own.cedar": text}, [TOOL])
    assert problems
    assert all(one.words and len(one.words) < 500 and one.line >= 1 and one.column >= 1 for one in problems)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "refuse, not-permitted"),
        ("// nothing but a remark\n", "refuse, not-permitted"),
        (PERMIT + FORBID.format("true && !true"), "permit (p)"),
        (PERMIT + FORBID.format("true || !true"), "refuse, forbidden (no)"),
        (PERMIT + FORBID.format('context.arguments.path like "' + "*a" * 2_000 + '*b"'), "permit (p)"),
        (
            PERMIT + FORBID.format('context.arguments.path like "' + "*" * 20_000 + '"'),
            "refuse, forbidden (no)",
        ),
    ],
    ids=["empty", "empty but for a remark", "contradictory", "always", "globs that blow up", "stars alone"],
)
@pytest.mark.timeout(60)
def test_a_bundle_that_is_odd_is_answered_in_bounded_time(text: str, answer: str) -> None:
    engine = CedarPolicyEngine(text)
    asked = PolicyRequest(
        namespace="default",
        agent="a",
        tool="s__t",
        server="s",
        task="t",
        arguments={"path": "a" * 100_000},
        definition="d",
        schema=TOOL.schema,
        facts={},
    )
    assert words_of(conclude(engine.answer(asked))) == answer


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"cases": []},
        {"cases": [{}] * 10_001},
        {"cases": [{"name": "a", "agent": "a", "tool": "s__t", "expect": {"permit": None, "refuse": None}}]},
        {"cases": [{"name": "a", "\u0430gent": "a", "tool": "s__t", "expect": "permit"}]},
        {"cases": [{"name": "a\u202eb", "agent": "a", "tool": "s__t", "expect": "permit"}]},
    ],
    ids=["nothing", "empty", "no case", "huge", "contradictory", "a member that looks like one", "unseen"],
)
def test_cases_that_are_bad_are_one_clear_error(value: object) -> None:
    with pytest.raises(TaskboundError) as caught:
        parse_cases(value)  # type: ignore[arg-type]  # whatever a file may hold
    assert caught.value.code == "bad-case"


def test_laying_out_what_is_bad_is_one_clear_error() -> None:
    for kind in ("no end", "deeply nested, without any"):
        with pytest.raises(TaskboundError) as caught:
            CedarLanguage().formatted(BAD[kind][0])
        assert caught.value.code == "bad-policy"


def test_a_bundle_larger_than_one_may_be_is_one_clear_error() -> None:
    with pytest.raises(TaskboundError) as caught:
        pack(PolicyBundle(files=whole({"own.cedar": "/" * (MAX_BUNDLE + 1)}, PERMIT)))
    assert caught.value.code == "bad-bundle"
