from __future__ import annotations

import json
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.places import everything
from tests.surfaces.cli.installation import TOOLS, Installation, Typing
from tests.surfaces.cli.speaking import HELLO, ask
from tests.surfaces.cli.speaking import started as speaking

KEEPER = Path(__file__).parents[2] / "peers" / "keeper.py"
SECRET = "hunter2-hunter2"
CLIENT = str(Path(__file__).with_name("client.py"))


def put(fresh: Installation, name: str, **servers: object) -> Path:
    path = fresh.person / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers, "more": [1, 2]}, indent=2), encoding="utf-8")
    return path


def entry(fresh: Installation, **more: Any) -> dict[str, Any]:
    return {"command": fresh.server[0], "args": [*fresh.server[1:]], **more}


def test_from_configurations_to_a_gated_agent_and_back(fresh: Installation) -> None:
    config = put(
        fresh, ".cursor/mcp.json", fs=entry(fresh, env={"KEY": "s3cret"}), web={"url": "http://127.0.0.1:1/"}
    )
    original = config.read_bytes()
    done = fresh(
        "init", "--yes", "--root", str(fresh.project), "--monitor", f"file:{fresh.monitor}", "--json"
    )
    report = done.document
    assert report["state"] == "registered"
    assert (report["servers"], report["tools"]) == (["fs"], ["fs__read", "fs__write"])
    assert report["stored_variables"] == ["fs.KEY"]
    assert [one["name"] for one in report["bypassing"]] == ["web"]
    assert "s3cret" not in done.out + done.err
    servers = json.loads(config.read_text(encoding="utf-8"))["mcpServers"]
    assert list(servers) == ["taskbound", "web"]
    # What the client would start now: it refuses before the agent is active, and works for a task after.
    started = [servers["taskbound"]["command"], *servers["taskbound"]["args"]]
    assert Path(started[0]).is_absolute()
    assert str(fresh.home) in started
    calls = [
        ("fs__read", {"path": str(fresh.project / "x"), "text": "t"}),
        ("fs__read", {"path": "/etc", "text": "t"}),
    ]
    assert [one.get("isError") for one in _talk(fresh, started, calls)[1:]] == [True, True]
    assert fresh("agent", "activate", "assistant", "--code", fresh.code()).status == 0
    ran = fresh.ended("run", "--", sys.executable, CLIENT, json.dumps(calls), "--", *started)
    assert ran.status == 0, ran
    listed, inside, outside = map(json.loads, ran.out.splitlines())
    assert [one["name"] for one in listed["tools"]] == ["fs__read", "fs__write"]
    assert inside["content"][0]["text"] == "t"
    assert outside["isError"] is True
    assert "gated" in {one["name"] for one in fresh("doctor", "--json").document["findings"]}
    undone = fresh("init", "--undo", "--json").document
    assert [one["how"] for one in undone["restored"]] == ["exact"]
    assert config.read_bytes() == original
    assert (fresh("init", "--undo").status, fresh("agent", "list").status) == (3, 0)


def _talk(fresh: Installation, server: list[str], calls: list[tuple[str, dict[str, str]]]) -> list[Any]:
    words = [sys.executable, CLIENT, json.dumps(calls), "--", *server]
    done = subprocess.run(words, env=fresh.environ, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_dry_run_shows_how_files_would_differ_and_leaves_everything_as_it_is(fresh: Installation) -> None:
    secrets = {"env": {"TOKEN": "s3cret"}, "envFile": "${userHome}/.env"}
    (fresh.person / ".env").write_text("OTHER=s3cret", encoding="utf-8")
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh, **secrets), **{"o\u202ed": "x"})
    before = config.read_bytes()
    done = fresh("init", "--yes", "--no-root", "--dry-run")
    assert (done.status, done.err.count("bypasses the gateway")) == (0, 1)
    assert f"How {config} will differ" in done.out
    assert '  -        "TOKEN": "(not shown)"' in done.out.splitlines()
    assert any(line.startswith('  +    "taskbound": {') for line in done.out.splitlines())
    assert '"o\\\\u202ed": "x"' in done.out
    assert '"more"' not in done.out
    report = fresh("init", "--yes", "--no-root", "--dry-run", "--json")
    assert report.document["state"] == "planned"
    assert [one["path"] for one in report.document["changes"]] == [str(config)]
    assert "s3cret" not in done.out + done.err + report.out + report.err
    assert config.read_bytes() == before
    assert not fresh.home.exists()


def test_a_server_behind_a_url_moves_behind_the_gateway_and_back(fresh: Installation) -> None:
    with everything() as url:
        there = {"type": "http", "url": f"{url}?tenant=a", "headers": {"X-Tenant": "${env:TENANT}"}}
        body = {"inputs": [], "servers": {"all": there, "key": {"url": f"{url}?token=s3+cret-s3+cret"}}}
        config = fresh.project / ".vscode/mcp.json"
        config.parent.mkdir()
        config.write_text(f"// mine\n{json.dumps(body, indent=1)}", encoding="utf-8")
        before = config.read_bytes()
        words = ("init", "--yes", "--no-root", "--tool", "all__test_simple_text", "--json")
        done = fresh(*words, "--monitor", f"file:{fresh.monitor}", TENANT="acme")
    report = done.document
    assert report["tools"] == ["all__test_simple_text"]
    assert [(one["name"], "read in one way" in one["why"]) for one in report["bypassing"]] == [("key", True)]
    (row,) = fresh("upstream", "list", "--json").document["rows"]
    assert (row["spec"]["url"], row["spec"]["headers"]) == (f"{url}?tenant=a", [["x-tenant", "acme"]])
    text = config.read_text(encoding="utf-8")
    assert text.startswith("// mine\n")
    assert list(json.loads(text.removeprefix("// mine\n"))["servers"]) == ["taskbound", "key"]
    assert "s3+cret" not in done.out + done.err
    assert fresh("init", "--undo").status == 0
    assert config.read_bytes() == before


def test_secrets_move_into_slots_and_stay_in_no_file_but_the_kept_original(fresh: Installation) -> None:
    body = {"command": sys.executable, "args": [str(KEEPER)], "env": {"TOKEN": SECRET, "SHORT_KEY": "abc"}}
    with everything() as url:
        there = {"url": f"{url}?a=b&api_key={SECRET}", "headers": {"Authorization": f"Bearer {SECRET}"}}
        config = put(fresh, ".cursor/mcp.json", keeper=body, all=there)
        words = ("init", "--yes", "--no-root", "--tool", "keeper__use", "--tool", "all__test_simple_text")
        done = fresh(*words, "--monitor", f"file:{fresh.monitor}", "--json")
    report = done.document
    slots = ["keeper.environment:TOKEN", "all.header:authorization", "all.query:api_key"]
    assert (report["sealed"], report["stored_variables"]) == (slots, ["keeper.SHORT_KEY"])
    assert SECRET not in done.out + done.err
    specs = {one["spec"]["name"]: one for one in fresh("upstream", "list", "--json").document["rows"]}
    assert (specs["all"]["spec"]["url"], "headers" in specs["all"]["spec"]) == (f"{url}?a=b", False)
    assert all(one["filled"] for row in specs.values() for one in row["secrets"])
    holding = [one for one in fresh.root.rglob("*") if one.is_file() and SECRET.encode() in one.read_bytes()]
    assert sorted(one.name for one in holding) == ["0.original", "manifest.json"]
    assert (fresh("upstream", "test", "keeper").status, fresh("init", "--forget", "--yes").status) == (0, 0)
    assert not any(one.exists() for one in holding)
    started = json.loads(config.read_text(encoding="utf-8"))["mcpServers"]["taskbound"]
    assert fresh("agent", "activate", "assistant", "--code", fresh.code()).status == 0
    assert fresh("task", "start", "--purpose", "x", "--for", "5m").status == 0
    with speaking([started["command"], *started["args"]], fresh.environ) as agent:
        ask(agent, 1, "initialize", HELLO)
        said = ask(agent, 2, "tools/call", {"name": "keeper__use", "arguments": {"text": "x"}})
        assert said["result"]["content"][0]["text"] == sha256(SECRET.encode()).hexdigest()
        assert "started-directly" not in fresh("doctor", "--json").out, "the egress started it"
        agent.kill()


def test_a_file_that_its_client_writes_while_a_person_reads_is_left_and_the_others_go_on(
    fresh: Installation,
) -> None:
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    keeper = {"command": sys.executable, "args": [str(KEEPER)], "env": {"TOKEN": SECRET}}
    other = put(fresh, ".claude.json", fs=entry(fresh), keeper=keeper)
    terminal = Typing(fresh, "init", "--no-root", "--monitor", f"file:{fresh.monitor}")
    for _ in range(2):
        terminal.until("Enter to go on:")
        terminal.answer("")
    assert f"How {other} will differ" in terminal.until("[y/N]")
    written = json.loads(other.read_text(encoding="utf-8")) | {"numStartups": 8}
    other.write_text(json.dumps(written), encoding="utf-8")
    terminal.answer("y")
    terminal.until("The code:")
    terminal.answer(fresh.code())
    assert terminal.end() == 3
    assert "[client-config-changed]" in terminal.seen
    assert f"bypasses the gateway: Claude Code: fs in {other}" in terminal.seen
    assert "keeper.environment:TOKEN is sealed to the egress, and still in a configuration" in terminal.seen
    assert json.loads(other.read_text(encoding="utf-8")) == written
    assert list(json.loads(config.read_text(encoding="utf-8"))["mcpServers"]) == ["taskbound"]
    assert fresh("init", "--undo", "--json").document["left"] == []
    assert json.loads(config.read_text(encoding="utf-8"))["mcpServers"] == {"fs": entry(fresh)}


def test_a_slot_that_was_filled_is_not_filled_again(fresh: Installation) -> None:
    body = {"command": sys.executable, "args": [str(KEEPER)], "env": {"TOKEN": SECRET}}
    words = ("init", "--yes", "--no-root", "--tool", "keeper__use", "--monitor", f"file:{fresh.monitor}")
    file = fresh.root / "keeper.json"
    file.write_text(json.dumps({"server": "keeper", "shareable": True, "tools": {"use": {}}}))
    for sealed in (["keeper.environment:TOKEN"], []):
        put(fresh, ".cursor/mcp.json", keeper=body)
        done = fresh(*words, "--json")
        assert (done.status, done.document["sealed"]) == (0, sealed), done
        assert fresh("tool", "apply", str(file), "--relax", "--yes").status == 0
    (row,) = fresh("upstream", "list", "--json").document["rows"]
    assert row["spec"]["shareable"] is True
    assert [(one["slot"], one["number"]) for one in row["secrets"]] == [("environment:TOKEN", 1)]


def test_a_server_whose_arguments_hold_a_secret_stays_where_it_is(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh, args=[*fresh.server[1:], "--token", "s3cret"]))
    done = fresh("init", "--yes", "--no-root", "--server", "fs")
    assert (done.status, "its arguments hold a secret" in done.err) == (2, True)
    assert "s3cret" not in done.out + done.err
    assert not fresh.home.exists()


def test_what_was_kept_for_an_undo_can_be_forgotten(fresh: Installation) -> None:
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh, env={"KEY": "s3cret"}))
    assert fresh("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}").status == 0
    (copy,) = fresh.home.rglob("*.original")
    assert (stat.S_IMODE(copy.stat().st_mode), b"s3cret" in copy.read_bytes()) == (0o600, True)
    assert (fresh("init", "--forget").status, copy.exists()) == (2, True)
    assert fresh("init", "--forget", "--yes", "--json").document["paths"] == [str(config)]
    assert not copy.exists()
    assert (fresh("init", "--undo").status, fresh("init", "--forget", "--yes").status) == (3, 3)
    assert fresh("init", "--undo", "--forget").status == 2


def test_a_second_init_changes_nothing(fresh: Installation) -> None:
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    words = ("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}")
    assert fresh(*words).status == 0
    once = config.read_bytes()
    again = fresh(*words)
    assert (again.status, "Nothing to do" in again.out) == (0, True)
    assert config.read_bytes() == once


def test_a_server_in_two_clients_is_pinned_once(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    put(fresh, ".claude.json", files=entry(fresh), fs=entry(fresh))
    report = fresh("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}", "--json").document
    assert len(report["rewritten"]) == 2
    assert sorted(report["servers"]) == ["files", "fs"]


def test_another_choice_under_a_known_name_is_refused_and_changes_nothing(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    assert fresh("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}").status == 0
    config = put(fresh, ".claude.json", two=entry(fresh, env={"A": "b"}))
    before = config.read_bytes()
    refused = fresh("init", "--yes", "--no-root")
    assert (refused.status, "[other-than-chosen]" in refused.err) == (3, True)
    assert config.read_bytes() == before
    assert [one["spec"]["name"] for one in fresh("upstream", "list", "--json").document["rows"]] == ["fs"]
    other = fresh("init", "--yes", "--no-root", "--agent", "other", "--monitor", f"file:{fresh.monitor}")
    assert other.status == 0, other


def test_a_comment_that_would_be_lost_refuses_before_anything_is_changed(fresh: Installation) -> None:
    path = fresh.project / ".vscode/mcp.json"
    path.parent.mkdir()
    command = json.dumps(fresh.server[0])
    path.write_text(
        f'{{"servers": {{"fs": {{"command": {command}, // why\n"args": []}}}}}}', encoding="utf-8"
    )
    text = path.read_text(encoding="utf-8").replace('"args": []', f'"args": {json.dumps(fresh.server[1:])}')
    path.write_text(text, encoding="utf-8")
    refused = fresh("init", "--yes", "--no-root")
    assert (refused.status, "[comment-would-be-lost]" in refused.err) == (3, True)
    assert path.read_text(encoding="utf-8") == text
    assert not fresh.home.exists()


def test_a_server_that_can_not_be_pinned_stays_outside_and_is_named(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh), gone={"command": "no-such-server-anywhere"})
    report = fresh("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}", "--json").document
    assert report["servers"] == ["fs"]
    assert [one["name"] for one in report["bypassing"]] == ["gone"]
    named = fresh("init", "--yes", "--no-root", "--server", "gone")
    assert (named.status, "[no-such-command]" in named.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--server", "none"), "no configuration has a server `none`"),
        (("--server", "web"), "no configuration has a server `web`"),
        (("--tool", "fs__none"), "no chosen server has a tool"),
        (("--tool", "fs__none"), "what to do: there is fs__read, fs__write, fs__drop"),
        ((), "takes paths, and no directory is named"),
        (("--root", "/none/at/all"), "is no directory"),
        (("--no-root", "--for", "soon"), "is no length of time"),
        (("--config", "/none.json"), "takes paths"),
    ],
)
def test_a_choice_that_can_not_be_is_refused_before_anything_is_changed(
    fresh: Installation, words: tuple[str, ...], part: str
) -> None:
    config = put(
        fresh, ".cursor/mcp.json", fs=entry(fresh), web={"url": "https://x.invalid", "auth": {"A": "b"}}
    )
    before = config.read_bytes()
    ended = fresh("init", "--yes", *words)
    assert (ended.status, part in ended.err) == (2, True), ended
    assert config.read_bytes() == before
    assert not fresh.home.exists()


def test_without_a_terminal_and_without_yes_nothing_is_chosen(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    ended = fresh("init")
    assert (ended.status, "[needs-answer]" in ended.err) == (2, True)
    assert not fresh.home.exists()


def test_tools_that_destroy_or_say_nothing_are_ticked_only_by_a_person(fresh: Installation) -> None:
    fresh.tools.write_text(json.dumps([TOOLS[2]]), encoding="utf-8")
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    ended = fresh("init", "--yes", "--no-root")
    assert (ended.status, "may destroy something" in ended.err) == (2, True)
    named = fresh(
        "init", "--yes", "--no-root", "--tool", "fs__drop", "--monitor", f"file:{fresh.monitor}", "--json"
    )
    assert named.document["tools"] == ["fs__drop"]


def test_a_person_ticks_and_types_in_a_terminal(fresh: Installation) -> None:
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh), other=entry(fresh, env={"A": "b"}))
    terminal = Typing(fresh, "init", "--monitor", f"file:{fresh.monitor}")
    assert "[x]  1   fs" in terminal.until("Enter to go on:")
    terminal.answer("2")
    assert "[ ]  2   other" in terminal.until("Enter to go on:")
    terminal.answer("")
    seen = terminal.until("Enter to go on:")
    assert "[x]  2   fs__write" in seen
    assert "[ ]  3   fs__drop" in seen
    terminal.answer("2 9")
    assert "there is no row" in terminal.until("Enter to go on:")
    terminal.answer("")
    terminal.until("Directories:")
    terminal.answer(str(fresh.project))
    terminal.until("[y/N]")
    assert not fresh.home.exists(), "nothing before the yes"
    terminal.answer("y")
    terminal.until("The code:")
    assert b'"gateway"' not in config.read_bytes(), "configurations last"
    terminal.answer(fresh.code())
    assert terminal.end() == 0, terminal.seen
    assert "taskbound run -- COMMAND" in terminal.seen
    agent = fresh("agent", "show", "assistant", "--json").document
    assert agent["state"] == "active"
    assert len(agent["ceiling"]["grants"]) == 1
    assert agent["ceiling"]["grants"][0]["arguments"] == {"path": {"below": str(fresh.project)}}
    assert list(json.loads(config.read_bytes())["mcpServers"]) == ["taskbound", "other"]
    assert stat.S_IMODE(fresh.home.stat().st_mode) == 0o700


def ticked(fresh: Installation, *words: str) -> Typing:
    """A terminal in which servers and tools are ticked as they are offered."""
    terminal = Typing(fresh, "init", "--monitor", f"file:{fresh.monitor}", *words)
    for _ in range(2):
        terminal.until("Enter to go on: ")
        terminal.answer("")
    return terminal


@pytest.mark.parametrize("mistyped", ["/none/at/all", ":", f"{Path.home()}:/none/at/all"])
def test_a_mistyped_directory_is_asked_again_and_the_ticks_are_kept(
    fresh: Installation, mistyped: str
) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    terminal = ticked(fresh)
    terminal.until("Directories:")
    terminal.answer(mistyped)
    assert "name " in terminal.until("Directories:")
    terminal.answer(str(fresh.project))
    assert str(fresh.project) in terminal.until("[y/N]")
    terminal.answer("n")
    assert terminal.end() == 3


def test_a_directory_is_asked_a_bounded_number_of_times(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    terminal = ticked(fresh)
    for _ in range(5):
        terminal.until("Directories:")
        terminal.answer("/none/at/all")
    assert terminal.end() == 2
    assert "[bad-input]" in terminal.seen


def test_options_that_can_not_be_are_told_before_anything_is_asked(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    for words in (("--root", "/none/at/all"), ("--root", ""), ("--for", "soon")):
        terminal = Typing(fresh, "init", *words)
        assert terminal.end() == 2
        assert "Enter to go on" not in terminal.seen


def test_a_wrong_code_is_asked_again_with_a_fresh_one(fresh: Installation) -> None:
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    terminal = ticked(fresh, "--no-root")
    terminal.until("[y/N]")
    terminal.answer("y")
    for typed in ("0000-0000", ""):
        terminal.until("The code:")
        terminal.answer(typed)
    terminal.until("The code:")
    assert b'"gateway"' not in config.read_bytes()
    terminal.answer(fresh.code())
    assert terminal.end() == 0, terminal.seen
    assert fresh("agent", "show", "assistant", "--json").document["state"] == "active"


def test_after_the_last_wrong_code_init_can_be_run_again(fresh: Installation) -> None:
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    for typed, status in ((("0000-0000",) * 3, 3), ((), 0)):
        terminal = ticked(fresh, "--no-root")
        terminal.until("[y/N]")
        terminal.answer("y")
        for one in typed:
            terminal.until("The code:")
            terminal.answer(one)
        if status:
            assert terminal.end() == status
            assert "come back with `taskbound init`" in " ".join(terminal.seen.split())
            assert b'"gateway"' not in config.read_bytes()
            continue
        terminal.until("The code:")
        terminal.answer(fresh.code())
        assert terminal.end() == status, terminal.seen
    assert b"taskbound" in config.read_bytes()


def test_other_tools_get_an_agent_and_a_template_of_their_own(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    words = ("--no-root", "--monitor", f"file:{fresh.monitor}")
    assert fresh("init", "--yes", *words).status == 0
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    before = fresh("template", "list", "--json").document["rows"]
    told = fresh("init", "--yes", *words, "--tool", "fs__read")
    assert (told.status, "the same command with `--agent assistant-2`" in told.err) == (3, True)
    terminal = Typing(fresh, "init", *words, "--tool", "fs__read")
    terminal.until("Enter to go on: ")
    terminal.answer("")
    assert "is known with other tools" in terminal.until("Its name:")
    terminal.answer("No Name")
    terminal.until("Its name:")
    terminal.answer("")
    assert "Agent assistant-2" in terminal.until("[y/N]")
    terminal.answer("y")
    terminal.until("The code:")
    terminal.answer(fresh.code())
    assert terminal.end() == 0, terminal.seen
    assert "taskbound run --agent assistant-2 --template assistant-2 -- COMMAND" in terminal.seen
    rows = fresh("template", "list", "--json").document["rows"]
    assert [one for one in rows if one["name"] == "default"] == before, "no template is replaced"
    assert sorted(one["name"] for one in rows) == ["assistant-2", "default"]


def test_a_template_of_another_scope_is_never_replaced(fresh: Installation) -> None:
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    words = ("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}")
    assert fresh(*words).status == 0
    put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    told = fresh(*words, "--tool", "fs__read", "--agent", "reader", "--template", "default")
    assert (told.status, "[other-than-chosen]" in told.err) == (3, True)
    assert "`--template default-2`" in told.err


def test_a_no_at_the_end_changes_nothing(fresh: Installation) -> None:
    config = put(fresh, ".cursor/mcp.json", fs=entry(fresh))
    before = config.read_bytes()
    terminal = Typing(fresh, "init", "--no-root")
    for _ in range(2):
        terminal.until("Enter to go on:")
        terminal.answer("")
    terminal.until("[y/N]")
    terminal.answer("")
    assert terminal.end() == 3
    assert config.read_bytes() == before
    assert not fresh.home.exists()


def test_a_changed_file_is_put_back_only_with_a_yes(fresh: Installation) -> None:
    config = put(fresh, ".claude.json", fs=entry(fresh))
    assert fresh("init", "--yes", "--no-root", "--monitor", f"file:{fresh.monitor}").status == 0
    changed = (
        config.read_text(encoding="utf-8").replace("[1, 2]", "[3]").replace('"more"', '"since": 1, "more"')
    )
    config.write_text(changed, encoding="utf-8")
    refused = fresh("init", "--undo")
    assert (refused.status, "changed since" in refused.err) == (2, True)
    assert fresh("init", "--undo", "--yes").status == 0
    document = json.loads(config.read_text(encoding="utf-8"))
    assert document["since"] == 1
    assert document["mcpServers"] == {"fs": entry(fresh)}
