from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from taskbound.core.target import PostgresKind, PostgresPlace, TargetFileError, parse_target_file
from taskbound.core.tool.definition import Effect

WHOLE: dict[str, Any] = {
    "target": "orders-db",
    "kind": "postgres",
    "where": {"host": "db.example.com", "port": 5433, "database": "orders", "roots": "/etc/taskbound/db.pem"},
    "owner": "ann",
    "approvers": ["finance", "bob"],
    "credentials": {
        "reader": {
            "for": "Reads orders of one tenant.",
            "group": "readers",
            "seconds": 900,
            "effect": "read",
            "context": ["tenant"],
            "connections": 2,
        },
        "clerk": {"for": "Books orders.", "group": "clerks", "seconds": 60},
    },
}


def changed(*steps: Any, to: Any = None, without: str = "") -> dict[str, Any]:
    whole = deepcopy(WHOLE)
    place: Any = whole
    for one in steps[:-1] if not without else steps:
        place = place[one]
    if without:
        del place[without]
    else:
        place[steps[-1]] = to
    return whole


def test_a_file_says_where_a_target_is_who_answers_for_it_and_what_may_be_minted() -> None:
    found = parse_target_file(json.dumps(WHOLE).encode())
    assert (found.name, found.kind, found.owner, found.approvers) == (
        "orders-db",
        "postgres",
        "ann",
        ("bob", "finance"),
    )
    assert found.place == PostgresPlace(
        host="db.example.com", port=5433, database="orders", roots="/etc/taskbound/db.pem"
    )
    clerk, reader = found.credentials
    assert (clerk.name, clerk.effect, clerk.seconds, clerk.parameters) == (
        "clerk",
        Effect.DESTRUCTIVE,
        60,
        (),
    )
    assert reader.grants == PostgresKind(group="readers", connections=2, context=("tenant",))
    assert (reader.description, reader.effect) == ("Reads orders of one tenant.", Effect.READ)


@pytest.mark.parametrize(
    ("file", "where"),
    [
        (changed(without="owner"), "owner"),
        (changed("owner", to="group:finance"), "owner"),
        (changed("owner", to="Ann"), "owner"),
        (changed("approvers", to=["bob", "group:"]), "approvers[1]"),
        (changed("approvers", to=["bob", "group:a b"]), "approvers[1]"),
        (changed("more", to=1), "more"),
        (changed("password", to="secret"), "password"),
        (changed("target", to="Orders"), "target"),
        (changed("target", to=7), "target"),
        (changed("kind", to="oracle"), "kind"),
        (changed("approvers", to=[]), "approvers"),
        (changed("approvers", to=["bob", "bob"]), "approvers"),
        (changed("where", "host", to="a,b"), "where"),
        (changed("where", "host", to=""), "where"),
        (changed("where", without="roots"), "where"),
        (changed("where", "port", to=0), "where.port"),
        (changed("where", "port", to=True), "where.port"),
        (changed("where", "database", to="a\n"), "where"),
        (changed("where", "password", to="x"), "where.password"),
        (changed("credentials", to={}), "credentials"),
        (changed("credentials", "reader", without="for"), "credentials.reader.for"),
        (changed("credentials", "reader", "for", to="a\nb"), "credentials.reader"),
        (changed("credentials", "reader", "seconds", to=86_401), "credentials.reader.seconds"),
        (changed("credentials", "reader", "effect", to="harmless"), "credentials.reader.effect"),
        (changed("credentials", "reader", "group", to="pg_monitor"), "credentials.reader"),
        (changed("credentials", "reader", "group", to="g" * 64), "credentials.reader"),
        (changed("credentials", "reader", "context", to=["b", "a"]), "credentials.reader"),
        (changed("credentials", "reader", "context", to=["Tenant"]), "credentials.reader"),
        (changed("credentials", "reader", "context", to=["seconds"]), "credentials.reader"),
        (changed("credentials", "reader", "connections", to=101), "credentials.reader.connections"),
        (changed("credentials", "reader", "grant", to="ALL"), "credentials.reader.grant"),
        (changed("credentials", to={"Reader": WHOLE["credentials"]["reader"]}), "credentials.Reader"),
        (changed("credentials", to={"a/b": WHOLE["credentials"]["reader"]}), 'credentials["a/b"]'),
    ],
)
def test_what_is_wrong_is_named_with_its_place(file: dict[str, Any], where: str) -> None:
    with pytest.raises(TargetFileError) as caught:
        parse_target_file(json.dumps(file).encode())
    assert (
        caught.value.where == where
        or (caught.value.where or "").startswith(where)
        or where in str(caught.value)
    )


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"target":"a","target":"b"}', b"nonsense", b"null"])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(TargetFileError):
        parse_target_file(raw)


def test_a_file_is_kept_with_what_its_approvers_are_and_is_the_same_target() -> None:
    before = parse_target_file(WHOLE)
    after = parse_target_file(before.naming(("bob", "group:finance")))
    assert after.approvers == ("bob", "group:finance")
    assert (after.where, after.owner, after.credentials) == (before.where, before.owner, before.credentials)
    assert after.identity("default") == before.identity("default")
    assert json.loads(before.spec) == {"kind": "postgres", "where": WHOLE["where"]}


def test_the_identity_is_that_of_place_and_kinds_and_of_nobody() -> None:
    same = parse_target_file(WHOLE).identity("default")
    for file in (changed("owner", to="eve"), changed("approvers", to=["eve"]), changed("target", to="other")):
        assert parse_target_file(file).identity("default") == same
    others = [
        changed("where", "database", to="payments"),
        changed("where", "host", to="db2.example.com"),
        changed("where", "roots", to="/etc/mine.pem"),
        changed("credentials", "reader", "group", to="writers"),
        changed("credentials", "reader", "seconds", to=901),
        changed("credentials", without="clerk"),
    ]
    digests = {parse_target_file(one).identity("default") for one in others}
    digests.add(parse_target_file(WHOLE).identity("other"))
    assert len(digests) == 7
    assert same not in digests


def test_what_can_be_done_about_a_member_is_said_with_its_place() -> None:
    with pytest.raises(TargetFileError) as refused:
        parse_target_file(json.dumps(changed("where", without="roots")).encode())
    assert refused.value.message == "`where`: no certificate authorities are named to verify `db.example.com`"
    assert refused.value.advice == "name the file of its authorities as `roots`: credentials go there"
    with pytest.raises(TargetFileError) as refused:
        parse_target_file(json.dumps(changed("where", "database", to="a\0b")).encode())
    assert refused.value.advice == "correct it at the place named"
