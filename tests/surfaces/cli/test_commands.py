from __future__ import annotations

import json
import os
import pwd
import stat
from pathlib import Path

import pytest

from tests.conformance.places import everything
from tests.surfaces.cli.installation import READ, TOOLS, Installation, Typing


def test_people_are_added_and_listed(place: Installation) -> None:
    assert place("person", "add", "bob", "--uid", "12345").status == 0
    rows = place("person", "list", "--json").document["rows"]
    assert {(one["name"], one["uid"]) for one in rows} >= {
        ("alice", place.root.stat().st_uid),
        ("bob", 12345),
    }
    assert "peer-uid (unproven)" in place("person", "list").out
    again = place("person", "add", "bob", "--uid", "12345")
    assert (again.status, "[identity-exists]" in again.err) == (3, True)


def test_an_agent_is_shown_with_those_who_answer_for_it(place: Installation) -> None:
    shown = place("agent", "show", "helper").out
    assert "state           active" in shown
    assert "owner           alice" in shown
    assert "may call `fs__read`" in shown
    assert place("agent", "show", "helper", "--json").document["lacks"] == []
    assert "helper" in place("agent", "list").out
    unknown = place("agent", "show", "nobody")
    assert (unknown.status, "[unknown-identity]" in unknown.err) == (3, True)


def test_a_wrong_code_activates_nothing(place: Installation) -> None:
    ceiling = place.scope({"tool": "fs__read", "others": "any"})
    words = ("--owner", "alice", "--approver", "alice", "--monitor", f"file:{place.monitor}")
    assert place("agent", "register", "second", *words, "--ceiling", ceiling).status == 0
    first = place("agent", "activate", "second", "--json")
    assert first.document["is"] == "done"
    wrong = place("agent", "activate", "second", "--code", "0000-0000")
    assert (wrong.status, "[wrong-monitor-code]" in wrong.err) == (3, True)
    assert place("agent", "show", "second", "--json").document["state"] == "registered"
    place("agent", "activate", "second")
    done = place("agent", "activate", "second", "--code", place.code(), "--json")
    assert done.document["state"] == "active"
    assert place("agent", "suspend", "second", "--yes", "--reason", "test").status == 0
    assert place("agent", "show", "second", "--json").document["state"] == "suspended"


def test_the_code_is_typed_back_in_a_terminal(place: Installation) -> None:
    ceiling = place.scope({"tool": "fs__read", "others": "any"})
    words = ("--owner", "alice", "--approver", "alice", "--monitor", f"file:{place.monitor}")
    assert place("agent", "register", "typed", *words, "--ceiling", ceiling).status == 0
    terminal = Typing(place, "agent", "activate", "typed")
    terminal.until("The code that the monitor received:")
    terminal.answer(place.code())
    assert terminal.end() == 0, terminal.seen
    assert place("agent", "show", "typed", "--json").document["state"] == "active"


def test_a_task_lives_from_start_to_end(place: Installation) -> None:
    task = place.start_task("look at it")
    assert "purpose      look at it" in place("task", "show", task).out
    assert place("task", "pause", task, "--reason", "odd").status == 0
    assert place("task", "show", task, "--json").document["row"]["state"] == "paused"
    assert place("task", "resume", task).status == 0
    assert task in place("task", "list", "--state", "running").out
    assert place("task", "end", task, "--yes").status == 0
    again = place("task", "end", task, "--yes")
    assert (again.status, "ended already" in again.out) == (0, True)
    assert place("task", "list", "--state", "running", "--agent", "helper").out.startswith("no tasks")


def test_ending_a_task_in_a_terminal_asks_first(place: Installation) -> None:
    task = place.start_task()
    terminal = Typing(place, "task", "end", task)
    terminal.until("[y/N]")
    terminal.answer("n")
    assert terminal.end() == 3
    assert place("task", "show", task, "--json").document["row"]["state"] == "running"
    terminal = Typing(place, "task", "end", task, "--how", "revoked")
    terminal.until("[y/N]")
    terminal.answer("y")
    assert terminal.end() == 0
    assert place("task", "show", task, "--json").document["row"]["state"] == "revoked"


def test_tasks_come_in_pages(place: Installation) -> None:
    some = [place.start_task(f"page {number}") for number in range(3)]
    page = place("task", "list", "--limit", "2", "--json").document
    assert (len(page["rows"]), page["more"]) == (2, True)
    first = place("task", "list", "--limit", "1")
    assert f"--before {some[-1]}" in first.err
    rest = place("task", "list", "--before", some[-1], "--json").document
    assert [one["task"] for one in rest["rows"][:2]] == [some[1], some[0]]
    for task in some:
        place("task", "end", task, "--yes")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--scope", "x", "--template", "y"), "not both"),
        ((), "no scope"),
        (("--scope", "/none", "--purpose", "x"), "can't be read"),
        (("--template", "none", "--purpose", "x"), "no template is named `none`"),
        (("--template", "none"), "no purpose"),
    ],
)
def test_a_task_that_is_not_declared_wholly_is_refused(
    place: Installation, words: tuple[str, ...], part: str
) -> None:
    ended = place("task", "start", "--agent", "helper", *words)
    assert ended.status in {2, 3, 4}
    assert part in ended.err


def test_a_scope_outside_of_the_ceiling_is_refused(place: Installation) -> None:
    scope = place.scope({"tool": "fs__format", "others": "any"})
    ended = place("task", "start", "--agent", "helper", "--scope", scope, "--purpose", "x")
    assert ended.status == 3


def test_a_template_is_saved_used_and_removed(place: Installation) -> None:
    scope = place.scope({"tool": "fs__read", "others": "any", "uses": 3})
    saved = place("template", "save", "reading", "--scope", scope, "--for", "2h", "--purpose", "read it")
    assert saved.status == 0
    listed = place("template", "list").out
    assert "for      2h" in listed
    assert "up to 3 times" in listed
    task = place("task", "start", "--agent", "helper", "--template", "reading", "--json").document
    assert task["row"]["purpose"] == "read it"
    assert task["row"]["deadline"] - task["row"]["started"] == 7200 * 1_000_000
    assert task["remainders"] == [["g0/uses", 3, 3]]
    place("task", "end", task["row"]["task"], "--yes")
    assert place("template", "remove", "reading", "--yes").status == 0
    assert place("template", "list").out.startswith("no templates")


def test_the_defaults_of_the_settings_are_used(place: Installation) -> None:
    place("template", "save", "usual", "--scope", place.scope(), "--purpose", "as usual")
    environ = {"TASKBOUND_AGENT": "helper", "TASKBOUND_TEMPLATE": "usual"}
    task = place("task", "start", "--json", **environ).document["row"]
    assert (task["agent"], task["purpose"]) == ("helper", "as usual")
    place("task", "end", task["task"], "--yes")


def test_a_pinned_server_is_listed_without_the_values_of_its_variables(place: Installation) -> None:
    words = ("upstream", "add", "second", "--env", "TOKEN=s3cret", "--", *place.server)
    added = place(*words)
    assert added.status == 0, added
    assert "second__read" in added.out
    for out in (place("upstream", "list").out, place("upstream", "list", "--json").out):
        assert "TOKEN" in out
        assert "s3cret" not in out
    assert place("upstream", "remove", "second", "--yes").status == 0
    assert "second" not in place("upstream", "list").out


def test_a_server_behind_a_url_is_pinned_and_listed(place: Installation) -> None:
    with everything() as url:
        odd = url.replace("http", "HTTP")
        added = place("upstream", "add", "all", "--url", odd, "--header", "X-A=b")
        assert added.status == 0, added
        assert f"all is pinned: {url} (MCP 2026-07-28)" in added.out
        assert "all__test_simple_text" in added.out
    (row,) = (
        one for one in place("upstream", "list", "--json").document["rows"] if one["spec"]["name"] == "all"
    )
    assert (row["spec"]["url"], row["spec"]["headers"]) == (url, [["x-a", "b"]])
    assert url in place("upstream", "list").out
    assert place("upstream", "remove", "all", "--yes").status == 0


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ((), 2, "bad-input"),
        (("--url", "https://mcp.example.com/", "--", "server"), 2, "bad-input"),
        (("--url", "https://mcp.example.com/", "--env", "A=1"), 2, "bad-input"),
        (("--header", "A=1", "--", "server"), 2, "bad-input"),
        (("--url", "https://mcp.example.com/", "--limit", "cpu=1"), 2, "bad-input"),
        (("--url", "http://mcp.example.com/"), 2, "bad-url"),
        (("--url", "https://a:b@mcp.example.com/"), 2, "bad-url"),
        (("--url", "https://mcp.example.com/", "--header", "Authorization=Bearer a"), 2, "bad-header"),
        (("--url", "https://mcp.example.com/", "--key", "a"), 2, "bad-server"),
        (("--url", "https://mcp.example.com/", "--ca", "/no/such/file"), 2, "no-such-command"),
        (("--url", "http://127.0.0.1:1/"), 4, "start-failed"),
    ],
)
def test_a_url_that_can_not_be_pinned_says_why(
    words: tuple[str, ...], status: int, code: str, place: Installation
) -> None:
    ended = place("upstream", "add", "third", *words)
    assert (ended.status, f"[{code}]" in ended.err) == (status, True), ended.err


def test_a_server_that_can_not_be_pinned_says_what_would(place: Installation) -> None:
    ended = place("upstream", "add", "third", "--", "no-such-server-anywhere")
    assert (ended.status, "[no-such-command]" in ended.err) == (2, True)


def test_the_kill_switch_stops_and_lifts(place: Installation) -> None:
    assert place("stop", "--reason", "test", "--json").document["is"] == "done"
    try:
        refused = place("task", "start", "--agent", "helper", "--scope", place.scope(), "--purpose", "x")
        assert (refused.status, "[stopped]" in refused.err) == (3, True)
        assert "everything is stopped" in place("doctor").out
        assert place("stop").out == "stopped: nothing is permitted any more\n"
    finally:
        assert place("stop", "--lift", "--yes").status == 0
    place("task", "end", place.start_task(), "--yes")


def test_doctor_is_healthy_and_says_what_is_not_contained(place: Installation) -> None:
    report = place("doctor", "--json").document
    levels = {one["name"]: one["level"] for one in report["findings"]}
    assert report["healthy"] is True
    assert levels["home"] == levels["signer"] == levels["store"] == "ok"
    assert report["policy"]["digest"] == report["policy"]["base"] != ""
    (rules,) = [one["text"] for one in report["findings"] if one["about"] == "policy"]
    assert rules == f"bundle {report['policy']['base']}, the rules that come with Taskbound"
    assert levels["inside-run"] == "warn"
    assert levels["same-account"] == levels["signer-account"] == levels["unproven-identity"] == "warn"
    assert "bad" not in levels.values()


def test_doctor_calls_accounts_by_their_names(place: Installation) -> None:
    found = {one["name"]: one["text"] for one in place("doctor", "--json").document["findings"]}
    assert f"your own account, `{pwd.getpwuid(os.geteuid()).pw_name}`, and so does" in found["same-account"]


def test_doctor_says_whose_a_data_directory_is_that_is_not_ones_own(place: Installation) -> None:
    if os.geteuid() == 0:
        place.home.chmod(0o755)
        os.chown(place.home, 65534, 65534)
    try:
        ended = place("doctor", "--json", **({} if os.geteuid() == 0 else {"TASKBOUND_HOME": "/usr"}))
    finally:
        if os.geteuid() == 0:
            os.chown(place.home, 0, 0)
            place.home.chmod(0o700)
    owner = pwd.getpwuid(65534 if os.geteuid() == 0 else 0).pw_name
    texts = [one["text"] for one in json.loads(ended.out)["findings"] if one["name"] == "home"]
    assert texts == [f"the data directory is not yours: it belongs to `{owner}`"]


def test_doctor_finds_a_data_directory_that_is_open_to_others(place: Installation) -> None:
    place.home.chmod(0o755)
    try:
        ended = place("doctor", "--json")
    finally:
        place.home.chmod(0o700)
    assert ended.status == 1
    findings = json.loads(ended.out)["findings"]
    assert [one["name"] for one in findings if one["level"] == "bad"] == ["home", "daemon"]


def test_the_log_is_exported_and_verified_offline(place: Installation, tmp_path: Path) -> None:
    place("task", "end", place.start_task("audit me"), "--yes")
    path = str(tmp_path / "log.jsonl")
    exported = place("audit", "export", "-o", path, "--json").document
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    key = tmp_path / "log.vkey"
    key.write_text(exported["key"] + "\n", encoding="utf-8")
    checked = place("audit", "verify", path, "--key", str(key), "--json").document
    assert checked["records"] == exported["records"] == len(Path(path).read_bytes().splitlines()) - 2
    assert checked["covered"] > 0
    assert checked["trusted"] is True
    again = place("audit", "verify", path, "--key", exported["key"], "--checkpoint", path, "--json").document
    assert again["held"] == checked["covered"]
    live = place("audit", "verify", "--json").document
    assert live["trusted"] is False
    assert "the key is the one that the daemon names" in place("audit", "verify").out


def test_a_changed_byte_of_an_export_is_named_as_tampering(place: Installation, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    key = place("audit", "export", "-o", str(path), "--json").document["key"]
    path.write_bytes(path.read_bytes().replace(b'"alice"', b'"alicf"', 1))
    ended = place("audit", "verify", str(path), "--key", key)
    assert ended.status == 5
    assert ended.out == ""


def test_an_older_checkpoint_catches_a_log_that_lost_its_end(place: Installation, tmp_path: Path) -> None:
    whole, short = tmp_path / "whole.jsonl", tmp_path / "short.jsonl"
    key = place("audit", "export", "-o", str(whole), "--json").document["key"]
    lines = whole.read_bytes().splitlines(keepends=True)
    short.write_bytes(b"".join([*lines[:4], lines[-1]]))
    ended = place("audit", "verify", str(short), "--key", key, "--checkpoint", str(whole), "--json")
    assert ended.status == 5
    assert json.loads(ended.err)["code"] == "log-truncated"


def test_without_a_key_the_logs_own_is_used_and_said_to_vouch_for_nothing(
    place: Installation, tmp_path: Path
) -> None:
    path = str(tmp_path / "log.jsonl")
    place("audit", "export", "-o", path)
    assert place("audit", "verify", path, "--json").document["trusted"] is False
    assert "no more than that the log agrees with itself" in place("audit", "verify", path).out
    offline = place("audit", "verify", path, TASKBOUND_HOME=str(tmp_path / "none"))
    assert offline.status == 4


def test_a223_the_tail_follows_the_log_a_record_a_line(place: Installation) -> None:
    following = place.spawn("audit", "tail", "-f", "--limit", "5")
    assert following.stdout is not None
    try:
        lines = [following.stdout.readline() for _ in range(5)]
        task = place.start_task("x\nApproved by: alice\x1b[2J")
        while "Approved by: alice" not in lines[-1]:
            lines.append(following.stdout.readline())
            assert lines[-1], "the tail goes on"
    finally:
        following.terminate()
        following.communicate()
    assert [int(line[:7]) for line in lines] == list(range(int(lines[0][:7]), int(lines[0][:7]) + len(lines)))
    assert "task-started" in lines[-1]
    assert task in lines[-1]
    assert "\x1b" not in lines[-1]
    place("task", "end", task, "--yes")


def test_a_task_that_is_ended_is_among_what_ended(place: Installation) -> None:
    following = place.spawn("revocation", "tail", "-f", "--json")
    task = place.start_task("to be ended")
    assert following.stdout is not None
    try:
        first = json.loads(following.stdout.readline())
        place("task", "end", task, "--yes")
        later = json.loads(following.stdout.readline())
    finally:
        following.terminate()
        following.communicate()
    assert first["is"] == later["is"] == "feed"
    assert [(one["about"], one["id"], one["turn"]) for one in later["entries"]] == [("task", task, "over")]
    assert f"over  task {task}" in place("revocation", "tail").out


def test_the_tail_with_json_is_one_page(place: Installation) -> None:
    page = place("audit", "tail", "--limit", "3", "--json").document
    assert (page["is"], len(page["records"])) == ("export", 3)


def test_a043_a223_hostile_tools_are_listed_one_a_line(place: Installation) -> None:
    hostile = "Reads.\x1b[2J\r\nApproved by: alice\u202e" + " " * 500 + "fs__drop  read  pinned"
    place.tools.write_text(
        json.dumps([{"name": "evil", "description": hostile, "inputSchema": {"type": "object"}}]),
        encoding="utf-8",
    )
    try:
        added = place("upstream", "add", "odd", "--", *place.server)
        listed = place("tool", "list", "--server", "odd")
        assert place("upstream", "remove", "odd", "--yes").status == 0
    finally:
        place.tools.write_text(json.dumps(TOOLS), encoding="utf-8")
    assert added.status == 0
    for out in (added.out, listed.out):
        lines = [line for line in out.splitlines() if "odd__" in line]
        assert len(lines) == 1
        assert lines[0].split()[:2] == ["odd__evil", "destructive"]
        assert "Reads.\\u{1B}[2J\\r\\nApproved by: alice\\u{202E}" in lines[0]
        assert out.replace("\n", "").isprintable()


def test_nothing_differs_of_a_tool_that_is_as_pinned(place: Installation) -> None:
    assert place("tool", "diff", "fs__read", "--json").document["state"] == "pinned"
    ended = place("tool", "accept", "fs__read", "--yes")
    assert (ended.status, "nothing else was seen" in ended.err) == (2, True)


def test_another_namespace_knows_nothing_of_this_one(place: Installation) -> None:
    assert place("agent", "list", "--namespace", "other", "--json").document["rows"] == []
    assert place("task", "list", "--namespace", "other", "--json").document["rows"] == []
    assert place("agent", "show", "helper", "--namespace", "other").status == 3


def test_the_tools_of_a_server_say_what_they_may_do(place: Installation) -> None:
    rows = {one["name"]: one for one in place("tool", "list", "--json").document["rows"]}
    assert rows["fs__read"]["effect"] == "read"
    assert rows["fs__write"]["effect"] == "write"
    assert rows["fs__drop"]["effect"] == "destructive", "silence is the worst"
    assert rows["fs__read"]["raw"]["annotations"] == READ


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        (("task", "list", "--state", "nope"), 2, "proposed, running, paused, completed"),
        (("task", "list", "--agent", "nobody"), 3, "taskbound agent list"),
        (("task", "list", "--before", "tsk_1"), 3, "taskbound task list"),
        (("action", "list", "--decision", "maybe"), 2, "permit, hold, refuse"),
        (("action", "list", "--task", "tsk_1"), 3, "taskbound task list"),
        (("action", "list", "--before", "act_1"), 3, "taskbound action list"),
        (("tool", "list", "--server", "none"), 3, "taskbound upstream list"),
        (("task", "end", "tsk_1", "--how", "badly", "--yes"), 2, "completed, failed, cancelled, revoked"),
        (("tool", "diff", "fs__none"), 3, "taskbound tool list"),
        (("tool", "accept", "fs__none", "--yes"), 3, "taskbound tool list"),
        (("tool", "accept", "fs__read", "--yes"), 2, "taskbound upstream test"),
    ],
)
def test_a_word_that_names_nothing_is_an_error_that_leads_to_those_that_do(
    place: Installation, words: tuple[str, ...], status: int, part: str
) -> None:
    ended = place(*words)
    assert (ended.status, ended.out) == (status, "")
    assert part in ended.err.partition("what to do: ")[2]


def test_a_list_that_is_narrowed_to_nothing_does_not_say_that_there_is_nothing(place: Installation) -> None:
    assert place("task", "list", "--state", "proposed").out == "no tasks like that\n"
    assert place("action", "list", "--decision", "hold").out == "no actions like that\n"


def test_a_task_is_named_as_a_narrow_window_shows_it(place: Installation) -> None:
    other, task = place.start_task("made together"), place.start_task("and named alone")
    short = f"tsk_~{task[-8:]}"
    for told in (short, f"tsk_…{task[-9:]}"):
        assert place("task", "show", told, "--json").document["row"]["task"] == task
    assert place("action", "list", "--task", short).status == 0
    assert place("task", "pause", short, "--yes").status == 0
    assert place("task", "resume", short, "--yes").status == 0
    assert place("task", "end", short, "--yes").status == 0
    assert place("task", "show", task, "--json").document["row"]["state"] == "completed"
    assert place("task", "show", other, "--json").document["row"]["state"] == "running"
    terminal = Typing(place, "task", "list", "--limit", "2", width=80)
    assert terminal.end() == 0
    assert short in terminal.seen, "what is shown is what can be typed"
    place("task", "end", other, "--yes")


@pytest.mark.parametrize(
    "words", [("task", "end", "tsk_~aaaaaaaa", "--yes"), ("action", "show", "act_~aaaaaaaa")]
)
def test_an_end_that_nothing_has_is_refused(place: Installation, words: tuple[str, ...]) -> None:
    ended = place(*words)
    assert (ended.status, "ends with" in ended.err) == (2, True)


@pytest.mark.parametrize("words", [("audit", "export", "-o", "log.jsonl"), ("audit", "verify")])
def test_without_a_reachable_signer_the_log_s_key_is_unavailable_and_not_malformed(
    fresh: Installation, words: tuple[str, ...]
) -> None:
    (fresh.home / "signer").mkdir(parents=True)
    fresh.home.chmod(0o700)
    (fresh.home / "signer").chmod(0o755)  # its key would be exposed: it does not start
    ended = fresh(*words)
    assert ended.status == 4
    assert "[signer-unavailable]" in ended.err
    assert "taskbound doctor" in ended.err
    assert not (fresh.project / "log.jsonl").exists()
    found = {one["name"]: one["text"] for one in json.loads(fresh("doctor", "--json").out)["findings"]}
    assert found["signer"].startswith("the signer does not start: ")


def test_a_file_that_is_wrong_is_shown_with_a_caret_and_nothing_of_it_reaches_the_terminal(
    place: Installation,
) -> None:
    path = place.root / "scope.yaml"
    path.write_text(
        "grants:\n  - tool: fs__read\n    arguments: {path: {below: relative}}\n", encoding="utf-8"
    )
    words = ("task", "start", "--agent", "helper", "--purpose", "look", "--scope", str(path))
    told = place(*words)
    assert (told.status, told.out) == (2, "")
    assert f"(at `{path}:3:24`) [scope-syntax]" in told.err
    _, line, caret, advice = told.err.splitlines()  # and none of what a traceback would say
    assert advice.startswith("what to do: ")
    assert line[caret.index("^") :].startswith("below")
    document = json.loads(place(*words, "--json").err)
    assert (document["code"], document["where"]) == ("scope-syntax", f"{path}:3:24")
    path.write_bytes(b"grants:\n  - tool: \x1b[2Jfs__read\n")
    told = place(*words)
    assert told.status == 2
    assert told.err.isascii()
    assert told.err.replace("\n", "").isprintable()
    path.write_text('grants:\n  - tool: fs__read\n    arguments: {path: {below: "/"}}\n', encoding="utf-8")
    assert place(*words).status == 0
