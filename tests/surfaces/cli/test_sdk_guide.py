from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Any

from tests.surfaces.cli.installation import Ended, Installation
from tests.surfaces.cli.page import FENCE, agrees, guide, steps


def typed(place: Installation, line: str) -> Ended:
    program, *words = shlex.split(line)
    if program == "taskbound":
        return place(*words)
    assert program == "python3"
    told: dict[str, Any] = {"env": place.environ, "cwd": place.project, "text": True}
    strict = (sys.executable, "-X", "dev", "-W", "error")  # a connection that is left open is an error
    done = subprocess.run([*strict, *words], capture_output=True, check=False, **told)
    return Ended(done.returncode, done.stdout, done.stderr)


def test_program_and_commands_of_the_guide_do_what_the_guide_shows(fresh: Installation) -> None:
    fresh.prepare()
    notes = fresh.root / "notes"
    notes.mkdir()
    count = 0
    for block in FENCE.finditer(guide("sdk.md")):
        if block["name"]:
            assert "/srv/notes" in block["body"]
            file = fresh.project / block["name"]
            file.write_text(block["body"].replace("/srv/notes", str(notes)), encoding="utf-8")
        elif not block["kind"]:
            for line, written in steps(block["body"]):
                ended = typed(fresh, line)
                assert ended.status == 0, (line, ended)
                assert agrees((ended.err + ended.out).splitlines(), written), (line, ended)
                count += 1
    assert count == 5
    assert (notes / "today").read_text(encoding="utf-8") == "buy milk\n"
