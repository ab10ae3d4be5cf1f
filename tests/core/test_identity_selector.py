from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.clock import Instant
from taskbound.core.identity import BadNameError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import (
    BadSelectorError,
    Credential,
    SelectedTwiceError,
    Selector,
    SelectorOverlapError,
    Shown,
    UnselectedError,
    parse_selector,
    require_apart,
    select_agent,
    selector_id,
)

REPOSITORY, REF = "/repository", "/ref"


def made(agent: str = "coder", **more: Any) -> Selector:
    plain: dict[str, Any] = {"kind": "oidc", "issuer": "github", "subjects": (), "claims": ()}
    return parse_selector("default", agent, **plain | more)


def shown(subject: str = "s", **more: Any) -> Shown:
    plain: dict[str, Any] = {"kind": WorkloadKind.OIDC, "issuer": "github", "until": Instant(9)}
    return Shown(subject=subject, **plain | more)


def test_a_selector_is_read_in_one_order_and_is_named_by_what_it_says_whosever_it_is() -> None:
    one = made(subjects=("b", "a", "b"), claims=[(REF, "y"), (REPOSITORY, "x"), (REF, "x")])
    assert (one.subjects, one.claims) == (("a", "b"), ((REF, ("x", "y")), (REPOSITORY, ("x",))))
    other = made("other", subjects=("a", "b"), claims=[(REPOSITORY, "x"), (REF, "x"), (REF, "y")])
    assert selector_id(one) == selector_id(other)
    assert selector_id(one) != selector_id(made(subjects=("a",), claims=one.claims and [(REF, "x")]))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"kind": "key", "issuer": "", "subjects": ("a",)}, "kind"),
        ({"kind": "peer-uid", "subjects": ("a",)}, "kind"),
        ({}, "subject"),
        ({"subjects": ("",)}, "subject"),
        ({"subjects": ("a\u202e",)}, "subject"),
        ({"subjects": ("a" * 513,)}, "subject"),
        ({"claims": [("repository", "x")]}, "claim"),
        ({"claims": [("/", "x")]}, "claim"),
        ({"claims": [("/a//b", "x")]}, "claim"),
        ({"claims": [("/a~2", "x")]}, "claim"),
        ({"claims": [("/" + "a" * 512, "x")]}, "claim"),
        ({"claims": [("/a", "")]}, "claim"),
        ({"kind": "x509-svid", "issuer": "example.org", "claims": [("/a", "x")]}, "subject"),
        ({"kind": "jwt-svid", "issuer": "Example.org", "subjects": ("spiffe://Example.org/a",)}, "issuer"),
        ({"kind": "jwt-svid", "issuer": "example.org", "subjects": ("spiffe://example.com/a",)}, "subject"),
        (
            {
                "kind": "x509-svid",
                "issuer": "example.org",
                "subjects": ("spiffe://example.org/a",),
                "claims": [("/a", "x")],
            },
            "claim",
        ),
    ],
)
def test_a_selector_that_can_not_be_is_refused_where_it_is_wrong(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(BadSelectorError) as caught:
        made(**changes)
    assert caught.value.where == where


def test_a_selector_is_bounded_and_its_issuer_is_a_name() -> None:
    with pytest.raises(BadSelectorError):
        made(subjects=[str(n) for n in range(17)])
    with pytest.raises(BadSelectorError):
        made(claims=[(f"/c{n}", "x") for n in range(17)])
    with pytest.raises(BadSelectorError):
        made(claims=[("/c", str(n)) for n in range(17)])
    with pytest.raises(BadNameError):
        made(issuer="https://example.com", subjects=("a",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"subjects": ("a",)}, {"subjects": ("a",)}),
        ({"subjects": ("a", "b")}, {"subjects": ("b", "c")}),
        ({"subjects": ("a",)}, {"claims": [(REF, "main")]}),
        ({"claims": [(REPOSITORY, "x")]}, {"claims": [(REF, "main")]}),
        ({"subjects": ("a",), "claims": [(REF, "main")]}, {"subjects": ("a",)}),
        ({"claims": [(REPOSITORY, "x"), (REF, "a")]}, {"claims": [(REPOSITORY, "x"), (REF, "a")]}),
    ],
)
def test_two_agents_never_have_selectors_that_one_credential_satisfies_both(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    with pytest.raises(SelectorOverlapError):
        require_apart(made("first", **one), [made("second", **other)])
    require_apart(made("first", **one), [made("first", **other)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"subjects": ("a",)}, {"subjects": ("b",)}),
        ({"subjects": ("a",)}, {"subjects": ("a",), "issuer": "gitlab"}),
        ({"claims": [(REPOSITORY, "x"), (REF, "a")]}, {"claims": [(REPOSITORY, "x"), (REF, "b")]}),
        (
            {"kind": "jwt-svid", "issuer": "example.org", "subjects": ("spiffe://example.org/a",)},
            {"kind": "x509-svid", "issuer": "example.org", "subjects": ("spiffe://example.org/a",)},
        ),
    ],
)
def test_selectors_that_no_credential_satisfies_both_stand_beside_each_other(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    require_apart(made("first", **one), [made("second", **other)])


TEXTS = st.sampled_from(["a", "b", "c"])
SELECTORS = st.builds(
    lambda agent, subjects, claims: made(agent, subjects=subjects, claims=claims),
    st.sampled_from(["first", "second", "third"]),
    st.lists(TEXTS, min_size=1, max_size=2),
    st.lists(st.tuples(st.sampled_from(["/p", "/q", "/r/s"]), TEXTS), max_size=4),
)


@given(st.lists(SELECTORS, max_size=6), TEXTS, st.dictionaries(st.sampled_from("pq"), TEXTS), TEXTS)
def test_where_each_was_added_apart_from_the_others_no_credential_chooses_two(
    wanted: list[Selector], subject: str, claims: dict[str, Any], deep: str
) -> None:
    kept: list[Selector] = []
    for one in wanted:
        try:
            require_apart(one, kept)
        except SelectorOverlapError:
            continue
        kept.append(one)
    credential = shown(subject, claims={**claims, "r": {"s": deep}})
    fits = {
        one.agent
        for one in kept
        if subject in one.subjects
        and all(
            {"/p": claims.get("p"), "/q": claims.get("q"), "/r/s": deep}[at] in texts
            for at, texts in one.claims
        )
    }
    assert len(fits) <= 1
    if fits:
        assert {select_agent(credential, kept).agent} == fits
    else:
        with pytest.raises(UnselectedError):
            select_agent(credential, kept)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": ["x"]},
        {"aud": {"x": "x"}},
        {"aud": 1},
        {"aud": True},
        {"aud": None},
        {"aud": "X"},
        {"aud": "x "},
        {"/aud": "x"},
    ],
)
def test_only_the_text_itself_is_what_a_selector_wants(claims: dict[str, Any]) -> None:
    selector = made(claims=[("/aud", "x")])
    assert select_agent(shown(claims={"aud": "x"}), [selector]) == selector
    with pytest.raises(UnselectedError):
        select_agent(shown(claims=claims), [selector])


def test_a_number_or_a_truth_is_not_the_text_that_writes_it() -> None:
    for said in (1, True, [1]):
        with pytest.raises(UnselectedError):
            select_agent(shown(claims={"n": said}), [made(claims=[("/n", str(said))])])


def test_a_pointer_leads_through_objects_and_names_that_hold_its_own_signs() -> None:
    selector = made(claims=[("/kubernetes.io/serviceaccount/a~1b~0c", "x")])
    inside = {"serviceaccount": {"a/b~c": "x"}}
    assert select_agent(shown(claims={"kubernetes.io": inside}), [selector]) == selector
    others: list[dict[str, Any]] = [
        {"kubernetes.io": [inside]},
        {"kubernetes.io": "x"},
        {"kubernetes.io": {}},
    ]
    for other in others:
        with pytest.raises(UnselectedError):
            select_agent(shown(claims=other), [selector])


@pytest.mark.parametrize("changes", [{"issuer": "gitlab"}, {"kind": WorkloadKind.JWT_SVID}, {"subject": "b"}])
def test_a_credential_of_another_kind_issuer_or_subject_is_nobodys(changes: dict[str, Any]) -> None:
    with pytest.raises(UnselectedError):
        select_agent(shown(**{"subject": "a"} | changes), [made(subjects=("a",))])


def test_what_satisfies_selectors_of_two_agents_all_the_same_is_neither_s() -> None:
    both = [made("first", subjects=("a",)), made("second", subjects=("a",))]
    with pytest.raises(SelectedTwiceError):
        select_agent(shown("a"), both)
    assert select_agent(shown("a"), [both[0], both[0]]).agent == "first"


def test_what_was_shown_is_in_no_repr_and_has_a_digest() -> None:
    credential = Credential(kind=WorkloadKind.OIDC, raw=b"secret", chain=(b"more",))
    assert "secret" not in repr(credential)
    assert "more" not in repr(credential)
    assert credential.digest == "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
