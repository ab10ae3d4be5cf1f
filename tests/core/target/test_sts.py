from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Instant, parse_instant
from taskbound.core.target import StsAccess, StsKind, StsPlace, TargetFileError, parse_target_file
from taskbound.core.target.errors import BadAdminAccessError, BadKindError, BadTargetError
from taskbound.core.target.sts import TAG, Allowed, denial, session_policy
from tests.peers.aws_rules import effects

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: dict[str, Any] = {
    "target": "aws",
    "kind": "sts",
    "where": {"account": "123456789012", "region": "eu-central-1"},
    "owner": "alice",
    "approvers": ["alice"],
    "credentials": {
        "reports": {
            "for": "reads a tenant's reports",
            "role": "agents/reports",
            "allows": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/{tenant}/*"]}],
            "parameters": ["tenant"],
            "seconds": 900,
        }
    },
}
ENDS = parse_instant("2026-11-28T10:00:00Z")
BEFORE: Mapping[str, str] = {"aws:CurrentTime": "2026-11-28T09:59:59+00:00"}


def kind(
    resource: str = "arn:aws:s3:::reports/{tenant}/*", *actions: str, given: tuple[str, ...] = ("tenant",)
) -> StsKind:
    allowed = Allowed(actions=actions or ("s3:GetObject",), resources=(resource,))
    return StsKind(role="reports", allows=(allowed,), given=given)


def said(policy: str, action: str, resource: str, known: Mapping[str, str] = BEFORE) -> set[str]:
    return set(effects(json.loads(policy), action, resource, dict(known)))


def test_a_file_declares_an_account_and_its_roles() -> None:
    found = parse_target_file(json.dumps(FILE).encode())
    assert isinstance(found.place, StsPlace)
    assert (found.place.host, found.place.port, found.place.revocable) == (
        "sts.eu-central-1.amazonaws.com",
        443,
        True,
    )
    assert found.place.arn("agents/reports") == "arn:aws:iam::123456789012:role/agents/reports"
    (one,) = found.credentials
    assert one.parameters == ("tenant",)
    assert one.grants.words == "as the role `agents/reports`: s3:GetObject on arn:aws:s3:::reports/{tenant}/*"


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"account": "12345678901"}, "12 digits"),
        ({"account": "\uff11" * 12}, "12 digits"),
        ({"region": "eu-central-1\n"}, "region"),
        ({"region": "moon"}, "region"),
        ({"partition": "AWS"}, "partition"),
        ({"sts": "http://sts.example"}, "no endpoint"),
        ({"sts": "https://sts.example:0"}, "no endpoint"),
        ({"iam": "https://iam.example:70000"}, "no endpoint"),
        ({"iam": "https://user@iam.example"}, "no endpoint"),
        ({"iam": "https://iam.example/path"}, "no endpoint"),
        ({"sts": ""}, "must not be empty"),
        ({"profile": "prod"}, "profile"),
    ],
)
def test_a_place_that_is_none_is_refused_with_its_reason(where: dict[str, str], told: str) -> None:
    with pytest.raises(TargetFileError, match=told):
        parse_target_file(json.dumps(FILE | {"where": FILE["where"] | where}).encode())


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("*", "no action"),
        ("s3:*Object", "no action"),
        ("s3:", "no action"),
        ("s3", "no action"),
        ("S3:GetObject", "no action"),
        ("s3:GetObject\n", "no action"),
        ("*:GetObject", "no action"),
        ("sts:AssumeRole", "gives credentials or rights"),
        ("iam:PassRole", "gives credentials or rights"),
        ("iam:*", "gives credentials or rights"),
        ("cognito-identity:GetId", "gives credentials or rights"),
    ],
)
def test_a_kind_names_actions_that_give_no_other_credential(action: str, told: str) -> None:
    with pytest.raises(BadKindError, match=told):
        kind("arn:aws:s3:::reports/{tenant}/*", action)


@pytest.mark.parametrize(
    ("resource", "given", "told"),
    [
        ("reports", (), "no resource"),
        ("arn:aws:s3:::a b", (), "no resource"),
        ("arn:aws:s3:::${aws:username}", (), "no variables"),
        ("arn:aws:s3:::{tenant", (), "no variables"),
        ("arn:aws:s3:::{tenant}", (), "each place"),
        ("arn:aws:s3:::x", ("tenant",), "each place"),
        ("arn:aws:s3:::{Tenant}", ("Tenant",), "a parameter is"),
        ("arn:aws:s3:::{b}{a}", ("b", "a"), "sorted"),
    ],
)
def test_a_resource_has_places_for_parameters_and_no_variables(
    resource: str, given: tuple[str, ...], told: str
) -> None:
    with pytest.raises(BadKindError, match=told):
        kind(resource, given=given)


def test_i03_what_a_session_may_is_what_its_kind_says_until_its_end() -> None:
    policy = session_policy(kind(), {"tenant": "acme"}, ENDS)
    assert said(policy, "s3:GetObject", "arn:aws:s3:::reports/acme/one") == {"Allow"}
    assert said(policy, "s3:GetObject", "arn:aws:s3:::reports/other/one") == set()
    assert said(policy, "s3:PutObject", "arn:aws:s3:::reports/acme/one") == set()
    over = {"aws:CurrentTime": "2026-11-28T10:00:00+00:00"}
    assert "Deny" in said(policy, "s3:GetObject", "arn:aws:s3:::reports/acme/one", over)


@given(
    value=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=20),
    other=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20),
)
def test_no_character_of_a_value_counts_for_more_than_itself(value: str, other: str) -> None:
    policy = session_policy(kind("arn:aws:s3:::reports/{tenant}"), {"tenant": value}, ENDS)
    assert said(policy, "s3:GetObject", f"arn:aws:s3:::reports/{value}") == {"Allow"}
    assert (said(policy, "s3:GetObject", f"arn:aws:s3:::reports/{other}") == {"Allow"}) == (value == other)


@pytest.mark.parametrize(
    "context", [{}, {"tenant": ""}, {"tenant": "a" * 257}, {"tenant": "a\nb"}, {"tenant": "a", "x": "b"}]
)
def test_values_that_are_not_the_kind_s_make_no_policy(context: dict[str, str]) -> None:
    with pytest.raises(BadKindError):
        session_policy(kind(), context, ENDS)


def test_a_policy_that_aws_would_not_take_is_refused_before_it_is_asked() -> None:
    several = "arn:aws:s3:::" + "/".join(f"{{{one}}}" for one in "abcdefgh")
    wide = kind(several, given=tuple("abcdefgh"))
    with pytest.raises(BadKindError, match="2,048"):
        session_policy(wide, dict.fromkeys("abcdefgh", "*" * 256), ENDS)
    with pytest.raises(BadKindError, match="2,048"):
        StsKind(
            role="r",
            allows=tuple(
                Allowed(actions=("s3:GetObject",), resources=(f"arn:aws:s3:::{one * 200}",))
                for one in "abcdefghij"
            ),
        )


def test_i14_a_denial_is_of_one_name_and_of_every_action() -> None:
    text = denial("tb_one", Instant(ENDS + 1))
    mine, theirs = ({f"aws:PrincipalTag/{TAG}": one} for one in ("tb_one", "tb_two"))
    assert said(text, "s3:GetObject", "arn:aws:s3:::x", mine) == {"Deny"}
    assert said(text, "iam:CreateUser", "*", mine) == {"Deny"}
    assert said(text, "s3:GetObject", "arn:aws:s3:::x", theirs) == set()
    assert said(text, "s3:GetObject", "arn:aws:s3:::x", {}) == set()


@pytest.mark.parametrize(
    ("key", "secret"), [("", "x" * 40), ("AKIA lower", "x" * 40), ("A" * 20, ""), ("A" * 20, "x" * 40 + "\n")]
)
def test_what_can_be_no_access_key_is_refused_and_told_by_nothing(key: str, secret: str) -> None:
    with pytest.raises(BadAdminAccessError) as caught:
        StsAccess(key=key, secret=secret)
    assert not secret or secret not in str(caught.value)
    assert "secret" not in repr(StsAccess(key="A" * 20, secret="secret" * 4)).replace("secret=", "")


def test_a_place_by_itself_needs_its_forms() -> None:
    with pytest.raises(BadTargetError):
        StsPlace(account="1", region="eu-central-1")
