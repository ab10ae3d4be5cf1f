from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tests.peers.provider import provider

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "sign-in.md"
ISSUER = "https://id.example.com"


def commands(words: str) -> list[tuple[str, ...]]:
    """Each command of the guide that begins so, as a person types it."""
    lines = [
        one.strip() for one in GUIDE.read_text().splitlines() if one.startswith(f"    taskbound {words}")
    ]
    return [tuple(shlex.split(one)[1:]) for one in lines]


def levels(place: Installation) -> list[str]:
    """What doctor says of where people sign in."""
    found = json.loads(place("doctor", "--json").out)["findings"]
    return [one["level"] for one in found if one["name"] == "sign-in"]


def test_the_guides_issuer_account_and_groups_are_as_they_stand_there_and_doctor_looks_at_them(
    place: Installation, tmp_path: Path
) -> None:
    secret = tmp_path / "corp.secret"
    secret.touch(mode=0o600)
    secret.write_text("s" * 40)
    us = {
        "client_id": "taskbound",
        "client_secret": "s" * 40,
        "redirect_uris": ["http://127.0.0.1:8700/sign-in/callback/corp"],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
    }

    person = str(place("person", "list", "--json").document["rows"][0]["name"])

    def run(line: tuple[str, ...], issuer: str = ISSUER) -> str:
        words = {secret.name: str(secret), ISSUER: issuer}
        done = place(*(words.get(word, word) for word in line))
        assert done.status == 0, done.err
        return str(done.out)

    (add, *_) = commands("agent issuer add")
    with provider(client=us, people={}) as idp:
        run((*add, "--private"), idp.issuer)
        assert levels(place) == ["ok"]
    for line in (*commands("person group"), *commands("agent issuer groups")):
        run(line)
    assert "eng-leads=leads" in run(("agent", "issuer", "list"))
    for line in commands("person account link"):
        run(tuple(person if word == "alice" else word for word in line))
    assert "248289761001" in run(("person", "account", "list"))
    assert "no browser sessions" in run(("person", "session", "list"))
    assert place("agent", "issuer", "remove", "corp", "--yes").status == 3
    for line in commands("person account unlink"):
        run(tuple(person if word == "alice" else word for word in line))
    secret.chmod(0o644)
    assert levels(place) == ["bad"]
