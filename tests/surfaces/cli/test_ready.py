from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.tool import parse_definition
from taskbound.core.tool.file import ToolFileError, parse_tool_file
from taskbound.core.tool.file.parse import Package
from taskbound.surfaces.cli.init.scope import offers_of
from taskbound.surfaces.cli.ready import find_ready, package_of, read_ready, ready_names
from taskbound.wire.tool import ServerSpec
from tests.surfaces.cli.installation import ECHO

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

RANGE: dict[str, Any] = {"registry": "npm", "name": "@a/b", "from": "1.2", "before": "1.10"}


def spec(lock: str = "", *files: str) -> ServerSpec:
    return ServerSpec(name="s", command="/bin/s", lock=lock, files=tuple((one, "0" * 64) for one in files))


def installed(folder: Path, name: str, version: str) -> str:
    """A script of a package of npm; its path."""
    place = folder / "node_modules" / name
    (place / "dist").mkdir(parents=True)
    (place / "package.json").write_text(json.dumps({"name": name, "version": version}), encoding="utf-8")
    script = place / "dist" / "index.js"
    script.write_text("", encoding="utf-8")
    return str(script)


@pytest.mark.parametrize(
    ("lock", "package"),
    [
        ("mcp_Server.git 2026.10.19, as it is installed", ("pypi", "mcp-server-git", "2026.10.19")),
        ("uvx: mcp-server-git==1.2.3; its own dependencies are", ("pypi", "mcp-server-git", "1.2.3")),
        ("npx: @a/b@1.2.3; its own dependencies are", ("npm", "@a/b", "1.2.3")),
        ("npx: a@1.2.3 b@1; its own dependencies are", None),
        ("docker run: a/b@sha256:0", None),
        ("", None),
    ],
)
def test_the_package_of_a_server_is_read_from_what_was_pinned(
    lock: str, package: tuple[str, str, str] | None
) -> None:
    found = package_of(spec(lock))
    assert (found and (found.registry, found.name, found.version)) == package


def test_the_package_of_a_script_is_the_one_in_whose_folder_it_lies(tmp_path: Path) -> None:
    script = installed(tmp_path, "@a/b", "1.2.3")
    assert package_of(spec("", script)) == Package(registry="npm", name="@a/b", version="1.2.3")
    assert package_of(spec("", script, installed(tmp_path, "c", "1.0.0"))) is None, "nobody says which"
    (tmp_path / "node_modules/@a/b/package.json").write_text('{"name":"other","version":"1.2.3"}')
    assert package_of(spec("", script)) is None
    (tmp_path / "node_modules/@a/b/package.json").write_text("[")
    assert package_of(spec("", script)) is None


@pytest.mark.parametrize(
    ("version", "fits"),
    [("1.2", True), ("1.9.9", True), ("1.10", False), ("1.1.9", False), ("1.3-beta", False), ("x", False)],
)
def test_a_release_is_in_a_range_by_its_numbers(version: str, *, fits: bool) -> None:
    file = parse_tool_file({"server": "*", "package": RANGE, "tools": {"a": {}}})
    assert file.package is not None
    assert file.package.has(Package(registry="npm", name="@a/b", version=version)) is fits
    assert not file.package.has(Package(registry="pypi", name="@a/b", version="1.2"))
    assert not file.package.has(Package(registry="npm", name="@a/c", version="1.2"))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"registry": "gems"}, "package.registry"),
        ({"from": "1.2b"}, "package.from"),
        ({"from": 1}, "package.from"),
        ({"before": "1.2.0"}, ""),
        ({"before": "1.2"}, "package.before"),
        ({"to": "2"}, "package.to"),
    ],
)
def test_a_range_that_has_no_release_or_is_not_written_so_is_refused(
    change: dict[str, object], where: str
) -> None:
    value: Any = {"server": "*", "package": RANGE | change, "tools": {"a": {}}}
    if not where:
        parse_tool_file(value)  # 1.2 itself is before 1.2.0
        return
    with pytest.raises(ToolFileError) as refused:
        parse_tool_file(value)
    assert refused.value.where == where


def test_a_ready_file_is_found_for_its_releases_only(tmp_path: Path) -> None:
    name = "@modelcontextprotocol/server-filesystem"
    found = find_ready(spec("", installed(tmp_path / "one", name, "2026.8.31")))
    assert found is not None
    assert found[0] == "filesystem"
    assert find_ready(spec("", installed(tmp_path / "two", name, "2099.1.1"))) is None
    assert len(ready_names()) == 10


def test_a_path_that_no_name_gives_away_is_one_by_a_tool_file_and_a_name_that_does_stays_one() -> None:
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"q": text, "path": text}}
    definition = parse_definition(json.dumps({"name": "move_file", "inputSchema": schema}).encode())
    (alone,) = offers_of("fs", [definition])
    assert alone.paths == ("path",)
    roles: Any = {"q": "path", "path": "name"}
    file = parse_tool_file({"server": "*", "tools": {"move_file": {"roles": roles}}})
    (told,) = offers_of("fs", [definition], file)
    assert told.paths == ("path", "q")


def test_a_ready_file_is_named_when_its_server_is_pinned_and_applied_by_a_person_alone(
    fresh: Installation,
) -> None:
    place = fresh
    place.prepare()
    script = installed(place.root, "@modelcontextprotocol/server-slack", "2025.4.25")
    tools = [
        {
            "name": one.name,
            "inputSchema": {
                "type": "object",
                "properties": {role.partition("=")[0]: {} for role in one.roles or ()},
            },
        }
        for one in read_ready("slack").tools
    ]
    place.tools.write_text(json.dumps(tools), encoding="utf-8")
    shutil.copy(ECHO, script)  # the tests' own server, where the package's would lie
    added = place("upstream", "add", "chat", "--", sys.executable, script, "--tools", str(place.tools))
    assert added.status == 0, added
    said = f"{added.out}{added.err}"
    assert "taskbound tool apply ready:slack --server chat" in said
    rows = {one["name"]: one for one in place("tool", "list", "--server", "chat", "--json").document["rows"]}
    assert {one["effect"] for one in rows.values()} == {"destructive"}, "nothing was applied"
    assert place("tool", "apply", "ready:slack", "--yes").status == 3
    done = place("tool", "apply", "ready:slack", "--relax", "--yes")
    assert done.status == 0, done
    rows = {one["name"]: one for one in place("tool", "list", "--server", "chat", "--json").document["rows"]}
    assert rows["chat__slack_get_users"]["effect"] == "read"
    other = place("tool", "apply", "ready:git", "--server", "chat", "--yes")
    assert (other.status, "mcp-server-git" in other.err) == (2, True)
    unknown = place("tool", "apply", "ready:nothing", "--yes")
    assert (unknown.status, "[bad-input]" in unknown.err) == (2, True)


def test_init_limits_the_paths_that_a_ready_file_knows_and_names_the_file(fresh: Installation) -> None:
    package = "@modelcontextprotocol/server-filesystem"
    script = installed(fresh.root, package, "2026.8.31")
    shutil.copy(ECHO, script)
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"source": text, "destination": text}}
    fresh.tools.write_text(json.dumps([{"name": "move_file", "inputSchema": schema}]), encoding="utf-8")
    server = {"command": sys.executable, "args": [script, "--tools", str(fresh.tools)]}
    config = fresh.person / ".cursor" / "mcp.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"mcpServers": {"files": server}}), encoding="utf-8")
    words = ("--yes", "--tool", "files__move_file", "--root", str(fresh.project))
    done = fresh("init", *words, "--monitor", f"file:{fresh.monitor}")
    assert done.status == 0, done
    assert "taskbound tool apply ready:filesystem --server files" in f"{done.out}{done.err}"
    template = next(
        one for one in fresh("template", "list", "--json").document["rows"] if one["name"] == "default"
    )
    (grant,) = template["scope"]["grants"]
    limit = {"below": str(fresh.project)}
    assert grant["arguments"] == {"destination": limit, "source": limit}
    rows = fresh("tool", "list", "--json").document["rows"]
    assert [(one["effect"], one.get("roles", [])) for one in rows] == [("destructive", [])], (
        "nothing was applied"
    )
