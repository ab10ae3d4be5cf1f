from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from taskbound.adapters.upstream.mcp.digest import hash_file, require_pinned
from taskbound.adapters.upstream.mcp.errors import (
    FloatingVersionError,
    NoSuchCommandError,
    NoSuchModuleError,
    ServerChangedError,
    UnpinnableError,
)
from taskbound.adapters.upstream.mcp.pin import Resolved, resolve_command
from taskbound.adapters.upstream.mcp.probe import pin_server
from taskbound.core.tool import BadServerError, BadServerNameError
from taskbound.wire.tool import identity_of

PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def resolve(directory: Path, *command: str, path: str = PATH) -> Resolved:
    return resolve_command(command[0], command[1:], environment={"PATH": path}, directory=str(directory))


def sha(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_name_is_found_in_path_and_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    server = script(tmp_path / "bin" / "server", "#!/bin/sh\n")
    by_name = resolve(tmp_path, "server", path=f"relative:{tmp_path}/bin:/usr/bin")
    by_path = resolve(tmp_path, "bin/server")
    assert by_name == by_path
    assert by_name.command == by_name.resolved == str(server)
    assert by_name.sha256 == sha(server)


def test_an_entry_of_path_that_is_not_absolute_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "server", "#!/bin/sh\n")
    monkeypatch.chdir(tmp_path)
    for path in ("", ".", "bin", ":"):
        with pytest.raises(NoSuchCommandError):
            resolve(tmp_path, "server", path=path)


@pytest.mark.parametrize("name", ["nothing", "./nothing", "/nothing/at/all", "~nobody-of-this-name/x", ""])
def test_a_program_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NoSuchCommandError):
        resolve(tmp_path, name)


def test_a_file_that_can_not_be_run_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "server").write_text("x", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    for name in ("./server", "./folder"):
        with pytest.raises(NoSuchCommandError):
            resolve(tmp_path, name)


def test_the_last_link_is_kept_and_where_it_leads_is_pinned(tmp_path: Path) -> None:
    real = script(tmp_path / "real" / "server", "#!/bin/sh\n")
    (tmp_path / "current").symlink_to(tmp_path / "real")
    link = tmp_path / "real" / "link"
    link.symlink_to(real)
    found = resolve(tmp_path, "current/link")
    assert found.command == str(link)
    assert found.resolved == str(real)


def test_a_virtual_environment_keeps_its_own_python(tmp_path: Path) -> None:
    server = script(tmp_path / "server.py", "")
    found = resolve(tmp_path, sys.executable, "server.py", "--x")
    assert found.command == sys.executable
    assert found.resolved == str(Path(sys.executable).resolve())
    assert found.arguments == (str(server), "--x")
    assert found.files == ((str(server), sha(server)),)


def test_a_script_is_pinned_with_its_interpreter(tmp_path: Path) -> None:
    interpreter = tmp_path / "my-sh"
    interpreter.symlink_to("/bin/sh")
    server = script(tmp_path / "server", f"#!{interpreter} -e\n")
    found = resolve(tmp_path, "./server")
    assert found.command == str(server)
    assert found.files == ((str(interpreter), sha("/bin/sh")),)


def test_a_program_that_env_would_find_is_found_now_and_named_from_then_on(tmp_path: Path) -> None:
    mine = script(tmp_path / "bin" / "mysh", "#!/bin/sh\n")
    server = script(tmp_path / "server", "#!/usr/bin/env mysh\n")
    found = resolve(tmp_path, "./server", "--x", path=f"{tmp_path}/bin:/usr/bin")
    assert found.command == str(mine)
    assert found.arguments == (str(server), "--x")
    assert dict(found.files) == {str(server): sha(server), "/bin/sh": sha("/bin/sh")}


def test_words_behind_env_s_are_arguments(tmp_path: Path) -> None:
    server = script(tmp_path / "server", "#!/usr/bin/env -S sh -e\n")
    found = resolve(tmp_path, "./server", "y")
    assert found.arguments == ("-e", str(server), "y")


@pytest.mark.parametrize(
    "first",
    [
        "#!",
        "#!\n",
        "#!relative\n",
        "#!/usr/bin/env\n",
        "#!/usr/bin/env A=1 sh\n",
        "#!/usr/bin/env -i sh\n",
        "#!" + "/x" * 200 + "\n",
    ],
)
def test_a_first_line_that_names_no_program_is_refused(first: str, tmp_path: Path) -> None:
    script(tmp_path / "server", first)
    with pytest.raises(UnpinnableError):
        resolve(tmp_path, "./server")


def test_scripts_of_scripts_end_somewhere(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        script(tmp_path / one, f"#!/usr/bin/env {other}\n")
    with pytest.raises(UnpinnableError):
        resolve(tmp_path, "./a", path=f"{tmp_path}:/usr/bin")
    script(tmp_path / "c", f"#!{tmp_path}/a\n")
    with pytest.raises(UnpinnableError):
        resolve(tmp_path, "./c", path=f"{tmp_path}:/usr/bin")


def test_a_module_is_pinned_by_the_file_that_the_interpreter_runs(tmp_path: Path) -> None:
    package = script(tmp_path / "served" / "__main__.py", "")
    script(tmp_path / "served" / "__init__.py", "raise SystemExit('must not run')")
    found = resolve(tmp_path, sys.executable, "-m", "served", "--x")
    assert found.files == ((str(package), sha(package)),)
    assert found.arguments == ("-m", "served", "--x")


def test_a_module_says_its_version_as_far_as_it_is_known(tmp_path: Path) -> None:
    found = resolve(tmp_path, sys.executable, "-m", "mcp_server_git")
    assert found.lock.startswith("mcp-server-git ")


def test_a_console_script_is_pinned_with_the_module_that_it_runs(tmp_path: Path) -> None:
    console = Path(sys.executable).with_name("mcp-server-git")
    found = resolve(tmp_path, str(console))
    assert found.lock.startswith("mcp-server-git ")
    assert any(path.endswith("mcp_server_git/__init__.py") for path, _ in found.files)


@pytest.mark.parametrize("module", ["no_such_module", "json", "", "../x"])
def test_a_module_that_can_not_be_run_is_refused(module: str, tmp_path: Path) -> None:
    with pytest.raises(NoSuchModuleError):
        resolve(tmp_path, sys.executable, "-m", module)


def test_an_argument_that_is_a_script_is_pinned_and_one_that_is_data_is_not(tmp_path: Path) -> None:
    tool = script(tmp_path / "tool.js", "")
    script(tmp_path / "data.json", "{}")
    found = resolve(tmp_path, "/bin/ls", "tool.js", "data.json", "--config=tool.js")
    assert found.files == ((str(tool), sha(tool)),)
    assert found.arguments == (str(tool), "data.json", "--config=tool.js")


def test_a_link_among_scripts_is_written_out(tmp_path: Path) -> None:
    real = script(tmp_path / "real.py", "")
    (tmp_path / "link.py").symlink_to(real)
    found = resolve(tmp_path, sys.executable, str(tmp_path / "link.py"))
    assert found.arguments == (str(real),)


def test_a_project_run_by_uv_is_pinned_by_its_lock_file(tmp_path: Path) -> None:
    uv = script(tmp_path / "bin" / "uv", "#!/bin/sh\n")
    with pytest.raises(FloatingVersionError):
        resolve(tmp_path, str(uv), "run", "--frozen", "server")
    lock = tmp_path / "project" / "uv.lock"
    lock.parent.mkdir()
    lock.write_text("version = 1\n", encoding="utf-8")
    found = resolve(tmp_path, str(uv), "--directory", "project", "run", "--frozen", "server")
    assert (str(lock), sha(lock)) in found.files


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSuchCommandError):
        resolve(tmp_path / "nothing", "/bin/ls")


def test_only_regular_files_are_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "nothing", Path("/dev/null")):
        with pytest.raises(NoSuchCommandError):
            hash_file(path)


# --- the spec, and what is checked before a start -----------------------------------------------------------


def test_a170_a_pinned_server_is_refused_once_any_of_its_files_is_another(tmp_path: Path) -> None:
    interpreter, server = tmp_path / "my-sh", script(tmp_path / "server", f"#!{tmp_path}/my-sh\n")
    interpreter.symlink_to("/bin/sh")
    link = tmp_path / "link"
    link.symlink_to(server)
    spec = pin_server("x", [str(link)], environment={}, directory=str(tmp_path))
    identity = identity_of(spec, namespace="default")
    require_pinned(identity)
    text = server.read_text(encoding="utf-8")
    other = script(tmp_path / "other", text)

    def lead(one: Path, target: Path | str) -> None:
        one.unlink()
        one.symlink_to(target)

    for change, undo in (
        (lambda: script(server, f"{text}evil"), lambda: script(server, text)),
        (lambda: lead(link, other), lambda: lead(link, server)),
        (lambda: lead(interpreter, "/bin/ls"), lambda: lead(interpreter, "/bin/sh")),
        (lambda: server.rename(tmp_path / "moved"), lambda: script(server, text)),
    ):
        change()
        with pytest.raises(ServerChangedError):
            require_pinned(identity)
        undo()
        require_pinned(identity)


def test_a_spec_holds_what_was_declared_and_nothing_of_the_environment(tmp_path: Path) -> None:
    ours = {"PATH": PATH, "SECRET": "canary", "HOME": "/home/x"}
    spec = pin_server("x", ["sh", "y"], environment={"B": "2", "A": "1"}, directory=str(tmp_path), ours=ours)
    assert spec.environment == (("A", "1"), ("B", "2"))
    assert "canary" not in repr(spec)


def test_a_declared_path_is_the_one_that_is_searched(tmp_path: Path) -> None:
    mine = script(tmp_path / "bin" / "server", "#!/bin/sh\n")
    declared = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    spec = pin_server(
        "x", ["server"], environment=declared, directory=str(tmp_path), ours={"PATH": "/usr/bin"}
    )
    assert spec.command == str(mine)


def test_a_server_with_a_bad_name_or_a_loader_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadServerNameError):
        pin_server("A_b", ["sh"], environment={}, directory=str(tmp_path))
    with pytest.raises(BadServerError):
        pin_server("a", ["sh"], environment={"LD_PRELOAD": "/x.so"}, directory=str(tmp_path))
    with pytest.raises(NoSuchCommandError):
        pin_server("a", [], environment={}, directory=str(tmp_path))
