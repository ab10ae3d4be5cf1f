"""What lets anybody in at a real OpenBao beside what is minted there, as far as the broker's token may."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from taskbound.adapters.targets.openbao.link import reach_of
from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach
from taskbound.ports.target import Discovers, Discovery, MintOrder, TargetRefusedError, TargetUnavailableError
from tests.house.tree import ROOT
from tests.peers.leasing import POLICY, READER, Leasing, leasing
from tests.peers.minter import MARK, fresh_name

PATIENCE = 20.0
GUIDE = (ROOT / "docs/guides/openbao.md").read_text(encoding="utf-8")
LOOK = GUIDE.partition("```hcl discover.hcl\n")[2].partition("```")[0]
"""What the guide names beside what is needed."""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leasing]:
    with leasing(tmp_path_factory.mktemp("bao")) as both:
        for kind in ("approle", "userpass"):
            both.bao.ask("POST", f"sys/auth/{kind}", {"type": kind})
        both.bao.ask("PUT", "sys/policies/acl/bossy", {"policy": 'path "sys/*" { capabilities = ["sudo"] }'})
        yield both


def looked(there: Leasing, token: str = "", **more: Any) -> Discovery:
    target = there.target(token=token or there.token(POLICY + LOOK, period="1h"), alone=True, **more)
    assert isinstance(target, Discovers)
    return target.discover((MARK,), most=500, patience=PATIENCE)


def named(found: Discovery, part: str) -> ExistingAccess:
    (one,) = (one for one in found.found if part in one.name)
    return one


def made(there: Leasing, **more: Any) -> tuple[str, str]:
    """A token and its accessor."""
    told = there.bao.ask("POST", "auth/token/create", more)["auth"]
    return told["client_token"], told["accessor"]


def test_tokens_are_told_by_their_accessors_with_rights_and_ends_and_never_themselves(there: Leasing) -> None:
    lasting, accessor = made(there, policies=["bossy"], display_name="ci-bot", period="1h", no_parent=True)
    ending, other = made(there, policies=["default"], ttl="2h", num_uses=9)
    own = there.token(POLICY + LOOK, period="1h")
    found = looked(there, own)
    root = named(found, "token root (accessor ")
    assert (root.reach, root.ends, root.rights[0]) == (Reach.ALL, None, "policies: `root`")
    one = named(found, accessor)
    assert one.name == f"token token-ci-bot (accessor {accessor})"
    assert (one.reach, one.whose, one.entry) == (Reach.ALL, LoginOwner.OTHERS, Entry.ASKED)
    assert one.since is not None
    assert one.ends is not None
    assert one.ends - one.since == 3_600_000_000
    assert "an orphan: it ends with no other token" in one.rights
    assert "periodic: it lives for as long as it is renewed" in one.rights
    two = named(found, other)
    assert (two.reach, two.rights[0]) == (Reach.DATA, "policies: `default`")
    assert {"for 9 more uses", "made at `auth/token/create`"} <= set(two.rights)
    assert [one.whose for one in found.found].count(LoginOwner.ADMIN) == 1
    assert not [one for one in (lasting, ending, own, there.bao.root, there.admin) if one in repr(found)]
    assert found.whole


def test_ways_in_are_told_and_one_that_asks_for_nothing_is_open(there: Leasing) -> None:
    there.bao.ask("POST", "auth/approle/role/ci", {"token_policies": ["bossy"]})
    told = there.bao.ask("POST", "auth/approle/role/ci/secret-id", {})["data"]
    there.bao.ask(
        "POST", "auth/approle/role/door", {"bind_secret_id": False, "token_bound_cidrs": ["10.0.0.0/8"]}
    )
    there.bao.ask("POST", "auth/userpass/users/ann", {"password": "canary", "token_policies": ["unknown"]})
    found = looked(there)
    one, door, ann = (
        named(found, f"auth/{part}") for part in ("approle/role/ci", "approle/role/door", "userpass")
    )
    assert (one.reach, one.entry, one.what) == (Reach.ALL, Entry.ASKED, "login")
    assert one.rights == ("policies: `bossy`", "1 secret id")
    assert door.entry is Entry.OPEN
    assert (ann.reach, ann.rights) == (
        Reach.BEYOND,
        ("policies: `unknown`", "what they permit can't be read here"),
    )
    secret = [told["secret_id"], told["secret_id_accessor"], "canary"]
    assert not [one for one in secret if one in repr(found)]


def test_what_the_server_says_ends_no_sentence_of_ours(there: Leasing) -> None:
    named_so = {"policies": ["x`, `root\x1b[2J\u202e"], "display_name": "ci"}
    accessor = there.bao.ask("POST", "auth/token/create-orphan", named_so)["auth"]["accessor"]
    one = named(looked(there), accessor)
    there.bao.ask("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    assert one.rights[0] == "policies: `default`, `x\\u{60}, \\u{60}root\\u{1B}[2j\\u{202E}`"


def test_leases_of_others_are_counted_and_those_of_what_is_minted_here_are_not_told(there: Leasing) -> None:
    name, other = fresh_name(), "tb_zzzzzzz2_" + "a" * 35
    order = MintOrder(name=name, ends=there.orders.ends)
    minted = there.target().mint(order, READER, patience=PATIENCE)
    there.write_role(other)
    leases = [there.bao.ask("GET", f"database/creds/{one}")["lease_id"] for one in (other, "reader")]
    try:
        found = looked(there)
    finally:
        for one in leases:
            there.bao.ask("PUT", "sys/leases/revoke", {"lease_id": one, "sync": True})
        there.bao.ask("DELETE", f"database/roles/{other}")
    assert name not in repr(found)
    assert minted.secret["PGPASSWORD"] not in repr(found)
    one = named(found, "database/creds/reader")
    assert (one.rights, one.open, one.whose) == (("one lease",), 1, LoginOwner.OTHERS)
    assert named(found, f"database/creds/{other}").whose is LoginOwner.INSTALLATION
    assert not [one for one in leases if one in repr(found)]
    there.target().revoke(name, ends=there.orders.ends, patience=PATIENCE)


def test_static_roles_are_told(there: Leasing) -> None:
    with there.orders.owner() as owner:
        owner.execute(b"CREATE ROLE lasting LOGIN")
        told = {"db_name": "orders", "username": "lasting", "rotation_period": 86_400}
        there.bao.ask("POST", "database/static-roles/report", told)
        found = looked(there)
        there.bao.ask("DELETE", "database/static-roles/report")
        owner.execute(b"DROP ROLE lasting")
    one = named(found, "database/static-roles/report")
    assert one.rights == ("the login `lasting`, which stays", "its password is changed every 86400 seconds")


def test_what_is_not_permitted_is_said_with_lines_that_are_enough(there: Leasing) -> None:
    policy = POLICY
    found = looked(there, there.token(policy, period="1h"))
    assert not found.whole
    assert not [one for one in found.found if one.name.startswith(("token ", "auth/"))]
    assert any(one.startswith("tokens: give its policy `path") for one in found.notes)
    for _ in range(8):
        lines = re.findall(r'`(path "[^`]+})`', "".join(found.notes))
        if not lines:
            break
        policy += "\n".join(lines)
        found = looked(there, there.token(policy, period="1h"))
    assert found.whole, found.notes
    assert named(found, "token root ").reach is Reach.ALL


def test_a_token_that_is_none_sees_nothing_and_is_told_so(there: Leasing) -> None:
    with pytest.raises(TargetRefusedError, match="refuses the admin's token"):
        looked(there, "s.none")


def test_looking_changes_nothing(there: Leasing) -> None:
    own = there.token(POLICY + LOOK, period="1h")

    def state() -> object:
        accessors = there.bao.ask("LIST", "auth/token/accessors")["data"]["keys"]
        told = [
            there.bao.ask("POST", "auth/token/lookup-accessor", {"accessor": one})["data"]
            for one in accessors
        ]
        return sorted((one["accessor"], one["expire_time"], one["num_uses"]) for one in told), there.names()

    before = state()
    looked(there, own)
    assert state() == before


def test_what_there_was_no_time_for_is_counted(there: Leasing) -> None:
    token = there.token(POLICY + LOOK, period="1h")
    target = there.target(token=token, alone=True)
    none, all_of_it = 0.7, 5.0  # seconds; 0.7 are kept for the answer
    for _ in range(40):
        patience = (none + all_of_it) / 2
        found = target.discover((MARK,), most=500, patience=patience)
        if found.whole:
            all_of_it = patience
        elif not found.found:
            none = patience
        else:
            assert any("were not looked at in time" in one for one in found.notes)
            assert found.count > len(found.found)
            return
    pytest.fail("there was time for all of it, or for none")


# --- servers that lie -----------------------------------------------------------------------------------


@contextmanager
def lying(answer: bytes) -> Iterator[int]:
    """A port where each request is answered so."""

    class Lying(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_LIST = do_GET  # noqa: N815 - named by the server's own rule

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lying) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(
    "data",
    [
        {"keys": ["a/", "b"], "policies": 5, "orphan": "yes", "expire_time": 7, "creation_time": "x"},
        {
            "keys": ["x\x1b[2J\u202e"],
            "type": "approle",
            "policies": [1, None, "root"],
            "creation_time": 1 << 50,
        },
        {"keys": [None, 1, {}], "a/": 5, "b/": {"type": ["x"]}, "expire_time": "2026-99-99T00:00:00Z"},
        {
            "keys": ["../../sys/seal", "?x=1", "#", "a" * 100_000],
            "a/": {"type": "approle"},
            "policy": "path" * 99,
        },
        {"a/": {"type": "userpass"}, "keys": ["u"], "bind_secret_id": 0, "period": True, "num_uses": -5},
    ],
)
def test_a_server_that_answers_anything_is_read_as_nothing_more_than_it_is(
    there: Leasing, data: dict[str, object]
) -> None:
    with lying(json.dumps({"data": data}).encode()) as port:
        found = there.target(port=port, alone=True).discover((MARK,), most=9, patience=2.0)
    assert len(found.found) <= 9
    assert all(one.ends is None for one in found.found)


@pytest.mark.parametrize("answer", [b"[]", b"", b"{", b'{"data": 5}', b"\xff" * 9_000_000])
def test_what_is_no_openbao_is_no_look(there: Leasing, answer: bytes) -> None:
    with lying(answer) as port, pytest.raises(TargetUnavailableError):
        there.target(port=port, alone=True).discover((MARK,), most=9, patience=2.0)


# --- how far policies reach -----------------------------------------------------------------------------


def rule(path: str, *words: str) -> str:
    return f'path "{path}" {{ capabilities = {json.dumps(words)} allowed_parameters = {{ "a" = [] }} }}\n'


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        (rule("*", "create"), Reach.ALL),
        (rule("sys/policies/acl/*", "update"), Reach.ALL),
        (rule("sys/policies/+/x", "create"), Reach.ALL),
        (rule("auth/+/role/*", "update"), Reach.ALL),
        (rule("/identity/*", "patch"), Reach.ALL),
        (rule("auth/token/create", "update"), Reach.BEYOND),
        (rule("auth/token/create", "update", "sudo"), Reach.ALL),
        ('path "sys/*" { policy = "write" }', Reach.ALL),
        (json.dumps({"path": {"sys/auth/*": {"capabilities": ["sudo", "create"]}}}), Reach.ALL),
        (rule("*", "read"), Reach.BEYOND),
        (rule("sys/seal", "update", "sudo"), Reach.BEYOND),
        (rule("secret/data/*", "create", "read") + rule("sys/mounts/*", "update"), Reach.BEYOND),
        (rule("secret/data/*", "create", "read", "sudo"), Reach.DATA),
        (rule("sys/policies/acl/*", "read", "list"), Reach.DATA),
        (rule("*", "deny"), Reach.DATA),
        (rule("auth/token/renew-self", "update"), Reach.DATA),
        ("", None),
        ("nothing of that kind", None),
        ('{"path": 5}', None),
        ("[" * 60_000, None),
        (rule("secret/*", "read") + "#" * 70_000, None),
    ],
)
def test_a_policy_reaches_as_far_as_the_worst_of_its_paths(text: str, reach: Reach | None) -> None:
    assert reach_of(text) is reach
