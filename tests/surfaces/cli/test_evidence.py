from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.tokens import ISSUER, ed25519

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

KEY = ed25519("tickets-1")


def files(folder: Path, **claims: object) -> tuple[str, str]:
    """Files with the keys of an issuer, and with a token of it."""
    keys, token = folder / "keys.json", folder / "approved.jws"
    now = int(time.time())
    keys.write_text(json.dumps(KEY.members))
    said: dict[str, object] = {"iss": ISSUER, "sub": "OPS-17 \u202e", "aud": "urn:taskbound:default"}
    said |= {"iat": now, "exp": now + 600, "jti": "1"} | claims
    head = {"alg": KEY.alg, "kid": KEY.kid, "typ": "taskbound-evidence+jwt"}
    token.write_text(KEY.raw(json.dumps(head).encode(), json.dumps(said).encode()) + "\n")
    return str(keys), str(token)


def test_an_issuer_is_added_its_word_is_proven_and_falls_with_it(place: Installation, tmp_path: Path) -> None:
    keys, token = files(tmp_path)
    order = ("task", "start", "--agent", "helper", "--scope", place.scope(), "--purpose", "pay")
    unknown = place(*order, "--evidence-jws", token)
    assert (unknown.status, "[unknown-issuer]" in unknown.err) == (3, True)
    assert "no issuers" in place("task", "issuer", "list").out
    added = place("task", "issuer", "add", "tickets", "--issuer", ISSUER, "--keys", keys)
    assert added.status == 0, added.err
    assert KEY.jwk.thumbprint in place("task", "issuer", "list").out
    done = place(*order, "--evidence", "ticket:jira:OPS-17", "--evidence-jws", token, "--json")
    assert done.status == 0, done.err
    task = done.document["row"]["task"]
    assert [(one["verdict"], one["names"]) for one in done.document["evidence"]] == [
        ("stated", ["ticket", "ticket.jira"]),
        ("proven", ["jws", "jws.tickets"]),
    ]
    shown = place("task", "show", task).out
    assert "proven until" in shown
    assert "\u202e" not in shown
    assert place("task", "issuer", "remove", "tickets", "--yes").status == 0
    assert "counts no more" in place("task", "show", task).out
    assert place("task", "end", task, "--yes").status == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--evidence", "OPS-17"), "bad-evidence"),
        (("--evidence", "ticket:jira:1", "--evidence", "ticket:jira:1"), "bad-task"),
        (("--evidence", f"jws:tickets:{'a' * 64}:{'a' * 64}:{'a' * 43}:1:x"), "bad-evidence"),
    ],
)
def test_what_is_no_evidence_starts_no_task(place: Installation, words: tuple[str, ...], code: str) -> None:
    done = place("task", "start", "--agent", "helper", "--scope", place.scope(), "--purpose", "pay", *words)
    assert (done.status, f"[{code}]" in done.err) == (2, True)


def test_a_private_key_is_not_taken_for_a_public_one(place: Installation, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(KEY.members | {"d": "AAAA"}))
    done = place("task", "issuer", "add", "tickets", "--issuer", ISSUER, "--keys", str(keys))
    assert (done.status, "[jwk-private]" in done.err) == (2, True)
    assert "AAAA" not in done.err
