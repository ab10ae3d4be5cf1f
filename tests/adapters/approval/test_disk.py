from __future__ import annotations

import os
import socket
import subprocess
import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.approval.disk import DiskOperands
from taskbound.adapters.approval.disk.operands import MAX_BYTES
from taskbound.core.approval import (
    Look,
    OperandOutsideError,
    OperandUnreadableError,
    differing,
    parse_probe,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.approval import Operand

OUTSIDE, UNREADABLE = OperandOutsideError, OperandUnreadableError
DISK = DiskOperands()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bills"
    folder.mkdir()
    (folder / "a.txt").write_text("pay bob 10\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("pay eve 99\n")
    (tmp_path / "secret").write_text("secret")
    return folder


def look(root: Path, value: object, *, directory: str = "", disk: DiskOperands = DISK) -> Operand:
    probe = parse_probe(f"bill=file:{root}")
    (found,) = disk.look(
        [Look(place="/bill", probe=probe, value=str(value), directory=directory or str(root))]
    )
    return found


def said(operand: Operand) -> dict[str, str]:
    return dict(operand.found)


def test_a_file_is_its_content_its_resolved_path_and_its_inode(root: Path) -> None:
    state = (root / "a.txt").stat()
    assert said(look(root, root / "a.txt")) == {
        "device": str(state.st_dev),
        "inode": str(state.st_ino),
        "path": os.path.realpath(root / "a.txt"),
        "sha256": sha256(b"pay bob 10\n").hexdigest(),
        "size": "11",
    }


def test_a_relative_path_starts_where_the_server_runs(root: Path) -> None:
    whole = look(root, root / "sub/b.txt")
    assert look(root, "sub/b.txt") == whole
    assert look(root, "b.txt", directory=str(root / "sub")) == whole
    assert look(root, "../sub/./b.txt", directory=str(root / "sub")) == whole
    with pytest.raises(OUTSIDE):
        look(root, "b.txt", directory="/")


# --- out of the folder, each with a benign twin ------------------------------------------------------


@pytest.mark.parametrize(
    ("hostile", "benign"),
    [
        ("../secret", "sub/../a.txt"),
        ("sub/../../secret", "sub/../sub/b.txt"),
        ("sub/../../bills/a.txt", "sub/b.txt"),
        ("/etc/passwd", "a.txt"),
        ("{root}/../secret", "{root}/a.txt"),
        ("{root}-more/a.txt", "{root}/sub/b.txt"),
        ("/proc/self/environ", "{root}/./a.txt"),
        ("//{root}/a.txt", "{root}//a.txt"),
    ],
)
def test_no_path_leads_out_of_the_declared_folder(root: Path, hostile: str, benign: str) -> None:
    (root.parent / "bills-more").mkdir()
    (root.parent / "bills-more" / "a.txt").write_text("x")
    with pytest.raises(OUTSIDE):
        look(root, hostile.format(root=root))
    assert said(look(root, benign.format(root=root)))["path"].startswith(f"{os.path.realpath(root)}/")


@pytest.mark.parametrize(
    ("hostile", "benign"),
    [
        ("../secret", "a.txt"),
        ("{root}/../secret", "{root}/sub/b.txt"),
        ("/etc/passwd", "sub/b.txt"),
        ("sub/up", "sub/down"),
    ],
)
def test_no_link_leads_out_of_the_declared_folder(root: Path, hostile: str, benign: str) -> None:
    (root / "sub" / "up").symlink_to("../../secret")
    (root / "sub" / "down").symlink_to("../a.txt")
    for name, target in (("bad", hostile), ("good", benign)):
        (root / name).symlink_to(target.format(root=root))
    with pytest.raises(OUTSIDE):
        look(root, "bad")
    found = said(look(root, "good"))
    assert not Path(found["path"]).is_symlink(), "what is shown is where the link leads"


def test_a_folder_that_is_a_link_out_is_not_entered_and_one_that_stays_within_is(root: Path) -> None:
    (root / "out").symlink_to(root.parent)
    (root / "in").symlink_to("sub")
    with pytest.raises(OUTSIDE):
        look(root, "out/secret")
    assert look(root, "in/b.txt") == look(root, "sub/b.txt")
    with pytest.raises(OUTSIDE):
        look(root, "in/../../secret")
    (root / "deep").mkdir()
    (root / "deep" / "er").symlink_to("../sub")
    assert said(look(root, "deep/er/../a.txt"))["size"] == "11", "as the system reads it, not the text"


def test_links_that_go_in_circles_end(root: Path) -> None:
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    with pytest.raises(UNREADABLE, match="links"):
        look(root, "x")


def test_the_declared_folder_itself_may_be_a_link(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    found = look(root.parent / "alias", root.parent / "alias" / "a.txt")
    assert found == look(root, "a.txt")


def test_what_is_mounted_beneath_the_folder_is_not_entered(tmp_path: Path) -> None:
    for name in ("/proc/self/status", "/dev/null", "/proc/self/fd/0", "/sys/kernel/uevent_seqnum"):
        with pytest.raises((OUTSIDE, UNREADABLE)) as caught:
            look(Path("/"), name)
        assert "mounted" in str(caught.value) or "no plain file" in str(caught.value), name
    (tmp_path / "a").write_text("x")
    if (tmp_path.stat().st_dev, "/tmp") == (Path("/").stat().st_dev, "/tmp"):  # noqa: S108 -- a name to compare
        assert said(look(Path("/"), tmp_path / "a"))["size"] == "1"


def test_taskbound_s_own_folder_is_closed_and_one_beside_it_is_not(root: Path) -> None:
    disk = DiskOperands(closed=[root / "sub"])
    for way in ("sub/b.txt", "sub/../sub/b.txt"):
        with pytest.raises(OUTSIDE, match="itself"):
            look(root, way, disk=disk)
    with pytest.raises(OUTSIDE, match="itself"):
        look(root / "sub", "b.txt", directory=str(root / "sub"), disk=disk)
    assert look(root, "a.txt", disk=disk) == look(root, "a.txt")


# --- what is no plain file ---------------------------------------------------------------------------


def test_a_pipe_is_refused_and_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(UNREADABLE, match="plain file"):
        look(root, "pipe")


def test_sockets_and_folders_are_no_files(root: Path) -> None:
    here = Path.cwd()
    os.chdir(root)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("sock")
            with pytest.raises(UNREADABLE, match="plain file"):
                look(root, "sock")
    finally:
        os.chdir(here)
    for name in ("sub", ".", "sub/.."):
        with pytest.raises(UNREADABLE, match="plain file"):
            look(root, name)


def test_a_file_with_another_name_is_refused(root: Path) -> None:
    (root / "hard").hardlink_to(root.parent / "secret")
    with pytest.raises(UNREADABLE, match="other names"):
        look(root, "hard")
    (root.parent / "secret").unlink()
    assert said(look(root, "hard"))["size"] == "6"


def test_a_file_is_as_large_as_is_read_and_not_larger(root: Path) -> None:
    with (root / "huge").open("wb") as file:
        file.truncate(MAX_BYTES)
    assert said(look(root, "huge"))["size"] == str(MAX_BYTES)
    with (root / "huge").open("ab") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UNREADABLE, match="larger"):
        look(root, "huge")
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UNREADABLE, match="larger"):
        look(root, "sparse")


def test_all_that_one_call_names_is_bounded_together(root: Path) -> None:
    for name in ("one", "two"):
        with (root / name).open("wb") as file:
            file.truncate(MAX_BYTES // 2 + 1)
    probe = parse_probe(f"bill=file:{root}")
    looks = [
        Look(place=f"/bill/{at}", probe=probe, value=name, directory=str(root))
        for at, name in enumerate(("one", "two"))
    ]
    assert len(DISK.look(looks[:1])) == 1
    with pytest.raises(UNREADABLE, match="larger") as caught:
        DISK.look(looks)
    assert caught.value.where == "/bill/1"


@pytest.mark.parametrize("name", ["none", "a.txt/x", "sub/none/b.txt", "a\0b", "x" * 300, "é" * 3000, "~/a.txt"])
def test_what_is_not_there_or_no_path_is_one_named_error(root: Path, name: str) -> None:
    with pytest.raises(UNREADABLE):
        look(root, name)


def test_a_path_that_is_not_utf8_is_not_shown_as_another(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("x")
    (root / "odd").symlink_to(os.fsdecode(b"\xff"))
    with pytest.raises(UNREADABLE, match="UTF-8"):
        look(root, "odd")


def test_what_the_account_may_not_read_is_said_to_be_so(root: Path) -> None:
    (root / "a.txt").chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    with pytest.raises(UNREADABLE, match="permission denied"):
        look(root, "a.txt")
    (root / "a.txt").chmod(0o400)
    assert said(look(root, "a.txt"))["size"] == "11"


def test_a_file_that_says_another_size_than_it_holds_is_refused() -> None:
    with pytest.raises(UNREADABLE, match="more or less"):
        look(Path("/proc/self"), "/proc/self/status")


# --- what changed between two looks ------------------------------------------------------------------


def rewrite(path: Path) -> None:
    path.write_text("pay eve 10\n")


def put_mtime_back(path: Path) -> None:
    state = path.stat()
    path.write_text("pay eve 10\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def swap_equal(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def swap_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("sub/b.txt")


def move_and_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def reuse_inode(path: Path) -> None:
    """Another content under the same inode, as a file system may give it after a removal."""
    with path.open("r+") as file:
        file.truncate(0)
        file.write("pay eve 10\n")


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (rewrite, "sha256"),
    (put_mtime_back, "sha256"),
    (reuse_inode, "sha256"),
    (swap_equal, "inode"),
    (swap_link, "inode"),
    (move_and_link, "path"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_another_file_under_the_same_name_is_another_operand(
    root: Path, change: Callable[[Path], object], what: str
) -> None:
    before = look(root, "a.txt")
    change(root / "a.txt")
    assert differing([before], [look(root, "a.txt")]) == f"the {what} behind `/bill`"


def touch(path: Path) -> None:
    path.touch()


def chmod(path: Path) -> None:
    path.chmod(0o640)


def write_beside(path: Path) -> None:
    path.with_name("beside").write_text("x")


@pytest.mark.parametrize("harmless", [touch, chmod, write_beside, Path.read_bytes])
def test_what_changes_nothing_of_the_file_leaves_the_operand_the_same(
    root: Path, harmless: Callable[[Path], object]
) -> None:
    before = look(root, "a.txt")
    harmless(root / "a.txt")
    assert differing([before], [look(root, "a.txt")]) == ""


def test_a_name_that_is_swapped_while_it_is_looked_at_gives_one_file_or_an_error(root: Path) -> None:
    """Never the path of one with the content of another, nor what is outside."""
    outside = root.parent / "secret"
    (root / "turn").symlink_to("a.txt")
    over = threading.Event()

    def turn() -> None:
        at = 0
        targets = ("a.txt", "sub/b.txt", str(outside), "../secret", "none")
        while not over.is_set():
            at += 1
            (root / f"next{at % 2}").symlink_to(targets[at % len(targets)])
            (root / f"next{at % 2}").replace(root / "turn")

    contents = {
        os.path.realpath(one): sha256(one.read_bytes()).hexdigest() for one in (root / "a.txt", root / "sub/b.txt")
    }
    seen: set[str] = set()
    turning = threading.Thread(target=turn)
    turning.start()
    try:
        for _ in range(1_500):
            try:
                found = said(look(root, "turn"))
            except (OUTSIDE, UNREADABLE):
                seen.add("error")
                continue
            assert contents[found["path"]] == found["sha256"]
            seen.add(found["path"])
    finally:
        over.set()
        turning.join()
    assert len(seen) > 1, "the race was no race"


def test_a_file_that_is_written_while_it_is_read_is_never_half_of_each(root: Path) -> None:
    path = root / "large"
    size = 4 * 1_048_576
    contents = [bytes([at]) * size for at in (1, 2)]
    allowed = {sha256(one).hexdigest() for one in contents}
    path.write_bytes(contents[0])
    over = threading.Event()

    def write() -> None:
        at = 0
        while not over.is_set():
            at += 1
            with path.open("r+b") as file:
                file.write(contents[at % 2])

    writing = threading.Thread(target=write)
    writing.start()
    refused = 0
    try:
        for _ in range(60):
            try:
                assert said(look(root, "large"))["sha256"] in allowed
            except UNREADABLE:
                refused += 1
    finally:
        over.set()
        writing.join()
    assert refused, "the race was no race"


# --- git ---------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip  # pairs side by side
    done = subprocess.run(  # noqa: S603  # the real git, which says what is right
        ["git", "-C", str(folder), *words],  # noqa: S607  # as people call it
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
    subprocess.run(["cp", "-a", str(made), str(folder)], check=True)  # noqa: S603, S607  # with links as they are
    return folder


def revision(repo: Path, name: str, *, folder: Path | None = None) -> Operand:
    probe = parse_probe(f"rev=revision:repo:{folder or repo}")
    (found,) = DISK.look(
        [Look(place="/rev", probe=probe, value=name, directory="/", repository=str(repo))]
    )
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
        "-x", "--upload-pack=touch x", "main~1", "main^", "main^{tree}", "main@{1}", "@", "@{u}", ":/one", "main:a",
        "main..v1", "../main", "refs/../HEAD", "refs/heads/../../HEAD", "main.lock", "refs/heads/", "/refs/heads/main",
        "config", "FETCH_HEAD", "index", "refs/heads/.hidden", "ma in", "main\n", "main\0", "*", "ma?n", "m\\ain",
        "refs", "refs/heads", "topic", "nothing", "x" * 300, "mäin", "git rev-parse", "`id`", "$(id)",
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
    "content", ["ref: ../../../secret", "ref: HEAD", "ref: refs/heads/loop", "", "nonsense", "ref: refs/heads/none"]
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
        "[extensions]\n\tpartialClone = origin\n[remote \"origin\"]\n\turl = ext::touch ran\n\tpromisor = true\n"
    )
    (repo / ".git/refs/heads/absent").write_text("1" * 40 + "\n")
    assert said(revision(repo, "absent"))["object"] == "1" * 40
    assert not (repo / "ran").exists()


def test_a_bare_repository_is_read_and_a_work_tree_beside_its_own_is_refused(repo: Path, tmp_path: Path) -> None:
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
