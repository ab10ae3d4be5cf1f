from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from joserfc import jwt
from joserfc.jwk import ECKey

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
    (tmp_path / "cluster.json").write_text(json.dumps({"keys": [es256("cluster-1").members]}))
    token = issued(tmp_path, "helper")
    (own,) = json.loads((tmp_path / "keys.json").read_text())["keys"]
    assert "d" not in own
    said = jwt.decode(token, ECKey.import_key(own)).claims
    assert (said["iss"], said["sub"], said["exp"] - said["iat"]) == ("https://issuer.example", "helper", 300)
    for line in commands("agent issuer"):
        done = place(*(str(tmp_path / word) if word.endswith(".json") else word for word in line))
        assert done.status == 0, done.err
    for line in commands("agent selector"):
        done = place(*line)
        assert done.status == 0, done.err
    rows = place("agent", "issuer", "list", "--json").document["rows"]
    known = [("cluster", ["cluster-1"]), ("github", []), ("own", [own["kid"]])]
    assert [(one["name"], one["keys"]) for one in rows] == known
    selectors = place("agent", "selector", "list", "helper", "--json").document["rows"]
    assert {one["issuer"] for one in selectors} == {"cluster", "github", "own"}


def issued(folder: Path, name: str) -> str:
    """A token from the guide's own issuer."""
    (text,) = re.findall(r"```python\n(# issue\.py .*?)```", GUIDE.read_text(), re.DOTALL)
    (folder / "issue.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "issue.py", name], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_guides_statement_is_the_agents_own(place: Installation) -> None:
    (line,) = commands("run")
    at = line.index("--")
    scope = ("--scope", place.scope())
    done = place.ended(*line[:at], *scope, "--", *PROGRAM, *line[at + 2 :])
    assert (done.status, done.out.count(".")) == (0, 2), done.err
    for one in (*commands("agent key list"), *commands("agent key renew")):
        assert place(*one).status == 0
