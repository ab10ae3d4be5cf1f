from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.surfaces.cli.installation import Installation


def test_a_program_that_is_no_server_is_pinned_by_a_file_of_its_tools(
    place: Installation, tmp_path: Path
) -> None:
    tools, program = tmp_path / "tools.json", tmp_path / "never.py"
    program.write_text("raise SystemExit('it was started')")
    tool = {"name": "note", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}
    command = ("--", sys.executable, str(program))
    words = ("upstream", "add", "own", "--definitions", str(tools))
    for text, code in (
        ("{}", "bad-input"),
        ("[]", "bad-input"),
        ("[1]", "bad-definition"),
        ('[{"name":"a","name":"b"}]', "duplicate-key"),
        (json.dumps([{**tool, "name": "a b"}]), "bad-tool-name"),
    ):
        tools.write_text(text)
        ended = place(*words, *command)
        assert (ended.status, code in ended.err) == (2, True), (text, ended)
    tools.write_text(json.dumps([tool]))
    assert place(*words, "--url", "http://127.0.0.1:1/mcp").status == 2
    assert place(*words, "--secret", "environment:X", *command).status == 2
    added = place(*words, *command)
    assert (added.status, "own__note" in added.out) == (0, True), added
    assert "own__note" in place("tool", "list", "--server", "own").out
    assert "upstream-exists" in place(*words, *command).err
    assert place("upstream", "remove", "own", "--yes").status == 0
