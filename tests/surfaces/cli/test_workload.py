from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING

import pytest

from tests.surfaces.cli.installation import PROGRAM

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation


def test_a_selector_is_added_shown_and_removed_by_its_id(place: Installation) -> None:
    assert "no selectors" in place("agent", "selector", "list").out
    assert "no issuers" in place("agent", "issuer", "list").out
    unknown = place(
        "agent", "selector", "add", "helper", "--kind", "oidc", "--issuer", "github", "--subject", "a"
    )
    assert (unknown.status, "[unknown-identity-issuer]" in unknown.err) == (3, True)
    assert (
        place("agent", "issuer", "add", "github", "--issuer", "https://example.com", "--private").status == 0
    )
    assert "published, also in a network" in place("agent", "issuer", "list").out
    words = (
        "--kind",
        "oidc",
        "--issuer",
        "github",
        "--subject",
        "a",
        "--claim",
        "/ref=x=y",
        "--claim",
        "/ref=z",
    )
    added = place("agent", "selector", "add", "helper", *words)
    assert added.status == 0, added.err
    (row,) = place("agent", "selector", "list", "helper", "--json").document["rows"]
    assert [(one["pointer"], one["text"]) for one in row["claims"]] == [("/ref", "x=y"), ("/ref", "z")]
    assert row["id"] in place("agent", "selector", "list").out
    assert place("agent", "selector", "list", "nobody", "--json").document["rows"] == []
    again = place("agent", "selector", "add", "helper", *words)
    assert (again.status, "[identity-exists]" in again.err) == (3, True)
    held = place("agent", "issuer", "remove", "github", "--yes")
    assert (held.status, "[issuer-in-use]" in held.err) == (3, True)
    assert place("agent", "selector", "remove", "helper", row["id"], "--yes").status == 0
    assert place("agent", "issuer", "remove", "github", "--yes").status == 0
    gone = place("agent", "selector", "remove", "helper", row["id"], "--yes")
    assert (gone.status, "[unknown-selector]" in gone.err) == (3, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--claim", "/ref"), "bad-input"),
        (("--claim", "ref=x"), "bad-selector"),
        ((), "bad-selector"),
        (("--subject", "a", "--kind", "key"), "bad-selector"),
    ],
)
def test_a_selector_that_can_not_be_is_refused_by_name(
    place: Installation, words: tuple[str, ...], code: str
) -> None:
    done = place("agent", "selector", "add", "helper", "--kind", "oidc", "--issuer", "github", *words)
    assert (done.status, f"[{code}]" in done.err) == (2, True)


def claims(token: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return found


def test_an_agent_has_a_key_once_it_is_registered_and_its_processes_alone_have_statements(
    place: Installation,
) -> None:
    (first,) = place("agent", "key", "list", "helper", "--json").document["rows"]
    words = ("run", "--agent", "helper", "--scope", place.scope(), "--", *PROGRAM, "agent", "assertion")
    done = place.ended(*words)
    assert done.status == 0, done.err
    said = claims(done.out.strip())
    assert (said["iss"], said["sub"]) == ("agent:helper", "agent:helper")
    outside = place("agent", "assertion", "helper")
    assert (outside.status, "[not-agent-process]" in outside.err, outside.out) == (3, True, "")
    assert place("agent", "key", "renew", "helper", "--yes").status == 0
    old, new = place("agent", "key", "list", "--json").document["rows"]
    assert (old["kid"], bool(old["ended"]), new["ended"]) == (first["kid"], True, 0)
    assert new["kid"] in place("agent", "key", "list").out
    kept = place.home / "signer" / "agents"
    assert [one.name for one in kept.iterdir()] == [new["kid"]]
    levels = {one["name"]: one["level"] for one in place.ended("doctor", "--json").document["findings"]}
    assert levels["agent-keys"] == "warn"
