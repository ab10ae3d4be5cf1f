from __future__ import annotations

import json
from pathlib import Path

from tests.house.tree import ROOT
from tests.sdk.program import settled
from tests.surfaces.network.test_acting_guide import blocks

GUIDE = ROOT / "docs" / "guides" / "sdk.md"


def test_the_guides_program_notes_what_is_permitted_and_says_why_the_other_is_not(tmp_path: Path) -> None:
    program, _ = blocks("python", GUIDE)
    with settled(tmp_path) as there:
        file = f"file = {json.dumps(str(there.file))}\n"
        (tmp_path / "guide.py").write_text(file + program)
        done = there.run("guide.py")
        assert (done.returncode, done.stdout) == (0, "refused: outside-scope\n"), done.stderr
        assert there.file.read_text() == "buy milk\n"


def test_the_guides_client_over_the_network_can_be_made() -> None:
    _, client = blocks("python", GUIDE)
    names: dict[str, object] = {"Path": Path}
    exec(compile(f"from taskbound import Client, Proof\n{client}", str(GUIDE), "exec"), names)  # noqa: S102 - our own page
    assert "client" in names
