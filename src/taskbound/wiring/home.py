"""The data directory: location, ownership, and the daemon's socket.

1. A data directory belongs to the user that runs the process, with mode 0700; otherwise nothing starts.
2. A Unix socket path is limited to 107 bytes (103 on macOS). For a deeper data directory the socket lies in a
   folder with an unguessable name, recorded in `run/socket`.
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
    """The data directory does not exist."""

    code = "no-data-directory"
    remedy = (
        "make one with `taskbound init`, or with `taskbound serve` where no client is to be gated; an"
        " approver makes none, and signs what the owner sends (`docs/guides/people.md`)"
    )


class ForeignHomeError(DeniedError):
    """The data directory, or a place that it needs, belongs to another user."""

    code = "foreign-data-directory"
    remedy = (
        "name one of your own with `--home`, or leave `--home` and TASKBOUND_HOME out for your usual one; an"
        " approver signs what the owner sends (`docs/guides/people.md`)"
    )


class OpenHomeError(DeniedError):
    """Other users can read or change the data directory."""

    code = "open-data-directory"
    remedy = "close it with `chmod 700`, after a look at who may have been in it"


def default_home(environ: Mapping[str, str]) -> Path:
    """Returns the user's default data directory (XDG Base Directory, or Apple's convention)."""
    told = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(told):  # noqa: PTH117 -- the XDG specification says to ignore a relative one
        return Path(told) / "taskbound"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "taskbound"
    return Path.home() / ".local" / "share" / "taskbound"


def find_home(told: str, environ: Mapping[str, str]) -> Path:
    """Returns the absolute data directory: as given, else `TASKBOUND_HOME`, else the default."""
    named = told or environ.get("TASKBOUND_HOME", "")
    return Path(os.path.abspath(Path(named).expanduser())) if named else default_home(environ)  # noqa: PTH100 -- keeps links: the path is what the person wrote


def require_own_home(home: Path) -> None:
    """Requires a directory that only this user can access (rule 1)."""
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
    """Raises ForeignHomeError if another account's directory can't be entered."""
    try:
        owner = home.stat().st_uid
    except OSError as error:
        raise ForeignHomeError(f"the data directory `{home}` can't be reached: {error.strerror}") from error
    if owner != os.geteuid():
        raise ForeignHomeError(
            f"the data directory `{home}` is not yours: it belongs to {name_account(owner)}"
        )


def name_account(uid: int) -> str:
    """Returns the account's name in backticks, or its number if it has no name."""
    try:
        return f"`{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"account {uid}"


def make_home(home: Path) -> None:
    """Creates the data directory (0700) if missing; its parents get the usual mode."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(mode=_OWN, exist_ok=True)
    except OSError as error:
        raise ForeignHomeError(
            f"the data directory `{home}` can't be made: {error.strerror or error}"
        ) from error
    require_own_home(home)


def find_socket(home: Path) -> Path:
    """Returns the daemon's socket path (rule 2); raises ForeignHomeError if another user owns its folder."""
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
    """Returns the path to listen on; only the daemon that holds the directory's lock may call this."""
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
    """Raises ForeignHomeError if another account could replace a socket at this path (`--socket`)."""
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
    """Removes the socket unless another process has replaced it."""
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_LIMIT


def _runtime() -> str:
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
    try:
        seen = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & _OTHERS:
        raise ForeignHomeError(f"`{folder}` is not a directory of this user alone")
