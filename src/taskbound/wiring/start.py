"""Starts the daemon of a data directory on demand (design 6).

1. Only for a directory that exists and only this user can access; otherwise the error names the command.
2. Starters take a file lock and check again once they have it, so that one daemon starts.
3. The daemon gets its own session, an allow-list of environment variables and no `TASKBOUND_…` setting: its
   configuration is in its directory and doesn't depend on who started it.
4. The daemon reports readiness or the reason of its failure on a pipe; no starter waits for a fixed time.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shlex
import socket as unix
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.errors import UnavailableError
from taskbound.wire.connection import Fault
from taskbound.wiring.home import find_socket, require_own_home
from taskbound.wiring.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.wiring.settings import Settings


PATIENCE: Final = 30.0
"""Seconds until a daemon that doesn't say that it is ready counts as failed."""
_KEPT: Final = frozenset(
    {
        "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL",
        "TMPDIR", "TZ", "USER", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR",
    }
)  # fmt: skip  # a list of words reads better as words
_LONG_LOG: Final = 8 * 1024 * 1024
_TAIL: Final = 600
_CREDENTIALS: Final = Struct("=iII")
"""Process, user and group, as `SO_PEERCRED` gives them."""
# Forks once more, so that the daemon is nobody's child and leaves no zombie in a gateway that lives long.
_DETACH: Final = 'umask 077; "$@" &'


class DaemonNotStartedError(UnavailableError):
    """No daemon answers for this data directory, and none could be started."""

    code = "daemon-not-started"
    fault: Fault | None = None
    """The daemon's own reason (rule 4); None where it gave none."""


def daemon_command(home: Path, *, api: str = "") -> tuple[str, ...]:
    """Returns the daemon's command, independent of the working directory and PYTHONPATH (A251).

    An empty `api` means the configured API address.
    """
    settings = read_settings(home, {})
    words = _api_words(settings, api or settings.api_address)
    quota = ("--refusals-burst", str(settings.refusals_burst), "--refusals-rate", str(settings.refusals_rate))
    traces = ("--traces", settings.traces) if settings.traces else ()
    pace = ("--asks-burst", str(settings.asks_burst), "--asks-rate", str(settings.asks_rate))
    issuer = _issuer(settings, api or settings.api_address)
    named = (*(("--issuer", issuer) if issuer else ()), "--gateway-origin", settings.gateway_origin)
    named += ("--private-clients", settings.private_clients) if settings.private_clients else ()
    named += ("--trust-domain", settings.trust_domain) if settings.trust_domain else ()
    module = ("-m", "taskbound.wiring.daemon")
    store = ("--store", settings.store) if settings.store else ()
    level = ("--log-level", settings.log_level)
    where = ("--home", str(home), *level)
    return (sys.executable, "-P", "-E", *module, *where, *quota, *pace, *traces, *named, *words, *store)


def _api_words(settings: Settings, address: str) -> tuple[str, ...]:
    told = {
        "address": address,
        "origin": settings.api_origin,
        "certificate": settings.api_tls_certificate,
        "key": settings.api_tls_key,
        "client-roots": settings.api_client_roots,
        "proxies": settings.api_proxies,
        "traces": settings.traces,
    }
    return tuple(f"--api-word=--{name}={value}" for name, value in told.items() if address and value)


def _issuer(settings: Settings, address: str) -> str:
    scheme = "https" if settings.api_tls_certificate else "http"
    return settings.api_origin or (f"{scheme}://{address}" if address else "")


def serve_command(home: Path) -> str:
    return f"taskbound serve --home {shlex.quote(str(home))}"


def announce(home: Path, *, as_json: bool) -> int:
    """Returns a descriptor for `--ready-fd`; a write to it is reported on standard output."""
    listening, speaking = os.pipe()
    if os.fork() == 0:
        os.close(speaking)
        if os.fork() == 0 and os.read(listening, 64).strip() == b"ready":
            where = str(find_socket(home))
            said = {"is": "serving", "home": str(home), "socket": where}
            words = json.dumps(said) if as_json else f"serving {home}; end it with Ctrl-C"
            os.write(1, f"{words}\n".encode())
        os._exit(0)
    os.wait()
    os.close(listening)
    os.set_inheritable(speaking, True)  # noqa: FBT003 -- the standard library's own shape
    return speaking


def answers(path: Path) -> bool:
    try:
        _reach(path)
    except OSError:
        return False
    return True


def listener(path: Path) -> int:
    """Returns the pid that listens on this socket; 0 if no process does or the system can't tell."""
    option = getattr(unix, "SO_PEERCRED", None)
    try:
        with _reached(path) as one:
            said = one.getsockopt(unix.SOL_SOCKET, option, _CREDENTIALS.size) if option else bytes(12)
    except OSError:
        return 0
    pid: int = _CREDENTIALS.unpack(said)[0]
    return pid


def _reach(path: Path) -> None:
    _reached(path).close()


def _reached(path: Path) -> unix.socket:
    one = unix.socket(unix.AF_UNIX, unix.SOCK_STREAM)
    try:
        one.settimeout(2.0)
        one.connect(str(path))
    except OSError:
        one.close()
        raise
    return one


def find_daemon(home: Path, *, socket: str, may_start: bool = True) -> Path:
    """Returns the socket of a running daemon: another account's at `socket`, or the data directory's."""
    if not socket:
        return ensure_daemon(home, may_start=may_start)
    try:
        _reach(Path(socket))
    except OSError as error:
        raise DaemonNotStartedError(
            f"no daemon answers at `{socket}`: {error.strerror or error}",
            remedy="look whether its service runs, and with `id` whether you are in its group",
        ) from error
    return Path(socket)


def ensure_daemon(home: Path, *, may_start: bool = True) -> Path:
    """Returns the socket of the data directory's daemon, which is started if needed and `may_start`."""
    require_own_home(home)  # 1.
    if answers(find_socket(home)):
        return find_socket(home)
    if not may_start:
        raise DaemonNotStartedError(
            f"no daemon answers for `{home}`", remedy=f"start it with `{serve_command(home)}`"
        )
    with _turn(home):  # 2.
        if not answers(find_socket(home)):
            _start(home)
    return find_socket(home)


@contextmanager
def _turn(home: Path) -> Iterator[None]:
    """Holds the starters' lock, or returns early once another starter's daemon answers."""
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    lock = os.open(home / "run" / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        end = time.monotonic() + PATIENCE + 5.0
        pause = 0.005
        while not _try_lock(lock):
            if time.monotonic() > end:
                raise DaemonNotStartedError(
                    f"another process has been starting the daemon of `{home}` for too long",
                    remedy=f"start it with `{serve_command(home)}`",
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.25)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start(home: Path) -> None:
    listening, speaking = os.pipe()
    log = _open_log(home)
    try:
        command = ("/bin/sh", "-c", _DETACH, "sh", *daemon_command(home), "--ready-fd", str(speaking))
        subprocess.run(  # noqa: S603 -- a fixed program, and each word is an argument of its own
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env=daemon_environment(os.environ),
            pass_fds=(speaking,),
            start_new_session=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        os.close(listening)
        raise DaemonNotStartedError(
            f"the daemon of `{home}` can't be started: {error}", remedy=f"try `{serve_command(home)}`"
        ) from error
    finally:
        os.close(speaking)
        os.close(log)
    try:
        ready = _read_word(listening)
    finally:
        os.close(listening)
    # Somebody may have started `taskbound serve` by hand just now: then ours gave way, and theirs answers.
    if ready != b"ready" and not _soon(home):
        if (fault := _reason(ready)) is not None:
            refused = DaemonNotStartedError(
                f"the daemon of `{home}` does not start: {fault.message} [{fault.code}]", remedy=fault.advice
            )
            refused.fault = fault
            raise refused
        raise DaemonNotStartedError(
            f"the daemon of `{home}` did not get ready{_last_words(home)}",
            remedy=f"see `{home / 'log' / 'daemon.log'}`, or try `{serve_command(home)}`",
        )


def _reason(said: bytes) -> Fault | None:
    try:
        return msgspec.json.decode(said, type=Fault)
    except msgspec.MsgspecError:
        return None


def _read_word(fd: int) -> bytes:
    said = b""
    end = time.monotonic() + PATIENCE
    while b"\n" not in said and (left := end - time.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0]:
            break
        piece = os.read(fd, 4096)
        if not piece:
            break
        said += piece
    return said.strip()


def _soon(home: Path) -> bool:
    pause = 0.005
    while pause < 1.0:
        if answers(find_socket(home)):
            return True
        time.sleep(pause)
        pause *= 2
    return False


def daemon_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environ.items() if name in _KEPT or name.startswith("LC_")}


def _open_log(home: Path) -> int:
    folder = home / "log"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "daemon.log"
    if path.exists() and path.stat().st_size > _LONG_LOG:
        path.replace(folder / "daemon.log.1")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _last_words(home: Path) -> str:
    try:
        text = (home / "log" / "daemon.log").read_bytes()[-_TAIL:].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": `{lines[-1].encode('unicode_escape').decode('ascii')}`" if lines else ""
