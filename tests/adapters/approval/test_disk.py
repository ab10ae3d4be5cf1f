from __future__ import annotations

import os
import socket
import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.approval.disk import MAX_BYTES, DiskOperands
from taskbound.core.approval import (
    Lookup,
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
        [Lookup(place="/bill", probe=probe, value=str(value), directory=directory or str(root))]
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
        Lookup(place=f"/bill/{at}", probe=probe, value=name, directory=str(root))
        for at, name in enumerate(("one", "two"))
    ]
    assert len(DISK.look(looks[:1])) == 1
    with pytest.raises(UNREADABLE, match="larger") as caught:
        DISK.look(looks)
    assert caught.value.where == "/bill/1"


@pytest.mark.parametrize(
    "name", ["none", "a.txt/x", "sub/none/b.txt", "a\0b", "x" * 300, "é" * 3000, "~/a.txt"]
)
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
        os.path.realpath(one): sha256(one.read_bytes()).hexdigest()
        for one in (root / "a.txt", root / "sub/b.txt")
    }
    seen: set[str] = set()
    turning = threading.Thread(target=turn)
    turning.start()
    try:
        for number in range(100_000):
            if number > 1_000 and len(seen) > 1:
                break
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


def look_often(root: Path, name: str) -> None:
    for _ in range(100):
        look(root, name)


def test_a_file_that_is_written_while_it_is_read_is_refused(root: Path) -> None:
    path = root / "large"
    path.write_bytes(b"x" * 8 * 1_048_576)
    over = threading.Event()

    def write() -> None:
        with path.open("r+b") as file:
            while not over.is_set():
                os.pwrite(file.fileno(), b"x", 0)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with pytest.raises(UNREADABLE, match="while it was read"):
            look_often(root, "large")
    finally:
        over.set()
        writing.join()
    assert said(look(root, "large"))["sha256"] == sha256(path.read_bytes()).hexdigest()
