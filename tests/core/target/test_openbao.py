from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from taskbound.core.target import (
    BadAdminAccessError,
    BadKindError,
    BadTargetError,
    OpenbaoAccess,
    OpenbaoKind,
    OpenbaoPlace,
    TargetFileError,
    kind_definition,
    parse_admin_access,
    parse_target_file,
)

WHOLE: dict[str, Any] = {
    "target": "bao",
    "kind": "openbao",
    "where": {
        "address": "https://bao.example:8201",
        "roots": "/etc/taskbound/bao.pem",
        "namespace": "team/one",
        "seen_in": "orders-db",
    },
    "owner": "ann",
    "approvers": ["bob"],
    "credentials": {
        "reader": {
            "for": "Reads the orders.",
            "mount": "engines/database",
            "role": "reader",
            "gives": {"username": "PGUSER", "password": "PGPASSWORD"},
            "open": ["username"],
            "seconds": 600,
            "effect": "read",
        },
    },
}
READER = ("credentials", "reader")


def changed(*steps: Any, to: Any) -> dict[str, Any]:
    whole = deepcopy(WHOLE)
    place: Any = whole
    for one in steps[:-1]:
        place = place[one]
    place[steps[-1]] = to
    return whole


def test_a_file_says_which_server_it_is_and_which_roles_are_copied() -> None:
    found = parse_target_file(json.dumps(WHOLE).encode())
    place = found.place
    assert place == OpenbaoPlace(
        address="https://bao.example:8201",
        roots="/etc/taskbound/bao.pem",
        namespace="team/one",
        seen_in="orders-db",
    )
    assert (place.host, place.port, place.revocable) == ("bao.example", 8201, True)
    (reader,) = found.credentials
    assert reader.grants == OpenbaoKind(
        mount="engines/database",
        role="reader",
        gives={"password": "PGPASSWORD", "username": "PGUSER"},
        open=("username",),
        roles="roles",
        creds="creds",
    )
    assert reader.parameters == ()


def test_approvers_read_which_role_it_is() -> None:
    (reader,) = parse_target_file(WHOLE).credentials
    assert kind_definition(reader).value["description"] == (
        "Reads the orders. [read: what the role `reader` of `engines/database` gives]"
    )


@pytest.mark.parametrize(
    ("address", "host", "port", "tls"),
    [
        ("https://bao.example", "bao.example", 8200, True),
        ("https://bao.example/", "bao.example", 8200, True),
        ("https://[2001:db8::1]:443", "2001:db8::1", 443, True),
        ("http://127.0.0.1:8200", "127.0.0.1", 8200, False),
        ("http://[::1]", "::1", 8200, False),
    ],
)
def test_an_address_is_a_host_and_a_port(address: str, host: str, port: int, *, tls: bool) -> None:
    place = OpenbaoPlace(address=address)
    assert (place.host, place.port, place.tls, place.revocable) == (host, port, tls, False)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bao.example:8200",
        "http://bao.example:8200",
        "http://localhost:8200",
        "http://127.0.0.1.example",
        "https://ann@bao.example",
        "https://bao.example/v1",
        "https://bao.example?x",
        "https://bao.example#x",
        "https://bao.example:0",
        "https://bao.example:65536",
        "https://bao.example\r\nX-Vault-Token: x",
        "https://bao.example:8200:8200",
        "https://",
        "ftp://bao.example",
        "unix:///run/bao",
    ],
)
def test_what_others_could_read_or_what_is_no_address_is_no_target(address: str) -> None:
    with pytest.raises(BadTargetError):
        OpenbaoPlace(address=address)


@pytest.mark.parametrize(
    ("file", "where"),
    [
        (changed("where", "address", to=1), "where.address"),
        (changed("where", "address", to="http://bao.example"), "where"),
        (changed("where", "roots", to="bao.pem"), "where"),
        (changed("where", "roots", to=""), "where.roots"),
        (changed("where", "namespace", to="ROOT"), "where"),
        (changed("where", "namespace", to="root"), "where"),
        (changed("where", "namespace", to=""), "where.namespace"),
        (changed("where", "namespace", to="team/"), "where"),
        (changed("where", "namespace", to="/team"), "where"),
        (changed("where", "namespace", to="team/../other"), "where"),
        (changed("where", "namespace", to="team\r\nX-Vault-Token: x"), "where"),
        (changed("where", "seen_in", to="Orders DB"), "where"),
        (changed("where", "seen_in", to=""), "where.seen_in"),
        (changed("where", "database", to="x"), "where.database"),
        (changed(*READER, "mount", to=""), "credentials.reader"),
        (changed(*READER, "mount", to="/database"), "credentials.reader"),
        (changed(*READER, "mount", to="database/"), "credentials.reader"),
        (changed(*READER, "mount", to="database/.."), "credentials.reader"),
        (changed(*READER, "mount", to="database//x"), "credentials.reader"),
        (changed(*READER, "mount", to="a b"), "credentials.reader"),
        (changed(*READER, "mount", to="a%2fb"), "credentials.reader"),
        (changed(*READER, "mount", to="sys"), "credentials.reader"),
        (changed(*READER, "mount", to="sys/leases"), "credentials.reader"),
        (changed(*READER, "mount", to="auth/token"), "credentials.reader"),
        (changed(*READER, "mount", to="identity"), "credentials.reader"),
        (changed(*READER, "mount", to="cubbyhole"), "credentials.reader"),
        (changed(*READER, "role", to=".."), "credentials.reader"),
        (changed(*READER, "role", to="../../sys"), "credentials.reader"),
        (changed(*READER, "role", to="a?list=true"), "credentials.reader"),
        (changed(*READER, "role", to="-reader"), "credentials.reader"),
        (changed(*READER, "role", to="tb_abcdefgh_reader"), "credentials.reader"),
        (changed(*READER, "roles", to="a/b"), "credentials.reader"),
        (changed(*READER, "creds", to=".."), "credentials.reader"),
        (changed(*READER, "creds", to="roles"), "credentials.reader"),
        (changed(*READER, "gives", to={}), "credentials.reader"),
        (changed(*READER, "gives", to=[]), "credentials.reader.gives"),
        (changed(*READER, "gives", to={"password": "pgpassword"}), "credentials.reader"),
        (changed(*READER, "gives", to={"a.b": "PGPASSWORD"}), "credentials.reader"),
        (changed(*READER, "gives", to={"username": "X", "password": "X"}), "credentials.reader"),
        (changed(*READER, "gives", to={"username": "PGUSER"}), "credentials.reader"),
        (changed(*READER, "open", to=["password", "username"]), "credentials.reader"),
        (changed(*READER, "open", to=["username", "username"]), "credentials.reader"),
        (changed(*READER, "open", to=["token"]), "credentials.reader"),
        (changed(*READER, "group", to="readers"), "credentials.reader.group"),
        (changed(*READER, "seen_in", to="orders-db"), "credentials.reader.seen_in"),
    ],
)
def test_a217_what_is_wrong_is_named_with_its_place(file: dict[str, Any], where: str) -> None:
    with pytest.raises(TargetFileError) as caught:
        parse_target_file(json.dumps(file).encode())
    assert (caught.value.where or "").startswith(where)


def test_a_kind_that_shows_everything_is_none() -> None:
    with pytest.raises(BadKindError, match="secret"):
        OpenbaoKind(mount="database", role="a", gives={"password": "P"}, open=("password",))


def test_a_token_that_was_sealed_is_read_as_it_was_and_is_in_no_repr() -> None:
    access = OpenbaoAccess(token="s.hunter2-_x")
    assert parse_admin_access("openbao", access.text) == access
    assert "hunter2" not in repr(access)


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        '{"token":""}',
        '{"token":1}',
        '{"token":"hunter2","user":"x"}',
        '{"token":"hunter2\\r\\nX-Vault-Namespace: other"}',
        '{"token":"hunter2 x"}',
        '{"token": "hunter2"}',
        '{"token":"hunter2' + "2" * 4_096 + '"}',
        '{"password":"hunter2","user":"a"}',
    ],
)
def test_what_is_no_token_is_refused_without_being_said(text: str) -> None:
    with pytest.raises(BadAdminAccessError) as refused:
        parse_admin_access("openbao", text)
    assert "hunter2" not in f"{refused.value.message} {refused.value.advice} {refused.value.__cause__}"
