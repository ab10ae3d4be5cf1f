"""The data directory: where it is, whose it may be, and where its daemon listens.

1. A data directory belongs to the user that runs the process and to nobody else: mode 0700, or nothing
   starts.
2. A Unix socket's path has a limit of 107 bytes (103 on macOS). A data directory that is too deep for it gets
   a folder elsewhere, made with a name that nobody can guess, and written down in `run/socket`.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


SOCKET_LIMIT: Final = 103 if sys.platform == "darwin" else 107
"""The longest path of a Unix socket in bytes, without the zero byte at its end."""
_OTHERS: Final = 0o077
_WRITABLE: Final = 0o022
_OWN: Final = 0o700


class NoHomeError(UnavailableError):
    """There is no data directory yet."""

    code = "no-data-directory"
    remedy = (
        "make one with `taskbound init`, or with `taskbound serve` where no client is to be gated; an"
        " approver makes none, and signs what the owner sends (`docs/guides/people.md`)"
    )


class ForeignHomeError(DeniedError):
    """The data directory, or a place that it needs, is not this user's."""

    code = "foreign-data-directory"
    remedy = (
        "name one of your own with `--home`, or leave `--home` and TASKBOUND_HOME out for your usual one; an"
        " approver signs what the owner sends (`docs/guides/people.md`)"
    )


class OpenHomeError(DeniedError):
    """The data directory can be read or changed by other users."""

    code = "open-data-directory"
    remedy = "close it with `chmod 700`, after a look at who may have been in it"


def default_home(environ: Mapping[str, str]) -> Path:
    """The user's data directory for Taskbound, by the custom of the system (XDG Base Directory, Apple's)."""
    told = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(told):  # noqa: PTH117 -- the XDG specification says to ignore a relative one
        return Path(told) / "taskbound"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "taskbound"
    return Path.home() / ".local" / "share" / "taskbound"


def find_home(told: str, environ: Mapping[str, str]) -> Path:
    """The data directory, absolute: as told, or `TASKBOUND_HOME`, or the user's own."""
    named = told or environ.get("TASKBOUND_HOME", "")
    return Path(os.path.abspath(Path(named).expanduser())) if named else default_home(environ)  # noqa: PTH100 -- keeps links: the path is what the person wrote


def require_own_home(home: Path) -> None:
    """Go on only with a directory that is this user's alone (rule 1).

    Raises:
        NoHomeError: It does not exist.
        ForeignHomeError: It is another's, or no directory.
        OpenHomeError: Others may enter it.
    """
    try:
        seen = home.stat()
    except FileNotFoundError as error:
        raise NoHomeError(f"there is no data directory `{home}`") from error
    except OSError as error:
        raise ForeignHomeError(f"the data directory `{home}` can't be read: {error.strerror}") from error
    if not stat.S_ISDIR(seen.st_mode):
        raise ForeignHomeError(f"`{home}` is no directory")
    if seen.st_uid != os.geteuid():
        raise ForeignHomeError(
            f"the data directory `{home}` is not yours: it belongs to {name_account(seen.st_uid)}"
        )
    if seen.st_mode & _OTHERS:
        raise OpenHomeError(f"other users may enter `{home}` (mode {stat.S_IMODE(seen.st_mode):04o})")


def require_reachable_home(home: Path) -> None:
    """Go on only unless this can't be entered because it is another account's.

    Raises:
        ForeignHomeError: It belongs to another account.
    """
    try:
        owner = home.stat().st_uid
    except OSError as error:
        raise ForeignHomeError(f"the data directory `{home}` can't be reached: {error.strerror}") from error
    if owner != os.geteuid():
        raise ForeignHomeError(
            f"the data directory `{home}` is not yours: it belongs to {name_account(owner)}"
        )


def name_account(uid: int) -> str:
    """The account's name in backticks; its number where it has none."""
    try:
        return f"`{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"account {uid}"


def make_home(home: Path) -> None:
    """Make the data directory unless it is there; its parents get the usual mode, it gets 0700.

    Raises:
        ForeignHomeError: It is another's, or can't be made.
        OpenHomeError: It is there, and others may enter it.
    """
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=_OWN, exist_ok=True)
    except OSError as error:
        raise ForeignHomeError(
            f"the data directory `{home}` can't be made: {error.strerror or error}"
        ) from error
    require_own_home(home)


def find_socket(home: Path) -> Path:
    """Where the daemon of this directory listens, or would (rule 2).

    Raises:
        ForeignHomeError: What is written down leads to a place of another user.
    """
    direct = home / "run" / "daemon.sock"
    if _fits(direct):
        return direct
    try:
        told = Path((home / "run" / "socket").read_text(encoding="utf-8").rstrip("\n"))
    except FileNotFoundError:
        return direct
    _require_own_folder(told.parent)
    return told


def place_socket(home: Path) -> Path:
    """Where the daemon of this directory is to listen; the folder of that path exists when this returns.

    Only the process that owns the directory may call this (the daemon, under its lock).

    Raises:
        ForeignHomeError: A folder on the way is another user's.
    """
    run = home / "run"
    run.mkdir(mode=_OWN, exist_ok=True)
    _require_own_folder(run)
    if _fits(run / "daemon.sock"):
        return run / "daemon.sock"
    note = run / "socket"
    if note.exists():
        told = find_socket(home)
        if told.parent.is_dir() and _fits(told):
            return told
    path = Path(tempfile.mkdtemp(prefix="taskbound-", dir=_runtime())) / "daemon.sock"
    fresh = note.with_suffix(".new")
    fresh.write_text(f"{path}\n", encoding="utf-8")
    fresh.replace(note)
    return path


def require_socket_folder(path: Path) -> None:
    """Go on only where no other account could put a socket in the place of ours (for `--socket`).

    Raises:
        ForeignHomeError: The folder is not there, others can write it, or the path is too long.
    """
    if not path.is_absolute() or not _fits(path):
        raise ForeignHomeError(
            f"`{path}` can't be a socket's path",
            remedy=f"name an absolute one of at most {SOCKET_LIMIT} bytes",
        )
    try:
        seen = path.parent.stat()
    except OSError as error:
        raise ForeignHomeError(
            f"the socket's folder `{path.parent}` can't be read: {error.strerror}",
            remedy="make it first; `deploy/` says with which owner and mode",
        ) from error
    if seen.st_uid != os.geteuid() or seen.st_mode & _WRITABLE:
        raise ForeignHomeError(
            f"others can write the socket's folder `{path.parent}`"
            f" (owner {seen.st_uid}, mode {stat.S_IMODE(seen.st_mode):04o})",
            remedy="give it to the daemon's account, with mode 0750 and the group of those who may connect",
        )


def remove_own(path: Path, inode: int) -> None:
    """Remove the socket, unless another process has put its own into that place meanwhile."""
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_LIMIT


def _runtime() -> str:
    """A short directory for sockets: the session's own, or the one for temporary files."""
    told = os.environ.get("XDG_RUNTIME_DIR", "")
    if (
        told
        and Path(told).is_dir()
        and Path(told).stat().st_uid == os.geteuid()
        and _fits(Path(told, "x" * 40))
    ):
        return told
    return "/tmp"  # noqa: S108 -- mkdtemp makes a fresh 0700 folder there; TMPDIR is itself too long on macOS


def _require_own_folder(folder: Path) -> None:
    """Go on only when the folder, if it is there, is this user's alone and no link.

    Raises:
        ForeignHomeError: It isn't.
    """
    try:
        seen = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & _OTHERS:
        raise ForeignHomeError(f"`{folder}` is not a directory of this user alone")
