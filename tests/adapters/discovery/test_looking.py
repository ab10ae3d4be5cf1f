from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.discovery import lines
from taskbound.adapters.discovery.access import Account, Judge
from taskbound.adapters.discovery.looking import Bounds, known_files, look_through
from taskbound.adapters.discovery.opening import UnreadError, open_text
from taskbound.core.credential.static import Hit, Reader, SecretKind, Weight, Workstation
from tests.adapters.discovery.made_home import CANARIES, GITHUB, digest, made_home

BOUNDS = Bounds()


def look(home: Path, bounds: Bounds = BOUNDS, projects: Mapping[str, Reader] | None = None) -> Workstation:
    return look_through(
        account="", folder=str(home), clients=lambda _: {}, projects=projects or {}, bounds=bounds
    )


def unseen(found: Workstation) -> dict[str, tuple[str, Weight]]:
    return {one.path.removeprefix(f"{found.folder}/"): (one.why, one.weight) for one in found.unseen}


def paths(found: Workstation) -> set[str]:
    return {one.path.removeprefix(f"{found.folder}/") for one in found.found}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def test_each_known_file_of_a_home_is_read_and_none_of_its_secrets_is_kept(home: Path) -> None:
    found = look(made_home(home))
    places = paths(found)
    clients = {".claude.json", ".cursor/mcp.json", ".config/Code/User/mcp.json", "src/app/.mcp.json"}
    known = {one for one in known_files() if (home / one).exists()} - {".ssh/"}
    assert known | {".ssh/id_open", "src/app/.env", "src/app/.envrc", "src/app/.env.local"} == places
    assert not places & clients
    assert len(known) == 22
    assert not any(one in repr(found) for one in (*CANARIES.values(), GITHUB))


def test_looking_changes_nothing_and_reads_nothing_that_is_noticed(home: Path) -> None:
    made_home(home)
    os.utime(home / ".pgpass", ns=(1, 1))  # read long ago: a read would be noted
    os.utime(home / "src", ns=(1, 1))
    before = digest(home)
    assert look(home).found
    assert digest(home) == before


def test_what_was_not_looked_at_in_projects_is_said(home: Path) -> None:
    found = look(made_home(home))
    assert not any("/deep" in one or "/e/" in one or "node_modules" in one for one in paths(found))
    assert unseen(found) == {
        "src": ("one folder below it, and what is in them: too deep, or too many", Weight.BOUND)
    }
    assert found.whole


def test_so_many_folders_and_so_much_time_and_no_more(home: Path) -> None:
    for one in range(30):
        (home / "work" / f"p{one:02}").mkdir(parents=True)
        (home / "work" / f"p{one:02}" / ".env").write_text("TOKEN=w")
    found = look(home, replace(BOUNDS, folders=11))
    assert len(found.found) == 10
    assert not found.whole
    assert unseen(found) == {
        "work": ("20 folders below it, and what is in them: too deep, or too many", Weight.BOUND)
    }
    (home / ".vault-token").write_text("w")
    late = look(home, replace(BOUNDS, seconds=0.0, unseen=3))
    assert (late.found, len(late.unseen)) == ((), 3)
    assert late.more > 10
    assert not late.whole
    assert {one.why for one in late.unseen} == {"the time for looking was over"}


def test_a_folder_with_too_many_names_and_a_file_with_too_many_secrets_are_said(home: Path) -> None:
    (home / "src").mkdir()
    for one in range(30):
        (home / "src" / f".env.{one}").write_text("TOKEN=w")
    (home / ".profile").write_text("".join(f"A{one}_TOKEN=w\n" for one in range(9)))
    assert look(home).whole
    assert not look(home, replace(BOUNDS, names=20)).whole
    assert not look(home, replace(BOUNDS, hits=5)).whole
    assert not look(home, replace(BOUNDS, secrets=12)).whole
    found = look(home, replace(BOUNDS, names=20, hits=5))
    assert len([one for one in found.found if one.path.endswith(".profile")]) == 5
    assert unseen(found) == {
        ".profile": ("it has more than 5 secrets", Weight.FILE),
        "src": ("it has more than 20 names", Weight.BOUND),
    }
    few = look(home, replace(BOUNDS, secrets=12))
    assert len(few.found) == 12
    assert "12 secrets were found before" in {one.why for one in few.unseen}


def test_a_link_is_followed_within_the_folder_and_said_and_never_out_of_it(home: Path) -> None:
    (home / "real").mkdir()
    inside, outside = home / "real" / "pgpass", home.parent / "outside"
    for one in (inside, outside):
        one.write_text("h:1:d:u:w")
    (home / ".pgpass").symlink_to("real/pgpass")
    (home / ".netrc").symlink_to(outside)
    (home / ".npmrc").symlink_to(".npmrc")
    (home / ".pypirc").symlink_to("nowhere")
    (home / ".aws").symlink_to(home.parent)
    (home.parent / "credentials").write_text("[a]\naws_secret_access_key=w")
    (home / "src").symlink_to(home / "real")
    found = look(home)
    assert [(one.path, one.through) for one in found.found] == [(str(home / ".pgpass"), str(inside))]
    out, links = "it is a link that leads out of the folder", "folders are not followed through links"
    assert unseen(found) == {
        ".netrc": (out, Weight.FILE),
        ".npmrc": ("it is a link that leads round", Weight.FILE),
        ".aws/credentials": (out, Weight.FILE),
        "src": (f"it is a link, and {links}", Weight.BOUND),
    }


def test_a_folder_that_becomes_a_link_while_it_is_looked_at_leads_nowhere(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    for place in (home / ".aws", outside):
        place.mkdir(exist_ok=True)
        (place / "credentials").write_text("[a]\naws_secret_access_key = canary-w0rd\n")
    todo = [home / ".aws"]

    def swap(event: str, words: tuple[object, ...]) -> None:
        if event == "open" and todo and str(words[0]).startswith((str(home / ".aws"), "/")):
            place = todo.pop()
            place.rename(home / "was")
            place.symlink_to(outside)

    sys.addaudithook(swap)
    try:
        with pytest.raises(UnreadError, match="a folder above it was another one"):
            open_text(str(home / ".aws" / "credentials"), str(home), most=1000)
    finally:
        todo.clear()


def test_links_within_projects_are_counted_and_not_followed(home: Path) -> None:
    project = home / "src" / "app"
    project.mkdir(parents=True)
    (project / "loop").symlink_to(home / "src")
    (project / "out").symlink_to("/")
    found = look(home)
    assert unseen(found) == {"src": ("2 links below it", Weight.BOUND)}


def test_what_is_no_file_is_neither_opened_nor_waited_for(home: Path) -> None:
    os.mkfifo(home / ".netrc")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(home / ".npmrc"))
        (home / ".pgpass").mkdir()
        found = look(home)
    assert found.found == ()
    assert set(unseen(found).values()) == {("it is no regular file", Weight.FILE)}
    assert len(found.unseen) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_not_opened(home: Path) -> None:
    try:
        os.mknod(home / ".netrc", 0o20666, os.makedev(1, 5))
    except OSError:
        pytest.skip("no device can be made here")
    assert unseen(look(home)) == {".netrc": ("it is no regular file", Weight.FILE)}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"TOKEN=w\0", "it is no text"),
        (b"\xff\xfeT\0", "it is no text"),
        (b"TOKEN=\xe9", "it is no text"),
        (b"x" * 300_000, "it is larger than 262,144 bytes"),
    ],
)
def test_what_is_no_text_or_too_large_is_said_to_be(home: Path, raw: bytes, why: str) -> None:
    (home / ".profile").write_bytes(raw)
    assert unseen(look(home)) == {".profile": (why, Weight.FILE)}


def test_a_sparse_file_and_one_that_grows_are_read_no_further_than_said(home: Path) -> None:
    with (home / ".profile").open("wb") as one:
        one.truncate(1 << 40)
    (home / "proc").symlink_to("/proc/kmsg")
    assert unseen(look(home))[".profile"][0].startswith("it is larger than")


def test_a_file_that_is_not_what_it_should_be_is_said_without_a_word_of_it(home: Path) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text('{"auths": canary-w0rd')
    found = look(home)
    assert unseen(found) == {".docker/config.json": ("it is not written as such a file is", Weight.FILE)}
    assert "canary" not in repr(found)


def test_a_reader_that_fails_hides_no_other_file(home: Path) -> None:
    def fails(text: str) -> list[Hit]:
        raise RecursionError(text)

    (home / "src").mkdir()
    (home / "src" / ".mcp.json").write_text("canary")
    (home / "src" / ".env").write_text("TOKEN=w")
    found = look(home, projects={".mcp.json": fails})
    assert len(found.found) == 1
    assert "canary" not in repr(found)
    assert unseen(found)["src/.mcp.json"][1] is Weight.FILE


def test_a_file_that_is_reached_twice_counts_once(home: Path) -> None:
    (home / "src").mkdir()
    (home / "src" / ".env").write_text("TOKEN=w")
    os.link(home / "src" / ".env", home / "src" / ".env.too")
    assert len(look(home).found) == 1


def test_what_is_told_is_line_age_mode_and_owner(home: Path) -> None:
    path = home / ".pgpass"
    path.write_text("#\nh:1:d:u:w")
    path.chmod(0o640)
    os.utime(path, ns=(5_000_000, 5_000_000))
    (one,) = look(home).found
    assert (one.hit.line, one.since, one.mode, one.hit.kind) == (2, 5_000, 0o640, SecretKind.POSTGRES)
    assert one.owner == look(home).account


def test_an_account_and_a_folder_that_are_not_there_refuse(home: Path) -> None:
    def asked(**changes: Any) -> Workstation:
        told: dict[str, Any] = {"account": "", "folder": str(home), "clients": lambda _: {}, "projects": {}}
        return look_through(**{**told, **changes})

    with pytest.raises(KeyError):
        asked(account="nobody-of-this-name")
    with pytest.raises(NotADirectoryError):
        asked(folder=str(home / "none"))


# --- who can read ------------------------------------------------------------------------------

ANN = Account(name="ann", uid=54_001, groups=frozenset({54_101}), home="/")
ROOT = Account(name="root", uid=0, groups=frozenset({0}), home="/root")


def listed(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)


def may(path: Path, account: Account) -> bool:
    return Judge().may_read(str(path), path.stat(), account)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for one in tmp_path.parents:
        if not one.stat().st_mode & 1:
            one.chmod(0o711)  # folders of pytest's own, which nobody else may enter
    tmp_path.chmod(0o755)
    path = tmp_path / "file"
    path.write_text("w")
    return path


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "can"),
    [
        (0o600, 54_001, 54_999, True),
        (0o060, 54_001, 54_101, False),
        (0o640, 54_002, 54_101, True),
        (0o604, 54_002, 54_101, False),
        (0o604, 54_002, 54_999, True),
        (0o660, 54_002, 54_999, False),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_bits_are_judged_as_the_system_judges_them(
    file: Path, mode: int, uid: int, gid: int, *, can: bool
) -> None:
    os.chown(file, uid, gid)
    file.chmod(mode)
    assert may(file, ANN) is can
    assert may(file, ROOT)


def test_a_folder_that_nobody_may_enter_keeps_its_files(file: Path) -> None:
    file.chmod(0o644)
    assert may(file, ANN)
    assert Judge().readers(str(file), file.stat()) == "everybody"
    file.parent.chmod(0o700)
    assert not may(file, ANN)
    assert Judge().readers(str(file), file.stat()) != "everybody"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_access_control_list_counts_through_its_mask(file: Path) -> None:
    os.chown(file, 54_002, 54_999)

    def told(mask: int) -> bytes:
        return listed(
            *((1, 6, 0xFFFFFFFF), (2, 4, 54_001), (4, 0, 0xFFFFFFFF), (8, 4, 54_103)),
            *((16, mask, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)),
        )

    try:
        os.setxattr(file, "system.posix_acl_access", told(4))
    except OSError:
        pytest.skip("the file system has no lists")
    other = replace(ANN, uid=54_009, groups=frozenset({54_103}))
    assert may(file, ANN)
    assert may(file, other)
    assert not may(file, replace(ANN, uid=54_009))
    assert Judge().readers(str(file), file.stat()) == "54002, 54001, group 54103"
    os.setxattr(file, "system.posix_acl_access", told(0))
    assert not may(file, ANN)
    assert not may(file, other)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look for another account")
def test_what_another_account_cannot_read_is_no_finding_of_its(home: Path) -> None:
    for one in home.parents:
        if not one.stat().st_mode & 1:
            one.chmod(0o711)
    home.chmod(0o755)
    (home / ".pgpass").write_text("h:1:d:u:w")
    (home / ".pgpass").chmod(0o600)
    (home / ".vault-token").write_text("w")
    (home / ".vault-token").chmod(0o644)
    found = look_through(account="nobody", folder=str(home), clients=lambda _: {}, projects={})
    assert paths(found) == {".vault-token"}
    assert found.account == "nobody"


def test_every_shell_profile_is_read_as_one() -> None:
    assert lines.read_environment is not lines.read_tokens
    assert {".bashrc", ".profile", ".zshrc", ".config/fish/config.fish", ".ssh/"} <= set(known_files())
