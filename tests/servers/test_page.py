"""The guide's table of servers, and its command for a ready file before the real server."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from tests.house.tree import ROOT
from tests.servers.catalog import peers
from tests.surfaces.cli.conftest import fresh

if TYPE_CHECKING:
    from tests.servers.catalog import Ground
    from tests.surfaces.cli.installation import Installation

__all__ = ["fresh"]  # a fixture of the command line's tests

PAGE = (ROOT / "docs/guides/tools.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[a-z]+`|\(none\)) \| `([^`]+)` \((PyPI|npm)\) \| ([0-9.]+) \|", re.MULTILINE)
LOCKS = ROOT / "requirements" / "servers"


def locked() -> dict[str, str]:
    """The release of each server that was asked for."""
    found = dict(json.loads((LOCKS / "package.json").read_text(encoding="utf-8"))["dependencies"])
    del found["oidc-provider"]  # an issuer of tokens for servers, and none of MCP
    for name in ("modern.in", "legacy.in"):
        text = (LOCKS / name).read_text(encoding="utf-8")
        found |= dict(re.findall(r"^(mcp-server-[a-z]+)==(\S+)$", text, re.MULTILINE))
    return found


def test_the_page_s_servers_are_those_that_are_locked_and_tested(ground: Ground) -> None:
    written = {package: release for _, package, _, release in ROW.findall(PAGE)}
    assert written == locked()
    assert written.keys() == {peer.package for peer in peers(ground)}


def test_the_page_s_command_applies_the_ready_file_to_the_real_git_server(
    fresh: Installation, ground: Ground
) -> None:
    (line,) = re.findall(r"^taskbound (tool apply ready:git .*)$", PAGE, re.MULTILINE)
    fresh.prepare()
    command = next(peer.command for peer in peers(ground) if peer.name == "git")
    added = fresh("upstream", "add", "git", "--", *command)
    assert added.status == 0, added
    assert "ready:git" in f"{added.out}{added.err}"
    done = fresh(*shlex.split(line), "--yes")
    assert done.status == 0, done
    rows = {one["name"]: one for one in fresh("tool", "list", "--server", "git", "--json").document["rows"]}
    assert (rows["git__git_add"]["idempotent"], rows["git__git_reset"]["effect"]) == (True, "destructive")
    assert "repo_path=path" in rows["git__git_add"]["roles"]
