"""What `init` says of servers that give an agent nothing."""

from __future__ import annotations

import json

from tests.surfaces.cli.installation import TOOLS, Installation
from tests.surfaces.cli.test_init import entry, put


def test_where_no_server_can_be_pinned_nothing_is_to_do_and_each_has_its_reason(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs={"command": "npx", "args": ["-y", "@acme/floating"]})
    programs = fresh.root / "programs"  # a new machine has no `npx`
    programs.mkdir()
    (programs / "npx").symlink_to("/bin/true")
    ended = fresh("init", "--yes", PATH=f"{programs}:{fresh.environ['PATH']}")
    assert (ended.status, "Nothing to do" in ended.out) == (0, True)
    assert "`@acme/floating` names no exact version" in ended.err
    assert "may destroy" not in ended.err, "there is no tool to speak of"
    assert fresh("init", "--yes", "--json").document["state"] == "unchanged"
    assert not fresh.home.exists()


def test_a_server_of_which_no_tool_is_chosen_is_said_to_give_nothing(fresh: Installation) -> None:
    tools = fresh.root / "silent.json"
    tools.write_text(json.dumps([TOOLS[2]]), encoding="utf-8")
    silent = {"command": fresh.server[0], "args": [fresh.server[1], "--tools", str(tools)]}
    put(fresh, ".cursor/mcp.json", fs=entry(fresh), silent=silent)
    ended = fresh("init", "--yes", "--no-root", "--dry-run")
    assert "silent: no tool of it is chosen" in ended.err
    assert "fs: no tool of it" not in ended.err


def test_tool_with_a_possible_path_is_not_allowed_by_yes_and_every_place_is_named(
    fresh: Installation,
) -> None:
    edits = {"type": "array", "items": {"type": "object", "properties": {"path": {"type": "string"}}}}
    command = {"type": "object", "properties": {"command": {"type": "string"}}}
    edit = {
        "type": "object",
        "properties": {"edits": edits, "uri": {"type": "string"}, "note": {"type": "string"}},
    }
    read = {"readOnlyHint": True}
    fresh.tools.write_text(
        json.dumps(
            [
                {"name": "shell", "inputSchema": command, "annotations": read},
                {"name": "edit", "inputSchema": edit, "annotations": read},
            ]
        ),
        encoding="utf-8",
    )
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    words = ("init", "--yes", "--dry-run", "--root", str(fresh.project))
    ended = fresh(*words)
    assert "fs__shell is not allowed: may take paths that can't be limited (command)" in ended.err
    said = " ".join(ended.out.split())
    assert "limited to them fs__edit: edits[*].path" in said
    assert "limited to http(s) fs__edit: uri" in said
    assert "free fs__edit: note" in said
    report = fresh(*words, "--json").document
    assert (report["tools"], report["limited"]) == (
        ["fs__edit"],
        ["fs__edit: edits[*].path", "fs__edit: uri"],
    )
    named = fresh(*words, "--tool", "fs__shell", "--json").document
    assert (named["tools"], named["in_doubt"]) == (["fs__shell"], ["fs__shell: command"])
