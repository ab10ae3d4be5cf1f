from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

REDIRECT = "http://127.0.0.1/callback"


def test_a_client_is_added_shown_and_removed_and_each_leaves_a_record(place: Installation) -> None:
    assert "no clients" in place("token", "client", "list").out
    added = place("token", "client", "add", "desk", "--redirect", REDIRECT, "--shown", "The desk")
    assert added.status == 0, added.err
    (row,) = place("token", "client", "list", "--json").document["rows"]
    assert (row["client"], row["shown"], row["redirects"]) == ("desk", "The desk", [REDIRECT])
    assert REDIRECT in place("token", "client", "list").out
    shown = place("token", "client", "show", "desk")
    assert "The desk" in shown.out
    assert REDIRECT in shown.out
    assert place("token", "client", "show", "desk", "--json").document == {**row, "is": "client"}
    again = place("token", "client", "add", "desk", "--redirect", "https://evil.example/")
    assert (again.status, "[client-exists]" in again.err) == (3, True)
    assert place("token", "client", "remove", "desk", "--yes").status == 0
    for words in (("remove", "desk", "--yes"), ("show", "desk")):
        gone = place("token", "client", *words)
        assert (gone.status, "[unknown-client]" in gone.err) == (3, True)
    told: list[str] = []
    for _ in range(200):  # a record gets its place in the log a moment after it is durable
        records = [json.loads(one) for one in place("audit", "tail", "--json").document["records"]]
        told = [one["event"]["kind"] for one in records if one["event"].get("client") == "desk"]
        if len(told) > 1:
            break
    assert told == ["client-added", "client-removed"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("desk", "--redirect", "http://desk.example/cb"), 3, "bad-redirect"),
        (("desk", "--redirect", "javascript:alert(1)"), 3, "bad-redirect"),
        (("desk", "--redirect", REDIRECT, "--redirect", REDIRECT), 2, "bad-client-document"),
        (("desk", "--redirect", REDIRECT, "--shown", "a\u202eb"), 2, "bad-client-document"),
        (("Desk", "--redirect", REDIRECT), 2, "bad-client-id"),
        (("https://app.example/client", "--redirect", REDIRECT), 2, "bad-client-id"),
    ],
)
def test_a_client_that_can_not_be_is_refused_by_name(
    place: Installation, words: tuple[str, ...], status: int, code: str
) -> None:
    done = place("token", "client", "add", *words)
    assert (done.status, f"[{code}]" in done.err) == (status, True)


def test_an_admission_that_is_none_is_refused_by_name(place: Installation) -> None:
    assert "no clients were let in" in place("token", "admission", "list").out
    assert place("token", "admission", "list", "--client", "desk", "--json").document["rows"] == []
    gone = place("token", "admission", "end", "adm_none", "--yes")
    assert (gone.status, "[unknown-admission]" in gone.err) == (3, True)
