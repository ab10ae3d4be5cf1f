"""Installation tokens of a stand-in for GitHub: what is asked, what is believed, and when one is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from taskbound.adapters.targets.github import GithubTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import BadKindError, GithubAccess, GithubKind, GithubPlace
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    RenewalUnsupportedError,
    StoresRevocation,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.answering import Said
from tests.peers.github import APP, INSTALLATION, Github, app_key, github, instant

PATIENCE = 10.0
LATEST = Instant(seconds(2**31))
KIND = GithubKind(repositories=("{repository}",), permissions={"contents": "read", "issues": "write"})
ENDS = ("DELETE", "/installation/token")
SEES = ("GET", "/installation/repositories")
GIVES = ("POST", f"/app/installations/{INSTALLATION}/access_tokens")


@pytest.fixture(scope="module")
def key() -> str:
    return app_key()


@pytest.fixture
def there(key: str) -> Iterator[Github]:
    with github(key) as found:
        yield found


def speaking(there: Github, **changes: Any) -> GithubTarget:
    place = {"app": APP, "installation": INSTALLATION, "address": there.address, **changes}
    return GithubTarget(GithubPlace(**place), GithubAccess(key=there.key))


def led(there: Github, *addresses: str, private: bool = False) -> GithubTarget:
    """One whose address is a name that leads there."""
    port = there.address.rstrip("/").rpartition(":")[2]
    place = GithubPlace(
        app=APP, installation=INSTALLATION, address=f"https://hub.example:{port}/", private=private
    )
    return GithubTarget(place, GithubAccess(key=there.key), look=lambda _, __: addresses)


def order(repository: str = "orders") -> MintOrder:
    return MintOrder(name="tb_unused", ends=LATEST, context={"repository": repository})


def minted(there: Github) -> Minted:
    return speaking(there).mint(order(), KIND, patience=PATIENCE)


def test_a_token_is_for_the_repositories_and_permissions_that_were_asked_for_and_ends_by_itself(
    there: Github,
) -> None:
    target = speaking(there)
    assert isinstance(target, StoresRevocation)
    made = target.mint(order(), KIND, patience=PATIENCE)
    (token,) = made.secret.values()
    assert there.live == {token: ("orders",)}
    assert token not in repr(made)
    target.use(made, patience=PATIENCE)
    for _ in range(2):  # and as well after an earlier call
        assert target.end_kept(made.kept, ends=LATEST, patience=PATIENCE) == Gone(cut=0)
        assert there.live == {}
    with pytest.raises(TargetRefusedError):
        target.use(made, patience=PATIENCE)


def test_a_token_that_is_a_jwt_is_handed_out_however_many_repositories_are_in_it(there: Github) -> None:
    token = f"ghs_123456_{'e' * 40}.{'y' * 3_000}.{'Z-_' * 114}"
    there.changes = {"token": token}
    assert minted(there).secret == {KIND.variable: token}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"permissions": {"contents": "write", "issues": "write"}}, "permissions"),
        ({"permissions": {"contents": "read", "issues": "write", "members": "read"}}, "permissions"),
        ({"permissions": {"contents": "admin"}}, "permissions"),
        ({"permissions": None}, "permissions"),
        ({"repository_selection": "all"}, "other repositories"),
        ({"repositories": [{"name": "orders"}, {"name": "web"}]}, "other repositories"),
        ({"repositories": None}, "other repositories"),
        ({"expires_at": None}, "no end"),
        ({"expires_at": "soon"}, "no end"),
        ({"expires_at": "2026-13-45T00:00:00Z"}, "no end"),
        (
            {"expires_at": instant(7_200)},
            "longer",
        ),
    ],
)
def test_a_token_that_is_for_more_or_says_no_end_is_ended_and_handed_to_nobody(
    there: Github, changes: dict[str, Any], why: str
) -> None:
    there.changes = changes
    with pytest.raises(TargetRefusedError, match=why) as caught:
        minted(there)
    assert (len(there.given), there.live) == (1, {})
    assert there.given[0] not in repr(caught.value)


@pytest.mark.parametrize(
    ("ended", "seen"),
    [
        (Said(204), None),  # it says that it ended it, and takes it still
        (Said(204), Said(404, {"message": "Not Found"})),
        (Said(204), Said(403, {"message": "Resource not accessible by integration"})),
        (Said(204), Said(401, b"<html>")),
        (Said(204), Said(401, b"")),
        (Said(204), Said(500, {"message": "x"})),
        (Said(403, {"message": "Forbidden"}), Said(401, {"message": "Bad credentials"})),
        (Said(500), Said(401, {"message": "Bad credentials"})),
        (Said(404), Said(401, {"message": "Bad credentials"})),
    ],
)
def test_i07_it_is_gone_by_what_github_takes_no_more_and_by_nothing_else(
    there: Github, ended: Said, seen: Said | None
) -> None:
    made = minted(there)
    there.instead = {ENDS: ended} | ({} if seen is None else {SEES: seen})
    with pytest.raises((TargetUnavailableError, TargetRefusedError)):
        speaking(there).end_kept(made.kept, ends=LATEST, patience=PATIENCE)


@pytest.mark.parametrize("more", [4, 4 * 1024 * 1024])
def test_an_answer_that_is_longer_than_any_is_none_however_it_begins(there: Github, more: int) -> None:
    told = {
        "token": f"ghs_{'a' * 36}",
        "expires_at": instant(3_600),
        "permissions": dict(KIND.permissions),
        "repository_selection": "selected",
        "repositories": [{"name": "orders"}],
    }
    there.instead = {GIVES: Said(201, json.dumps(told).encode() + b" " * more)}
    if more > 4:
        with pytest.raises(TargetUnavailableError, match="no token"):
            minted(there)
    else:
        assert minted(there).secret == {KIND.variable: told["token"]}


@pytest.mark.parametrize(
    "kept", ["", "[]", "{}", '{"ends":1,"token":"a b c d e"}', '{"ends":"1","token":"ghs_aaaaaaaa"}']
)
def test_what_was_kept_and_is_no_token_is_said_to_be_none_and_nobody_is_asked(
    there: Github, kept: str
) -> None:
    with pytest.raises(TargetRefusedError, match="the stored token cannot be read"):
        speaking(there).end_kept(kept, ends=LATEST, patience=PATIENCE)
    assert there.there is not None
    assert there.there.asked == []


def test_i07_a_token_that_github_takes_still_is_said_to_be(there: Github) -> None:
    made = minted(there)
    there.instead = {ENDS: Said(204)}
    with pytest.raises(TargetUnavailableError, match="takes it still"):
        speaking(there).end_kept(made.kept, ends=LATEST, patience=PATIENCE)


def test_i07_a_new_token_that_github_does_not_know_yet_is_not_gone(there: Github) -> None:
    unknown = Said(401, {"message": "Bad credentials"})
    there.changes = {"expires_at": instant(3_595)}
    made = minted(there)
    there.instead = {ENDS: unknown, SEES: unknown}
    with pytest.raises(TargetUnavailableError, match="not known yet"):
        speaking(there).end_kept(made.kept, ends=LATEST, patience=PATIENCE)
    assert there.live
    there.instead = {}
    assert speaking(there).end_kept(made.kept, ends=LATEST, patience=PATIENCE) == Gone(cut=0)
    assert there.live == {}


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_what_the_app_may_not_is_refused_and_nothing_of_its_key_is_said(there: Github, status: int) -> None:
    there.instead = {GIVES: Said(status, {"message": f"no: {there.key}"})}
    with pytest.raises(TargetRefusedError, match=str(status)) as caught:
        minted(there)
    assert "PRIVATE" not in repr(caught.value)


@pytest.mark.parametrize(
    "said", [Said(429), Said(503), Said(403, {}, {"X-RateLimit-Remaining": "0"}), Said(201, b"{"), Said(302)]
)
def test_what_passes_by_is_no_refusal(there: Github, said: Said) -> None:
    there.instead = {GIVES: said}
    with pytest.raises(TargetUnavailableError):
        minted(there)


def test_another_app_or_another_key_is_none(there: Github) -> None:
    with pytest.raises(TargetRefusedError, match="401"):
        speaking(there, app="another").mint(order(), KIND, patience=PATIENCE)
    there.key, before = app_key(), there.key
    other = GithubAccess(key=before)
    place = GithubPlace(app=APP, installation=INSTALLATION, address=there.address)
    with pytest.raises(TargetRefusedError, match="401"):
        GithubTarget(place, other).mint(order(), KIND, patience=PATIENCE)


def test_a_repository_that_the_installation_does_not_have_is_refused(there: Github) -> None:
    with pytest.raises(TargetRefusedError, match="422"):
        speaking(there).mint(order("taskbound-canary"), KIND, patience=PATIENCE)


@pytest.mark.parametrize("value", ["", "..", "a/b", "a b", "*", "a" * 101, "{x}", "ré"])
def test_what_is_put_in_a_place_names_one_repository(value: str) -> None:
    with pytest.raises(BadKindError):
        KIND.asked({"repository": value})


@pytest.mark.parametrize(
    "changes",
    [
        {"permissions": {"contents": "admin"}},
        {"permissions": {"members": "write"}},
        {"permissions": {"secrets": "write"}},
        {"permissions": {"environments": "write"}},
        {"permissions": {"dependabot_secrets": "write"}},
        {"permissions": {"codespaces_secrets": "write"}},
        {"permissions": {"organization_dependabot_secrets": "write"}},
        {"permissions": {"codespaces": "write"}},
        {"permissions": {"git_ssh_keys": "write"}},
        {"permissions": {"what_came_yesterday": "write"}},
        {"permissions": {}},
        {"repositories": ()},
        {"repositories": ("b", "a")},
        {"repositories": ("acme/orders",)},
        {"variable": "lower"},
    ],
)
def test_no_kind_has_all_repositories_or_what_outlives_its_end(changes: dict[str, Any]) -> None:
    whole = {"repositories": ("orders",), "permissions": {"contents": "read"}}
    with pytest.raises(BadKindError):
        GithubKind(**{**whole, **changes})


def test_what_can_be_read_is_whatever_github_calls_so() -> None:
    GithubKind(repositories=("orders",), permissions={"secrets": "read", "what_came_yesterday": "read"})


def test_nothing_is_there_under_a_name_no_end_is_moved_and_what_is_not_there_was_sent_nothing(
    there: Github,
) -> None:
    target = speaking(there)
    assert list(target.sweep("tb_", patience=PATIENCE)) == []
    assert target.revoke("tb_unused", ends=LATEST, patience=PATIENCE) == ExpiresAt(until=LATEST)
    with pytest.raises(TargetRefusedError):
        target.look("tb_unused", patience=PATIENCE)
    with pytest.raises(RenewalUnsupportedError):
        target.renew("tb_unused", LATEST, patience=PATIENCE)
    with pytest.raises(TargetUnreachedError):
        speaking(there, address="http://127.0.0.1:9/").mint(order(), KIND, patience=PATIENCE)
    assert there.given == []


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.0.0.1",),
        ("192.168.1.1",),
        ("169.254.169.254",),
        ("::1",),
        ("fd00::1",),
        ("::ffff:10.0.0.1",),
        ("93.184.216.34", "127.0.0.1"),
        (),
    ],
)
def test_a_name_that_leads_to_a_private_address_is_sent_nothing(
    there: Github, addresses: tuple[str, ...]
) -> None:
    with pytest.raises(TargetUnreachedError, match="not public"):
        led(there, *addresses).mint(order(), KIND, patience=PATIENCE)
    assert there.there is not None
    assert there.there.asked == []


def test_where_the_file_says_so_a_name_leads_to_a_network_of_one_s_own_and_never_to_the_link(
    there: Github,
) -> None:
    with pytest.raises(TargetUnreachedError, match="SSL"):  # it is connected to, and is no server with TLS
        led(there, "127.0.0.1", private=True).mint(order(), KIND, patience=PATIENCE)
    for one in ("169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1"):  # noqa: S104 - nobody listens
        with pytest.raises(TargetUnreachedError, match="not public"):
            led(there, one, private=True).mint(order(), KIND, patience=PATIENCE)
