from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tests.surfaces.cli.installation import PROGRAM
from tests.tokens import es256

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "workload-identity.md"


def commands(words: str) -> list[tuple[str, ...]]:
    """Each command of the guide that begins so, as a person types it."""
    lines = [
        one.strip() for one in GUIDE.read_text().splitlines() if one.startswith(f"    taskbound {words}")
    ]
    return [tuple(shlex.split(one)[1:]) for one in lines]


def test_the_guides_issuers_and_selectors_are_added_as_they_stand_there(
    place: Installation, tmp_path: Path
) -> None:
    keys = tmp_path / "cluster.json"
    keys.write_text(json.dumps({"keys": [es256("cluster-1").members]}))
    for line in commands("agent issuer"):
        done = place(*(str(keys) if word == keys.name else word for word in line))
        assert done.status == 0, done.err
    for line in commands("agent selector"):
        done = place(*line)
        assert done.status == 0, done.err
    rows = place("agent", "issuer", "list", "--json").document["rows"]
    assert [(one["name"], one["keys"]) for one in rows] == [("cluster", ["cluster-1"]), ("github", [])]
    selectors = place("agent", "selector", "list", "helper", "--json").document["rows"]
    assert {one["issuer"] for one in selectors} == {"cluster", "github"}


def test_the_guides_statement_is_the_agents_own(place: Installation) -> None:
    (line,) = commands("run")
    at = line.index("--")
    scope = ("--scope", place.scope())
    done = place.ended(*line[:at], *scope, "--", *PROGRAM, *line[at + 2 :])
    assert (done.status, done.out.count(".")) == (0, 2), done.err
    for one in (*commands("agent key list"), *commands("agent key renew")):
        assert place(*one).status == 0
