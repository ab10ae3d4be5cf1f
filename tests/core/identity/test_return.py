from __future__ import annotations

import pytest

from taskbound.core.identity.sign_in import BadReturnError, parse_return


@pytest.mark.parametrize(
    "place", ["/sign-in", "/oauth/authorize?a=b", "/oauth/authorize/ask_1aq7", "/approvals/apr_1a"]
)
def test_a_browser_goes_back_to_pages_of_ours(place: str) -> None:
    assert parse_return(place) == place


@pytest.mark.parametrize(
    "place",
    [
        "/oauth/authorize/ask_1/state",
        "/oauth/authorize/ask_1?x=1",
        *(
            "/approvals",
            "/approvals/",
            "/approvals/pln_1",
            "/approvals/apr_1?x=1",
            "/approvals/apr_1/..",
            "//approvals/apr_1",
        ),
        "/oauth/authorize/ask_1\n",
        "/oauth/authorize/ask_",
        "/oauth/authorize/../token",
        "//evil.example/oauth/authorize/ask_1",
        "https://evil.example/oauth/authorize/ask_1",
    ],
)
def test_a_browser_is_sent_nowhere_else_after_a_sign_in(place: str) -> None:
    with pytest.raises(BadReturnError):
        parse_return(place)
