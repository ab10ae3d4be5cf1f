from __future__ import annotations

from typing import Any

import cedarpy
import pytest

from taskbound.adapters.policy.cedar import CedarLanguage
from taskbound.adapters.policy.cedar.bundle import read_bundle, split
from taskbound.adapters.policy.cedar.problems import validated
from taskbound.adapters.policy.cedar.vocabulary import schema_of
from taskbound.core.policy import PolicyProblem, PolicySyntaxError, PolicyTool

LOG: dict[str, Any] = {
    "type": "object",
    "required": ["repo"],
    "properties": {
        "repo": {"type": "string"},
        "max_count": {"type": ["integer", "null"]},
        "since": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "paths": {"type": "array", "items": {"type": "string"}},
        "env": {"type": "object", "additionalProperties": True},
        "loose": {"type": "array"},
    },
}
TOOLS = (
    PolicyTool(namespace="default", name="git__log", server="git", schema=LOG),
    PolicyTool(namespace="default", name="fs__read", server="fs", schema={"type": "object"}),
)
LANGUAGE = CedarLanguage()


def problems(text: str, tools: tuple[PolicyTool, ...] = TOOLS) -> tuple[PolicyProblem, ...]:
    return LANGUAGE.problems({"a.cedar": text}, tools)


def about_log(condition: str) -> str:
    head = 'principal, action == Taskbound::Action::"git__log", resource'
    return f'@id("a")\nforbid ({head})\nwhen {{ {condition} }};'


@pytest.mark.parametrize(
    "condition",
    [
        'context.arguments.repo like "/srv/*"',
        "context.arguments has max_count && context.arguments.max_count > 10",
        'context.arguments has since.string && context.arguments.since.string == "x"',
        'context.arguments has paths && context.arguments.paths.contains("x")',
        "context.arguments has env && context.arguments.env has PATH",
        'context.counts has "arguments/paths" && context.counts["arguments/paths"] > 10',
        'context.counts has "arguments/loose"',
        'context.keys["arguments"].contains("repo")',
        'context.nulls.contains("arguments/max_count")',
        'principal.owner == Taskbound::Person::"default/ann"',
        "context.task.requester == principal.owner && context.task.age > 60 && resource.open_world",
        'context.attempt > 1 && context.flags.contains("bidi") && context.last_outcome == "unknown"',
    ],
)
def test_what_fits_the_tools_has_no_problem(condition: str) -> None:
    assert problems(about_log(condition)) == ()


@pytest.mark.parametrize(
    ("condition", "word", "hint"),
    [
        ("context.arguments has maxcount", "maxcount", "did you mean `max_count`?"),
        ('context.arguments.repoo == "x"', "repoo", "did you mean `repo`?"),
        ("!(context.arguments has repp)", "repp", "did you mean `repo`?"),
        ("context.arguments.max_count > 3", "max_count", ""),
        ("context.arguments.repo == 3", "", ""),
        ("context.arguments.repo > 3", "", ""),
        ('context.arguments has since && context.arguments.since == "x"', "", ""),
        ("context.arguments has since.text", "text", "it is one of several kinds: long, string"),
        ('context.arguments has loose && context.arguments.loose.contains("x")', "", ""),
        ('context.counts["arguments/pats"] > 3', "arguments/pats", "did you mean `arguments/paths`?"),
        ("principal.ownr == principal", "ownr", "did you mean `owner`?"),
        ("context.atempt > 3", "atempt", "did you mean `attempt`?"),
        ('principal in Taskbound::Grp::"x"', "", "did you mean `Group`?"),
    ],
)
def test_a201_a_misspelt_name_or_a_wrong_type_is_found_at_its_place(
    condition: str, word: str, hint: str
) -> None:
    (found,) = problems(about_log(condition))
    assert (found.file, found.hint if hint else hint) == ("a.cedar", hint)
    if word:
        line = about_log(condition).splitlines()[found.line - 1]
        assert line[found.column - 1 :].lstrip('"').startswith(word)


def test_cedars_own_validator_says_nothing_of_a_misspelt_has() -> None:
    text = about_log("context.arguments has maxcount")
    assert cedarpy.validate_policies(text, LANGUAGE.vocabulary(TOOLS)).validation_passed
    assert problems(text)


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        ('principal, action == Taskbound::Action::"git__lob", resource', "did you mean `git__log`?"),
        ('principal, action, resource == Taskbound::Tool::"default/fs__raed"', "did you mean `fs__read`?"),
        (
            'principal, action == Taskbound::Action::"git__log", resource in Taskbound::Server::"default/fs"',
            "",
        ),
    ],
)
def test_a_policy_that_is_for_no_pinned_tool_is_a_problem(head: str, hint: str) -> None:
    (found,) = problems(f'@id("a") forbid ({head});')
    assert found.hint == hint
    assert "no pinned tool" in found.words


def test_every_policy_that_can_not_be_read_is_named_with_line_and_column() -> None:
    text = (
        '@id("one") permit (principal, action, resource);\n'
        "forbid (principal, action, resource);\n"
        '@id("two") forbid (principal action, resource);\n'
        '@id("three") forbid (principal, action, resource)\n'
        "  when { context.foo.bar };\n"
        '@id("four") permit (principal, action, resource) when { context.covered'
    )
    found = [(one.line, one.column) for one in problems(text)]
    assert found == [(2, 1), (3, 30), (5, 22), (6, 65)]


def test_one_name_in_two_files_is_a_problem_of_the_second() -> None:
    text = '@id("a") permit (principal, action, resource);'
    (found,) = LANGUAGE.problems({"a.cedar": text, "b.cedar": text.replace('"a"', '"A"')}, TOOLS)
    assert (found.file, found.policy) == ("b.cedar", "A")


def test_without_tools_only_what_keeps_it_from_being_read_is_a_problem() -> None:
    assert problems(about_log("context.arguments has whatever"), ()) == ()


def test_a_text_is_laid_out_and_means_the_same() -> None:
    text = '@id("a")permit(principal,action,resource)when{context.covered};'
    laid_out = LANGUAGE.formatted(text)
    assert "\n" in laid_out
    assert cedarpy.policies_to_json_str(laid_out) == cedarpy.policies_to_json_str(text)
    with pytest.raises(PolicySyntaxError):
        LANGUAGE.formatted("permit (")


HEADS = (
    "principal, action, resource",
    'principal, action in Taskbound::Action::"call", resource',
    'principal, action == Taskbound::Action::"git__log", resource',
    'principal, action == Taskbound::Action::"git__show", resource',
    'principal, action == Taskbound::Action::"git__sh\\u{6f}w", resource',
    'principal, action in [Taskbound::Action::"git__log", Taskbound::Action::"fs__read"], resource',
    'principal, action, resource in Taskbound::Server::"default/git"',
)
CONDITIONS = (
    "context.attempt > 1",
    "context.attempt > true",
    'context.arguments has repo && context.arguments.repo == "x"',
    "context.arguments has repo && context.arguments.repo == 3",
    'context.arguments.repo == "x"',
    'action == Taskbound::Action::"git__log" && context.arguments.repo == "x"',
    'action == Taskbound::Action::"git__log" && context.arguments.repo > 1',
    'action == Taskbound::Action::"git__b" && context.arguments.repo == "x"',
    'action != Taskbound::Action::"git__show" && context.arguments.repo == "x"',
    'action == Taskbound::Action::"git__\\u{6c}og" && context.arguments.repo == "x"',
    'action == Taskbound::Action::"git__lost"',
    'action in [Taskbound::Action::"fs__read", Taskbound::Action::"git__show"] && context.attempt == "1"',
    'resource == Taskbound::Tool::"default/git__log" && context.arguments.repo == "x" // 5" wide',
)


def test_a_policy_is_validated_for_few_actions_as_it_is_for_all() -> None:
    twins = tuple(PolicyTool(namespace="default", name=f"git__{n}", server="git", schema=LOG) for n in "abc")
    show = PolicyTool(namespace="default", name="git__show", server="git", schema={"type": "object"})
    tools = (*TOOLS, show, *twins)
    texts = {
        f"p{number}": f'@id("p{number}") forbid ({head}) when {{ {condition}\n}};'
        for number, (head, condition) in enumerate((head, one) for head in HEADS for one in CONDITIONS)
    }
    whole = cedarpy.validate_policies("\n".join(texts.values()), schema_of(tools))
    expected = {f"p{error.policy_id.removeprefix('policy')}" for error in whole.errors}
    assert 20 < len(expected) < 60
    pieces = split("\n".join(texts.values()))
    policies = read_bundle("\n".join(texts.values())).policies
    assert {f"p{number}" for number, _ in validated(pieces, policies, tools)} == expected
    alone = {
        policy.name
        for piece, policy in zip(pieces, policies, strict=True)
        if list(validated([piece], [policy], tools))
    }
    assert alone == expected


GROUPS = ("finance", "reviewers")


@pytest.mark.parametrize(
    ("lifter", "groups", "words", "hint"),
    [
        ("approval:reviewers", GROUPS, "", ""),
        ("approval:reviewers:2", GROUPS, "", ""),
        ("approval:agent", (), "", ""),
        ("confirm", (), "", ""),
        ("evidence:jws.tickets", (), "", ""),
        ("step-up:mfa@300", (), "", ""),
        ("approval:reviewerz", None, "", ""),
        (
            "approval:reviewerz",
            GROUPS,
            "unknown-group: no group is named `reviewerz`",
            "`finance`, `reviewers`",
        ),
        ("approval:reviewerz:2", GROUPS, "unknown-group: no group is named `reviewerz`", "`finance`"),
        ("approval:finance", (), "unknown-group: no group is named `finance`", "person group add"),
        ("evidence:ticket", None, "not-liftable: a policy holds it until `evidence:ticket`", "evidence:jws"),
        ("evidence:jwss", GROUPS, "not-liftable: a policy holds it until `evidence:jwss`", "evidence:jws"),
    ],
)
def test_hold_that_nothing_can_lift_is_a_problem(
    lifter: str, groups: tuple[str, ...] | None, words: str, hint: str
) -> None:
    text = about_log("true").replace("forbid", f'@hold("{lifter}")\nforbid')
    found = LANGUAGE.problems({"a.cedar": text}, TOOLS, groups)
    assert [one.policy for one in found] == ["a"] * bool(words)
    assert all(one.words.startswith(words) and hint in one.hint for one in found)
