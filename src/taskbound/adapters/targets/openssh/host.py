#!/usr/bin/python3 -ISB
"""The helper on an OpenSSH host: it knows whom the host admits, ends what they opened, and shows that it did.

One file for Python 3.9 and OpenSSH alone; it is copied to a host, where sshd and the broker run it.

1. A name is `tb_` and 44 characters of a-z, 2-7 and `_`. Accounts, principals and lines are read as strictly:
   what is no name makes no path, and nothing that sshd is told can be read as an option or as two lines.
2. The state is a folder: `admitted/NAME` (account, end, principals: a line each), `revoked/NAME` (end),
   `open/NAME/PID.START.BOOT`, `ca.pub`, `krl`, `lock`. Files are written beside, synced and renamed, then the
   folder is synced. What is open is not synced: a host that crashes loses the connections too.
3. What changes the state or relies on it does so under the lock, which ends with the process that has it.
4. Who logs in is on record before principals are printed: as the connection's monitor, which runs sshd's
   command or what calls us, says so in its title, and lives as long as the connection. So a login that is
   under way when a name is revoked is on record, or finds no admission. sshd asks before it has seen a
   signature: who only showed a certificate is on record too, and is ended with the others.
5. The monitor gets a control group of its own: what comes of the connection is born there, and only root gets
   out. Where systemd makes a scope of the session, that takes it in: it is found by its leader. As root,
   nobody is let in whom nothing holds. Where sshd is not root's (for trials) there is the tree alone.
6. Certificates of other authorities are judged as sshd does without us. One is told by its whole key.
7. Revoking: `revoked/NAME` first, so that the name is never free; then no admission; then the KRL, by rename,
   so that no reader misses it; then what is open, until nothing is left; then all of that is looked at again.
   Each step is found done or not, never remembered: what was cut off anywhere is gone on with. Where nothing
   can be written or started, as whoever has an account can fill a host, the admission itself is renamed into
   `revoked`, what is open is ended, and then it is said that it failed.
8. Ending: the connection's tree is stopped, parents first, until nothing new comes of it; then its groups,
   each process of them and its tree are killed. The lock is held meanwhile, so that nobody is stopped who
   has it.
9. A process is told by number, start and boot, and signaled by a handle that was compared. Number 1, we and
   those above us are spared: who revokes the very connection by which they come is told that it's open.
10. Names stay in the KRL until five minutes after their end, and are taken for a day after it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["VERSION", "main"]

VERSION = 1
"""What the broker is told; another one it doesn't speak to."""
_STATE = "/var/lib/taskbound-ssh"
_TOKENS = "%i %s %u %K"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz234567_")
_LENGTH = 47
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-:/$\\")
_LONGEST = 255
_MOST = 64
_LAST = 1 << 40
_LINE = 65_536
_IN_KRL, _TAKEN = 300, 86_400
_LOGIN = 600
"""Seconds that a login takes at most from our answer to its session."""
_PATIENCE, _PAUSE = 4.0, 0.01
_ROUNDS = 50
_MANY = 16
"""From so many records of a name on, a login forgets those that are over."""
_GROUPS = "taskbound-ssh"
_GONE = (errno.ENOENT, errno.ENODEV)
"""What is said of a control group that is not there any more."""
_SESSIONS = "/run/systemd/sessions"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class _RefusedError(Exception):
    """What is asked for is not done; the text says why."""


_FAILURES = (_RefusedError, OSError, ValueError, LookupError)


class _Process:
    """A process, by its number and by when it was started: ticks since the host was (rule 9)."""

    def __init__(self, pid: int, start: int, parent: int = 0, state: str = "") -> None:
        self.pid, self.start, self.parent, self.state = pid, start, parent, state

    @property
    def lives(self) -> bool:
        now = _process(self.pid)
        return now is not None and now.start == self.start and now.state != "dead"


class _Record(_Process):
    """A connection's monitor, as it was when principals were last printed to it (rule 4)."""

    def __init__(self, path: str) -> None:
        pid, start, boot = os.path.basename(path).split(".")
        super().__init__(int(pid), int(start))
        self.path, self.at, self.now = path, os.stat(path).st_mtime, boot == _boot()

    @property
    def is_open(self) -> bool:
        return self.now and (self.lives or any(_is_populated(one) for one in _groups(self, self.at)))

    def forget(self) -> None:
        """Take away what is left of a connection that is over."""
        for folder, _, _ in os.walk(next(_groups(self), ""), topdown=False) if self.now else ():
            _remove(folder, os.rmdir)
        _remove(self.path)


class _State:
    """The state's folder; as a context, its lock (rules 2, 3)."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self._lock = os.open(self.path("lock"), os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def path(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    def has(self, *parts: str) -> bool:
        return os.path.lexists(self.path(*parts))

    def read(self, *parts: str) -> list[str]:
        with open(self.path(*parts), encoding="ascii") as file:
            return file.read().splitlines()

    def write(self, *parts: str, text: str, mode: int = 0o600) -> None:
        path = self.path(*parts)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(text)
        self.publish(f"{path}.new", path, mode)

    def publish(self, fresh: str, path: str, mode: int) -> None:
        """Put what was written beside it in its place (rule 2)."""
        os.chmod(fresh, mode)
        _sync(fresh)
        os.replace(fresh, path)
        _sync(os.path.dirname(path))

    def names(self, kind: str) -> list[str]:
        return [one for one in os.listdir(self.path(kind)) if _is_name(one)]

    def open(self, name: str) -> list[_Record]:
        """Who is open of a name; the others are forgotten. The lock must be held."""
        found, folder = [], self.path("open", name)
        for one in os.listdir(folder) if os.path.isdir(folder) else ():
            record = _Record(os.path.join(folder, one))
            if record.is_open:
                found.append(record)
            else:
                record.forget()
        return found


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) == _LENGTH and _is_prefix(value)  # 1


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and value.startswith("tb_") and _LETTERS.issuperset(value)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and _WORD.issuperset(value)  # 1


def _is_account(value: object) -> bool:
    return _is_word(value) and str(value)[0] not in "/-"


def _is_words(value: object) -> bool:
    return isinstance(value, list) and 0 < len(value) <= _MOST and all(map(_is_word, value))


def _is_end(value: object) -> bool:
    return type(value) is int and 0 < value < _LAST


def _show(value: object) -> str:
    return f"`{ascii(str(value)[:80])[1:-1]}`"


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: str, by: Callable[[str], None] = os.unlink) -> None:
    try:
        by(path)
    except FileNotFoundError:
        return  # another call did that (rule 7)


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _process(pid: int) -> _Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # One whose first thread has ended looks dead, and isn't while it has others.
    dead = fields[0] in {b"Z", b"X"} and int(fields[17]) <= 1
    return _Process(pid, int(fields[19]), int(fields[1]), "dead" if dead else fields[0].decode())


def _above(pid: int) -> Iterator[_Process]:
    """The process and those above it, the nearest first."""
    while pid > 1:
        one = _process(pid)
        if one is None:
            return
        yield one
        pid = one.parent


def _monitor(account: str) -> _Process:
    """The process that lives as long as the connection for which we are asked (rule 4)."""
    for one in _above(os.getppid()):
        with open(f"/proc/{one.pid}/cmdline", "rb") as file:
            title = file.read().rstrip(b"\0").decode("ascii", "replace")
        for program in ("sshd-session: ", "sshd: "):
            # A title may be cut short. That of the process that listens goes on with a path: it's no account.
            if len(title) > len(program) and f"{program}{account} [priv]".startswith(title):
                _require_ours(one)
                return one
    raise _RefusedError(f"no process above us is a connection to {_show(account)}")


def _require_ours(one: _Process) -> None:
    """Go on only with a process that we may end: whoever else sshd has run us as can end nobody (rule 5)."""
    with open(f"/proc/{one.pid}/status", encoding="utf-8", errors="replace") as file:
        users = next((line for line in file if line.startswith("Uid:")), "").split()[1:]
    if set(users) != {str(os.geteuid())}:
        raise _RefusedError("the connection is another account's than ours, and we could never end it")


def _mount() -> str:
    """Where the host's control groups are; empty where there are none."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            place, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                return place.split()[4].replace("\\040", " ")
    return ""


def _groups(one: _Process, at: float | None = None) -> Iterator[str]:
    """The control groups that are a connection's alone: ours, and its session's scope (rule 5)."""
    mount = _mount()
    if not mount:
        return
    yield os.path.join(mount, _GROUPS, f"{one.pid}.{one.start}")
    for file in os.listdir(_SESSIONS) if at is not None and os.path.isdir(_SESSIONS) else ():
        told = _told(os.path.join(_SESSIONS, file))
        scope, user = told.get("SCOPE", ""), told.get("UID", "")
        if told.get("LEADER") != str(one.pid) or not user.isdigit():
            continue
        if not (scope.startswith("session-") and scope.endswith(".scope")) or "/" in scope:
            continue
        # Where the monitor is gone, its number may be another's: not so soon.
        if one.lives or -1 <= int(told.get("REALTIME", "0")) / 1e6 - (at or 0) <= _LOGIN:
            yield os.path.join(mount, "user.slice", f"user-{user}.slice", scope)


def _told(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    except (FileNotFoundError, IsADirectoryError):
        return {}


def _is_populated(group: str) -> bool:
    try:
        with open(os.path.join(group, "cgroup.events"), encoding="ascii") as file:
            return "populated 0" not in file.read().splitlines()
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return False


def _hold(monitor: _Process) -> None:
    """Put it where all that comes of it stays (rule 5)."""
    if os.geteuid():
        return
    group = next(_groups(monitor), "")
    if not group:
        raise _RefusedError("nothing can hold what comes of a session: this host has no cgroup2")
    os.makedirs(group, 0o755, exist_ok=True)
    if not os.path.exists(os.path.join(group, "cgroup.kill")):
        raise _RefusedError("nothing can end what comes of a session: this host's kernel is older than 5.14")
    with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as file:
        file.write(str(monitor.pid))


def _authorities(state: _State, file: str = "ca.pub") -> set[str]:
    """The keys of the authorities in a file."""
    return {line.split()[1] for line in state.read(file) if not line.startswith("#") and line.strip()}


def _principals(state: _State, key_id: str, serial: str, account: str, authority: str) -> list[str]:
    """Who may log in to the account by such a certificate; raises where nobody may."""
    ours = _authorities(state)
    if not ours or not authority.startswith("AAAA") or not serial.isdigit() or not _is_account(account):
        raise _RefusedError(f"{_show(account)} is no account, or there is no authority")
    if authority not in ours:
        return [account]  # 6
    if not _is_name(key_id):
        raise _RefusedError(f"{_show(key_id)} is no name of ours")
    with state:
        if state.has("revoked", key_id) or not state.has("admitted", key_id):
            raise _RefusedError(f"`{key_id}` is not admitted")
        admitted, ends, *principals = state.read("admitted", key_id)
        if admitted != account or int(ends) <= time.time():
            raise _RefusedError(f"`{key_id}` is not admitted to {_show(account)}, or not any more")
        if not _is_words(principals):
            raise _RefusedError(f"what `{key_id}` was admitted with can't be read")
        monitor, folder = _monitor(account), state.path("open", key_id)
        os.makedirs(folder, 0o700, exist_ok=True)
        if len(os.listdir(folder)) >= _MANY:
            state.open(key_id)
        record = os.path.join(folder, f"{monitor.pid}.{monitor.start}.{_boot()}")
        os.close(os.open(record, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))  # 4
        os.utime(record)
        _hold(monitor)
    return principals


def _hello(_: _State) -> dict[str, object]:
    return {"ok": {"version": VERSION, "now": int(time.time())}}


def _admit(state: _State, name: str, account: str, principals: list[str], ends: int) -> dict[str, object]:
    with state:
        if state.has("admitted", name) or state.has("revoked", name) or state.open(name):
            return {"no": "name-taken"}
        if ends <= time.time():
            raise _RefusedError("that is over by this host's clock")
        state.write("admitted", name, text="".join(f"{one}\n" for one in (account, ends, *principals)))
    return {"ok": {}}


def _look(state: _State, name: str) -> dict[str, object]:
    with state:
        count = len(state.open(name))
        return {"ok": {"exists": state.has("admitted", name) or count > 0, "open": count}}


def _sweep(state: _State, prefix: str) -> dict[str, object]:
    with state:
        found = {*state.names("admitted"), *(one for one in state.names("open") if state.open(one))}
    return {"ok": {"names": sorted(one for one in found if one.startswith(prefix))}}


def _revoke(state: _State, name: str, ends: int) -> dict[str, object]:
    with state:
        for kind in ("admitted", "revoked"):
            if state.has(kind, name):
                ends = max(ends, _end_of(state, kind, name))
        trouble = _withdraw(state, name, ends)
        connections = state.open(name)
    cut, until, struck = len(connections), time.monotonic() + _PATIENCE, list[_Process]()
    while connections or struck:
        with state:
            struck = [one for record in connections for one in _strike(record)] + struck
            connections = [one for one in connections if one.is_open]
        struck = [one for one in struck if one.lives]
        ours = {one.pid for one in _above(os.getpid())}  # 9
        if time.monotonic() > until or (
            not struck and connections and ours.issuperset(one.pid for one in connections)
        ):
            return {"no": "still-open", "open": max(len(connections), 1)}
        time.sleep(_PAUSE if connections or struck else 0)
    if trouble is not None:
        raise trouble
    with state:
        _require_gone(state, name, ends)
    return {"ok": {"cut": cut}}


def _withdraw(state: _State, name: str, ends: int) -> Exception | None:
    """Let nobody in by the name any more; what of that is not as it has to be (rule 7)."""
    trouble: Exception | None = None
    try:
        state.write("revoked", name, text=f"{ends}\n")
    except OSError as error:
        trouble = error
        if state.has("admitted", name) and not state.has("revoked", name):
            os.rename(state.path("admitted", name), state.path("revoked", name))
    _remove(state.path("admitted", name))
    _sync(state.path("admitted"))
    try:
        _publish_krl(state, name)
    except _FAILURES as error:
        trouble = error
    return trouble


def _end_of(state: _State, kind: str, name: str) -> int:
    """When a name is over: an admission says so after its account, wherever it stands (rule 7)."""
    return int(state.read(kind, name)[:2][-1])


def _publish_krl(state: _State, kept: str = "") -> None:
    """The KRL of what is not over yet; the name that is kept doesn't become free now (rules 7, 10)."""
    now, names = time.time(), []
    for name in state.names("revoked"):
        ends = _end_of(state, "revoked", name)
        if ends + _IN_KRL > now:
            names.append(name)
        elif ends + _TAKEN < now and name != kept:
            _remove(state.path("revoked", name))
    state.write("names", text="".join(f"id: {name}\n" for name in sorted(names)))
    for one in os.listdir(state.folder):
        if one.startswith("krl."):
            _remove(state.path(one))
    # A name of its own: what a call that was killed had begun may be written still.
    fresh = state.path(f"krl.{os.getpid()}")
    command = ["ssh-keygen", "-q", "-k", "-s", "none", "-f", fresh, state.path("names")]
    nowhere = [(os.POSIX_SPAWN_OPEN, one, os.devnull, os.O_RDWR, 0) for one in range(3)]
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=nowhere)
    status = os.waitpid(child, 0)[1]
    if status:
        raise _RefusedError(f"`ssh-keygen` made no KRL: status {status}")
    state.publish(fresh, state.path("krl"), 0o644)


def _require_gone(state: _State, name: str, ends: int) -> None:
    """Look at all of it again (rule 7)."""
    if state.has("admitted", name) or not state.has("revoked", name) or state.open(name):
        raise _RefusedError("the host still admits the name, or let somebody in")
    with open(state.path("krl"), "rb") as file:
        told = len(name).to_bytes(4, "big") + name.encode() in file.read()
    if not told and ends + _IN_KRL > time.time():
        raise _RefusedError("the KRL has not got the name")
    _remove(state.path("open", name), os.rmdir)


def _strike(record: _Record) -> list[_Process]:
    """Stop what comes of a connection, and kill it (rule 8); whom that met."""
    from signal import SIGKILL, SIGSTOP

    spared = {1, os.getpid()} | {one.pid for one in _above(os.getpid())}  # 9
    tree: dict[int, _Process] = {}
    for _ in range(_ROUNDS):
        found = [one for one in _tree(record) if one.pid not in spared]
        fresh = [one for one in found if one.pid not in tree]
        for one in fresh:
            tree[one.pid] = one
            _signal(one, SIGSTOP)
        if not fresh and all(one.state in {"T", "t", "D", "dead"} for one in found):
            break
    for group in _groups(record, record.at):
        _kill_group(group, spared)
    for one in tree.values():
        _signal(one, SIGKILL)
    return list(tree.values())


def _tree(record: _Record) -> list[_Process]:
    """The monitor and all that descends from it, parents first."""
    below: dict[int, list[_Process]] = {}
    for number in os.listdir("/proc"):
        one = _process(int(number)) if number.isdigit() else None
        if one is not None:
            below.setdefault(one.parent, []).append(one)
    first = _process(record.pid)
    tree = [first] if first is not None and first.start == record.start else []
    for one in tree:
        tree += [child for child in below.get(one.pid, ()) if child.start >= one.start]
    return tree


def _signal(one: _Process, number: int) -> None:
    """Signal whoever is meant, and nobody who has the number by now (rule 9)."""
    from signal import pidfd_send_signal

    try:
        handle = os.pidfd_open(one.pid)
    except ProcessLookupError:
        return
    try:
        if one.lives:
            pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _kill_group(group: str, spared: set[int]) -> None:
    """Kill all that is in it and below it, unless somebody is to be spared (rule 9)."""
    from signal import SIGKILL

    try:
        if spared & _members_of(group):
            return
        with open(os.path.join(group, "cgroup.kill"), "w", encoding="ascii") as file:
            file.write("1")
        # The kernel's own kill misses who has ended its first thread and goes on with others.
        left = [one for one in map(_process, _members_of(group)) if one is not None]
        still = _members_of(group)
        for one in left:
            if one.pid in still:
                _signal(one, SIGKILL)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def _members_of(group: str) -> set[int]:
    """The processes in a control group and below it."""
    found: set[int] = set()
    for folder, _, _ in os.walk(group):
        with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
            found.update(int(line) for line in file)
    return found


_Answer = dict[str, object]
_REQUESTS: dict[str, tuple[Callable[..., _Answer], dict[str, Callable[[object], bool]]]] = {
    "hello": (_hello, {}),
    "admit": (_admit, {"name": _is_name, "account": _is_account, "principals": _is_words, "ends": _is_end}),
    "revoke": (_revoke, {"name": _is_name, "ends": _is_end}),
    "look": (_look, {"name": _is_name}),
    "sweep": (_sweep, {"prefix": _is_prefix}),
}


def _request(state: _State, line: bytes) -> _Answer:
    """The answer to one line."""
    from json import loads

    if not line.endswith(b"\n"):
        raise _RefusedError("that line is too long, or was cut off")
    try:
        asked = loads(line.decode(), object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise _RefusedError("that is no line of JSON") from None
    word = asked.pop("do", None) if isinstance(asked, dict) else None
    if not isinstance(word, str) or word not in _REQUESTS:
        raise _RefusedError(f"{_show(word)} is no request")
    answer, members = _REQUESTS[word]
    if asked.keys() != members.keys():
        raise _RefusedError(f"`{word}` has the members {', '.join(members)}")
    for member, is_right in members.items():
        if not is_right(asked[member]):
            raise _RefusedError(f"`{member}` can't be {_show(asked[member])}")
    return answer(state, **asked)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise _RefusedError("a member stands twice")
    return dict(pairs)


def _serve(state: _State, _: list[str]) -> int:
    """Answer line by line, until there is none."""
    from json import dumps

    whole = True
    while line := sys.stdin.buffer.readline(_LINE + 1):
        begins, whole = whole, line.endswith(b"\n")
        if not begins:
            continue  # more of a line that was too long
        try:
            answer = _request(state, line)
        except _FAILURES as error:
            answer = {"no": "failed", "why": str(error)}
        sys.stdout.write(f"{dumps(answer)}\n")
        sys.stdout.flush()
    return 0


def _answer_sshd(state: _State, asked: list[str]) -> int:
    """Print who may log in; nobody, and why, where something is wrong."""
    import syslog

    try:
        key_id, serial, account, authority = asked
        principals = _principals(state, key_id, serial, account, authority)
    except _FAILURES as error:
        syslog.openlog(_GROUPS, syslog.LOG_PID, syslog.LOG_AUTH)
        syslog.syslog(syslog.LOG_NOTICE, f"nobody is let in: {error}")
        raise
    sys.stdout.write("".join(f"{one}\n" for one in principals))
    return 0


def _command(state: _State, word: str) -> str:
    told = f" --state {state.folder}" if state.folder != _STATE else ""
    return f"{sys.executable} -ISB {os.path.realpath(__file__)} {word}{told}"


def _lines(state: _State) -> dict[str, str]:
    """What sshd has to be told."""
    from pwd import getpwuid

    return {
        "TrustedUserCAKeys": state.path("ca.pub"),
        "RevokedKeys": state.path("krl"),
        "AuthorizedPrincipalsCommand": f"{_command(state, 'principals')} {_TOKENS}",
        "AuthorizedPrincipalsCommandUser": getpwuid(os.geteuid()).pw_name,
        "AuthorizedPrincipalsFile": "none",
    }


def _install(state: _State, asked: list[str]) -> int:
    """Make the state, trust this authority too, and print the lines for sshd."""
    from binascii import a2b_base64

    kind, key = ((asked[1:] or [""])[0].split() if asked[:1] == ["--ca"] else ["", ""])[:2]
    if len(asked[1:]) != 1 or not a2b_base64(key.encode()).startswith(
        len(kind).to_bytes(4, "big") + kind.encode()
    ):
        raise _RefusedError("`install` takes --ca 'TYPE KEY', as in a `.pub` file")
    os.makedirs(state.folder, 0o755, exist_ok=True)
    for one in ("admitted", "revoked", "open"):
        os.makedirs(state.path(one), 0o700, exist_ok=True)
    os.close(os.open(state.path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with state:
        known = state.read("ca.pub") if state.has("ca.pub") else []
        lines = sorted({*known, f"{kind} {key}"})
        state.write("ca.pub", text="".join(f"{one}\n" for one in lines), mode=0o644)
        _publish_krl(state)
    for name, value in _lines(state).items():
        sys.stdout.write(f"{name} {value}\n")
    sys.stdout.write(
        f'# in authorized_keys: restrict,command="{_command(state, "serve")}" KEY OF THE BROKER\n'
    )
    return 0


def _check(state: _State, asked: list[str]) -> int:
    """Print what sshd and this host lack; more words are for `sshd -T`."""
    from subprocess import run

    told = run(["sshd", "-T", *asked], capture_output=True, text=True, check=False)  # noqa: S603, S607 - root's own words, on a path of ours
    if told.returncode:
        raise _RefusedError(f"sshd doesn't say its settings: {told.stderr.strip()}")
    has = dict(line.partition(" ")[::2] for line in told.stdout.splitlines())
    lacks = []
    for name, value in _lines(state).items():
        there = has.get(name.lower(), "")
        if name == "TrustedUserCAKeys" and os.path.isfile(there):  # may have others' too
            right = _authorities(state) <= _authorities(
                _State(os.path.dirname(there)), os.path.basename(there)
            )
        else:
            right = there == value or (name == "AuthorizedPrincipalsCommand" and there.endswith(f" {value}"))
        lacks += [] if right else [f"{name} {value}"]
    for path in map(os.path.realpath, (__file__, sys.executable, state.path("krl"), state.path("admitted"))):
        parts = path.split("/")
        for one in ("/".join(parts[:count]) or "/" for count in range(1, len(parts) + 1)):
            found = os.stat(one)
            changeable = found.st_mode & 0o022 and not found.st_mode & 0o1000
            if changeable or found.st_uid not in {0, os.geteuid()}:
                lacks.append(f"# others can change {one}")
    if not _mount():
        lacks.append("# this host has no cgroup2")
    sys.stdout.write("".join(f"{one}\n" for one in dict.fromkeys(lacks)))
    return 1 if lacks else 0


_WORDS = {"principals": _answer_sshd, "serve": _serve, "install": _install, "check": _check}


def main(words: list[str]) -> int:
    """Do what the words say: `install`, `check`, `principals` or `serve`, perhaps `--state FOLDER`, the rest.

    Returns:
        What the process ends with: 0, or 1 where that was not done or not right.
    """
    word, *asked = words or [""]
    folder = _STATE
    # Four words of sshd's are its four, whatever they are: a certificate says what its key id is.
    if (
        asked[:1] == ["--state"]
        and len(asked) > 1
        and not (word == "principals" and len(asked) == len(_TOKENS.split()))
    ):
        folder, asked = asked[1], asked[2:]
    os.environ.clear()
    os.environ.update(PATH=_PATH)
    try:
        if word not in _WORDS or not folder.startswith("/") or not _is_word(folder):
            raise _RefusedError(f"the words are {', '.join(_WORDS)}, and a state's folder is a whole path")
        return _WORDS[word](_State(folder), asked)
    except _FAILURES as error:
        sys.stderr.write(f"{_GROUPS}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
