"""Targets that give tokens, as their files declare them: the guides' own, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskbound.core.target import (
    AdminAccess,
    BadAdminAccessError,
    BadKindError,
    GithubAccess,
    GithubKind,
    GithubPlace,
    OauthAccess,
    OauthKind,
    OauthPlace,
    TargetFile,
    TargetFileError,
    parse_admin_access,
    parse_target_file,
)

GUIDES = Path(__file__).parents[3] / "docs" / "guides"


def guide(name: str) -> dict[str, Any]:
    """The target's file of a guide."""
    (found,) = re.findall(r"```yaml\n(target: .*?)```", (GUIDES / f"{name}.md").read_text(), re.DOTALL)
    whole = yaml.safe_load(found)
    assert isinstance(whole, dict)
    return whole


def parsed(name: str, **where: Any) -> TargetFile:
    """It, with this of `where` changed; what is None is left out."""
    whole = guide(name)
    changed = {**whole["where"], **where}
    whole["where"] = {key: one for key, one in changed.items() if one is not None}
    return parse_target_file(whole)


def test_the_guides_files_are_targets_that_say_what_they_give() -> None:
    oauth, github = parsed("oauth"), parsed("github")
    assert isinstance(oauth.place, OauthPlace)
    assert (oauth.place.host, oauth.place.port, oauth.place.lasts) == ("id.example", 443, 600)
    assert oauth.place.revocable
    (tokens,) = oauth.credentials
    assert tokens.parameters == ("tenant",)
    assert tokens.grants.words == (
        "a token for `https://api.example/orders` with the scopes `orders:{tenant}:read`"
    )
    assert isinstance(github.place, GithubPlace)
    assert (github.place.authority, github.place.path, github.place.lasts) == ("api.github.com", "/", 3_660)
    (reader,) = github.credentials
    assert isinstance(reader.grants, GithubKind)
    assert (reader.parameters, reader.grants.words) == (("repository",), "read contents in `{repository}`")


@pytest.mark.parametrize("left_out", ["revocation", "introspection"])
def test_what_can_not_be_ended_and_seen_to_be_over_is_not_revocable(left_out: str) -> None:
    assert not parsed("oauth", **{left_out: None}).place.revocable


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("oauth", {"token": "http://id.example/token"}),
        ("oauth", {"revocation": "https://elsewhere.example/revoke"}),
        ("oauth", {"introspection": "https://elsewhere.example/introspect"}),
        ("oauth", {"issuer": "https://elsewhere.example"}),
        ("oauth", {"introspection": ""}),
        ("oauth", {"method": "none"}),
        ("oauth", {"lasts": 0}),
        ("oauth", {"lasts": 86_401}),
        ("oauth", {"client": "ghp_0123456789abcdefghij"}),
        ("oauth", {"secret": "in-the-file"}),
        ("github", {"address": "http://api.github.com/"}),
        ("github", {"address": "https://api.github.com"}),
        ("github", {"address": "https://api.github.com/?a=b"}),
        ("github", {"installation": 0}),
        ("github", {"app": "a/b"}),
    ],
)
def test_nobody_else_is_asked_and_nothing_is_left_open(name: str, where: dict[str, Any]) -> None:
    with pytest.raises(TargetFileError):
        parsed(name, **where)


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": "no uri"},
        {"resource": "https://a.example/#b"},
        {"scopes": ("b", "a")},
        {"scopes": ("a b",)},
        {"scopes": ("a{",)},
        {"scopes": ("{Tenant}",)},
        {"audience": "a b"},
        {"variable": "path"},
    ],
)
def test_a_kind_of_tokens_is_for_one_resource_and_scopes_that_are_words(changes: dict[str, Any]) -> None:
    with pytest.raises(BadKindError):
        OauthKind(**{"resource": "https://api.example/", **changes})


def test_each_of_where_and_what_is_another_target() -> None:
    one = parsed("oauth").identity("default")
    changes: list[dict[str, Any]] = [
        {"lasts": 601},
        {"introspection": None},
        {"client": "other"},
        {"method": "private_key_jwt"},
    ]
    assert len({one, *(parsed("oauth", **each).identity("default") for each in changes)}) == 5


def test_an_admin_access_is_read_as_it_is_sealed_and_nothing_of_it_is_said() -> None:
    pem = "-----BEGIN RSA PRIVATE KEY-----\nQUJD\n-----END RSA PRIVATE KEY-----\n"
    accesses: dict[str, AdminAccess] = {
        "oauth": OauthAccess(secret="a-secret-of-ours"),
        "github": GithubAccess(key=pem),
    }
    for kind, access in accesses.items():
        assert parse_admin_access(kind, access.text) == access
        assert "secret-of" not in repr(access)
        assert "QUJD" not in repr(access)
    for bad in ("short", "two\nlines-of-it", "é" * 9):
        with pytest.raises(BadAdminAccessError):
            OauthAccess(secret=bad)
    for bad in ("", pem[5:], pem + pem, "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"):
        with pytest.raises(BadAdminAccessError):
            GithubAccess(key=bad)
