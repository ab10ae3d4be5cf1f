from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.approval.disk import DiskOperands
from taskbound.core.approval import (
    Lookup,
    OperandOutsideError,
    OperandUnreadableError,
    differing,
    parse_probe,
)

if TYPE_CHECKING:
    from taskbound.core.approval import Operand

OUTSIDE, UNREADABLE = OperandOutsideError, OperandUnreadableError
DISK = DiskOperands()


def said(operand: Operand) -> dict[str, str]:
    return dict(operand.found)


def git(folder: Path, *words: str) -> str:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip  # pairs side by side
    done = subprocess.run(  # the real git, which says what is right
        ["git", "-C", str(folder), *words],  # as people call it
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip  # one line of options
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("git") / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    git(folder, "tag", "v1")
    git(folder, "tag", "-a", "v2", "-m", "two")
    git(folder, "pack-refs", "--all")
    git(folder, "commit", "-q", "--allow-empty", "-m", "two")
    git(folder, "branch", "topic/deep")
    return folder


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)  # with links as they are
    return folder


def revision(repo: Path, name: str, *, folder: Path | None = None) -> Operand:
    probe = parse_probe(f"rev=revision:repo:{folder or repo}")
    (found,) = DISK.look([Lookup(place="/rev", probe=probe, value=name, directory="/", repository=str(repo))])
    return found


@pytest.mark.parametrize("name", ["main", "HEAD", "refs/heads/main", "heads/main", "v1", "v2", "topic/deep"])
def test_a_ref_names_the_object_that_git_says(repo: Path, name: str) -> None:
    found = said(revision(repo, name))
    assert found["object"] == git(repo, "rev-parse", name)
    assert found["path"] == os.path.realpath(repo / ".git")
    assert found["ref"].startswith("refs/")


def test_a_whole_id_names_itself(repo: Path) -> None:
    commit = git(repo, "rev-parse", "main")
    assert said(revision(repo, commit)) == {
        "object": commit, "path": os.path.realpath(repo / ".git"), "ref": "",
    }  # fmt: skip  # three pairs


def test_a_ref_that_moved_is_another_operand_and_a_commit_elsewhere_is_not(repo: Path) -> None:
    before = revision(repo, "main")
    git(repo, "checkout", "-q", "topic/deep")
    git(repo, "commit", "-q", "--allow-empty", "-m", "elsewhere")
    assert differing([before], [revision(repo, "main")]) == ""
    git(repo, "checkout", "-q", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "three")
    assert differing([before], [revision(repo, "main")]) == "the object behind `/rev`"


def test_what_head_stands_for_is_part_of_what_it_is(repo: Path) -> None:
    before = revision(repo, "HEAD")
    git(repo, "checkout", "-q", "topic/deep")
    assert differing([before], [revision(repo, "HEAD")]) == "the ref behind `/rev`"


@pytest.mark.parametrize(
    "name",
    [
        "-x", "--upload-pack=touch x", "main~1", "main^", "main^{tree}", "main@{1}", "@", "@{u}", ":/one",
        "main:a", "main..v1", "../main", "refs/../HEAD", "refs/heads/../../HEAD", "main.lock", "refs/heads/",
        "/refs/heads/main", "config", "FETCH_HEAD", "index", "refs/heads/.hidden", "ma in",
        "main\n", "main\0",
        "*", "ma?n", "m\\ain", "refs", "refs/heads", "topic", "nothing", "x" * 300, "mäin",
        "git rev-parse", "`id`", "$(id)",
    ],
)  # fmt: skip  # names side by side
def test_what_is_no_plain_name_of_one_ref_is_refused(repo: Path, name: str) -> None:
    with pytest.raises(UNREADABLE):
        revision(repo, name)


def test_a_name_of_two_refs_is_refused_and_whole_names_of_each_are_not(repo: Path) -> None:
    git(repo, "branch", "v1", "main")
    with pytest.raises(UNREADABLE, match="refs/tags/v1 and refs/heads/v1"):
        revision(repo, "v1")
    assert said(revision(repo, "refs/heads/v1"))["object"] == git(repo, "rev-parse", "refs/heads/v1")
    assert said(revision(repo, "tags/v1"))["object"] == git(repo, "rev-parse", "refs/tags/v1")


@pytest.mark.parametrize(
    "content",
    ["ref: ../../../secret", "ref: HEAD", "ref: refs/heads/loop", "", "nonsense", "ref: refs/heads/none"],
)
def test_a_ref_that_leads_nowhere_or_around_is_refused(repo: Path, content: str) -> None:
    (repo / ".git/refs/heads/loop").write_text(content)
    with pytest.raises(UNREADABLE):
        revision(repo, "loop")
    (repo / ".git/refs/heads/loop").write_text("ref: refs/heads/main\n")
    assert said(revision(repo, "loop"))["ref"] == "refs/heads/main"


def test_git_is_not_run_whatever_the_repository_configures(repo: Path) -> None:
    (repo / ".git/config").write_text(
        "[core]\n\trepositoryformatversion = 1\n\tfsmonitor = touch ran\n\tsshCommand = touch ran\n"
        '[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = ext::touch ran\n'
        "\tpromisor = true\n"
    )
    (repo / ".git/refs/heads/absent").write_text("1" * 40 + "\n")
    assert said(revision(repo, "absent"))["object"] == "1" * 40
    assert not (repo / "ran").exists()


def test_a_bare_repository_is_read_and_a_work_tree_beside_its_own_is_refused(
    repo: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repo), str(tmp_path / "bare.git"))
    assert said(revision(tmp_path / "bare.git", "main"))["object"] == git(repo, "rev-parse", "main")
    git(repo, "worktree", "add", "-q", str(tmp_path / "beside"), "topic/deep")
    for folder in (tmp_path / "beside", repo / ".git/worktrees/beside"):
        with pytest.raises(UNREADABLE):
            revision(folder, "topic/deep", folder=tmp_path)


def test_a_repository_is_beneath_the_declared_folder_and_so_are_its_refs(repo: Path, tmp_path: Path) -> None:
    assert revision(repo, "main", folder=tmp_path) == revision(repo, "main")
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(OUTSIDE):
        revision(repo, "main", folder=inner)
    (inner / "link").symlink_to(repo)
    with pytest.raises(OUTSIDE):
        revision(inner / "link", "main", folder=inner)
    (repo / ".git/refs/heads/out").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("2" * 40)
    with pytest.raises(OUTSIDE):
        revision(repo, "out")
    assert said(revision(repo, "out", folder=tmp_path))["object"] == "2" * 40


def test_where_there_is_no_repository_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UNREADABLE, match="no git repository"):
        revision(tmp_path, "main")
