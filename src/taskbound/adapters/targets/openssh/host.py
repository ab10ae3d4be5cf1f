#!/usr/bin/python3 -ISB
"""The helper on an OpenSSH host: admits certificates by name, ends their connections, and proves it.

One file for Python 3.9 and OpenSSH alone; it is copied to a host, where sshd and the broker run it.

1. A name is `tb_` and 44 characters of a-z, 2-7 and `_`. Accounts, principals and lines are parsed as
   strictly: an invalid name never becomes a path, and no output reads as an option or a second line.
2. State is a folder: `admitted/NAME` (account, end, principals: a line each), `revoked/NAME` (end),
   `open/NAME/PID.START.BOOT`, `ca.pub`, `krl`, `lock`. Files are written aside, synced, renamed, and the
   folder synced. `open` is not synced: a crash of the host ends the connections too.
3. All that changes or relies on the state holds the lock, which ends with its process.
4. A login is recorded before its principals are printed, by the connection's monitor process: the caller
   of sshd's command, known by its title, which lives as long as the connection. So a login under way
   during a revocation is either recorded or finds no admission. sshd asks before it verifies a signature:
   a client that only offered a certificate is recorded and ended too.
5. The monitor gets a control group of its own, which all its descendants inherit and only root leaves; a
   systemd session scope absorbs it and is found by its leader. As root, no login is admitted without such
   a group. If sshd runs unprivileged (tests), only the process tree is used.
6. Certificates of other CAs are decided as sshd would without the helper; a CA is compared by its key.
7. Revoking writes `revoked/NAME` first, so the name is never free; then removes the admission; then
   renames a new KRL into place; then ends what is open; then checks all of it again. Every step looks
   at the state and remembers nothing, so an interrupted revocation is completed. If nothing can be written
   or started (any account can fill a host), the admission itself is renamed into `revoked`, connections
   are ended, and failure is reported.
8. Ending stops the trees of all connections, parents first, until no new process appears or for
   `_STOPPING`; then kills the groups, their members and the trees. The lock is held meanwhile, so no
   process that holds it is stopped. All are ended together, each round with one look at the processes and
   one at systemd's sessions, whatever their number.
9. A process is identified by pid, start and boot, and signaled through a pidfd that was compared. Pid 1,
   this process and its ancestors are spared: revoking one's own connection reports that it is open.
10. Names stay in the KRL until five minutes after their end, and stay taken for a day after it.
11. Discovery changes nothing and holds no lock. Of a key it reports type, fingerprint, comment and
    restrictions; of a forced command only the program, as arguments may hold a secret; of a password that
    there is one. Omissions are counted by a word of `_MISSED`.
12. An account's settings are sshd's own (`sshd -T`) for a client like the broker, with the configuration
    file of the sshd above us, or its default; where that takes too long, the global ones.
13. An account's files are read with its rights, as sshd does, by a process that is killed if too slow: no
    link leads to unreadable files, and only regular files are opened. Files, keys and accounts are
    limited. If we are not root, only our own account can log in.
14. A connection is a process of sshd with the account's uid below a monitor of ours; connections of names
    on record are not counted.
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
    from pwd import struct_passwd
    from typing import Any


VERSION = 2
"""The protocol version that the broker requires."""
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
_STOPPING = 1.0
"""Seconds for stopping: faster forks are still killed by their group."""
_MANY = 16
"""From so many records of a name on, a login forgets those that are over."""
_GROUPS = "taskbound-ssh"
_GONE = (errno.ENOENT, errno.ENODEV)
"""What is said of a control group that is not there any more."""
_SSHD = ("sshd-session: ", "sshd: ")
_FILE, _KEYS, _ACCOUNTS = 1 << 20, 2_000, 5_000
"""Bytes of a file, keys of a file, and accounts that are looked at."""
_EACH, _JUDGED = 0.7, 0.5
"""Seconds for the files of one account, and the part of all the time in which sshd is asked of accounts."""
_TEXT, _PARTS, _DAY = 200, 16, 86_400
_ROOTLIKE = {"admin", "disk", "docker", "incus-admin", "lxd", "sudo", "wheel"}
"""Groups whose members can become root."""
_BEYOND = {"adm", "kmem", "kvm", "libvirt", "shadow", "systemd-journal"}
_MISSED = (
    "accounts",  # are more than were looked at
    "directory",  # accounts whose password is kept elsewhere
    "gssapi",  # lets accounts in
    "hostbased",  # lets accounts in
    "journal",  # can't be had
    "keys",  # of a file are more than were read
    "long",  # files
    "methods",  # several have to be shown together, for accounts
    "refused",  # accounts that have something, and that sshd keeps out by name
    "settings",  # of accounts were taken as those of all
    "shadow",  # can't be read
    "slow",  # accounts whose files were not read in time
    "unread",  # files
)
_CONFIG = "/etc/ssh/sshd_config"
_NO_WAY = (errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM)
"""Reported for a file that admits no key, as sshd can't read it either."""
_ROW = {
    "how": "",
    "account": "",
    "reach": 2,
    "groups": [],
    "runs": True,
    "open": 0,
    "made": 0,
    "used": 0,
    "ends": 0,
    "mark": "",
    "type": "",
    "comment": "",
    "program": "",
    "source": "",
    "bound": [],
    "file": "",
    "line": 0,
    "changed": 0,
    "empty": False,
    "ours": False,
    "root": False,
}
"""One reported way in."""
_SESSIONS = "/run/systemd/sessions"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class _RefusedError(Exception):
    pass


_FAILURES = (_RefusedError, OSError, ValueError, LookupError)


class _Process:
    def __init__(self, pid: int, start: int, parent: int = 0, state: str = "") -> None:
        self.pid, self.start, self.parent, self.state = pid, start, parent, state

    @property
    def lives(self) -> bool:
        now = _process(self.pid)
        return now is not None and now.start == self.start and now.state != "dead"


class _Record(_Process):
    """A connection's monitor, as recorded when principals were last printed to it (rule 4)."""

    def __init__(self, path: str) -> None:
        pid, start, boot = os.path.basename(path).split(".")
        super().__init__(int(pid), int(start))
        self.path, self.at, self.now = path, os.stat(path).st_mtime, boot == _boot()

    def is_open(self, groups: _Groups) -> bool:
        return self.now and (self.lives or any(_is_populated(one) for one in groups.of(self)))

    def forget(self, groups: _Groups) -> None:
        for folder, _, _ in os.walk(groups.own(self), topdown=False) if self.now else ():
            _remove(folder, os.rmdir)
        _remove(self.path)


class _Groups:
    def __init__(self) -> None:
        self.mount = _mount()
        self._sessions: dict[str, list[dict[str, str]]] | None = None

    def own(self, one: _Process) -> str:
        return os.path.join(self.mount, _GROUPS, f"{one.pid}.{one.start}") if self.mount else ""

    def of(self, one: _Record) -> Iterator[str]:
        if not self.mount:
            return
        yield self.own(one)
        for told in self._led_by(one.pid):
            scope, user = told.get("SCOPE", ""), told.get("UID", "")
            if not user.isdigit() or "/" in scope:
                continue
            if not (scope.startswith("session-") and scope.endswith(".scope")):
                continue
            # Where the monitor is gone, its number may be another's: not so soon.
            if one.lives or -1 <= int(told.get("REALTIME", "0")) / 1e6 - one.at <= _LOGIN:
                yield os.path.join(self.mount, "user.slice", f"user-{user}.slice", scope)

    def _led_by(self, pid: int) -> list[dict[str, str]]:
        if self._sessions is None:
            self._sessions = {}
            for file in os.listdir(_SESSIONS) if os.path.isdir(_SESSIONS) else ():
                told = _told(os.path.join(_SESSIONS, file))
                self._sessions.setdefault(told.get("LEADER", ""), []).append(told)
        return self._sessions.get(str(pid), [])


class _State:
    """The state folder; as a context, its lock (rules 2, 3)."""

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
        os.chmod(fresh, mode)
        _sync(fresh)
        os.replace(fresh, path)
        _sync(os.path.dirname(path))

    def names(self, kind: str) -> list[str]:
        return [one for one in os.listdir(self.path(kind)) if _is_name(one)]

    def open(self, name: str) -> list[_Record]:
        """Returns a name's live connections and forgets the others. The lock must be held."""
        found, folder, groups = [], self.path("open", name), _Groups()
        for one in os.listdir(folder) if os.path.isdir(folder) else ():
            record = _Record(os.path.join(folder, one))
            if record.is_open(groups):
                found.append(record)
            else:
                record.forget(groups)
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


def _is_prefixes(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _MOST and all(map(_is_prefix, value))


def _is_many(value: object) -> bool:
    return type(value) is int and 0 < value <= _ACCOUNTS


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
    while pid > 1:
        one = _process(pid)
        if one is None:
            return
        yield one
        pid = one.parent


def _title(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0").replace(b"\0", b" ").decode("ascii", "replace")


def _users(pid: int) -> set[int]:
    """Returns real, effective and saved uids of a process."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return set(map(int, next((line for line in file if line.startswith("Uid:")), "").split()[1:]))


def _monitor(account: str) -> _Process:
    for one in _above(os.getppid()):
        title = _title(one.pid)
        for program in _SSHD:
            # A title may be cut short. That of the process that listens goes on with a path: it's no account.
            if len(title) > len(program) and f"{program}{account} [priv]".startswith(title):
                _require_ours(one)
                return one
    raise _RefusedError(f"no process above us is a connection to {_show(account)}")


def _require_ours(one: _Process) -> None:
    if _users(one.pid) != {os.geteuid()}:
        raise _RefusedError("the connection is another account's than ours, and we could never end it")


def _mount() -> str:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            place, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                return place.split()[4].replace("\\040", " ")
    return ""


def _told(path: str) -> dict[str, str]:
    """Parses a file of systemd's; pipes beside them yield nothing."""
    from stat import S_ISREG

    try:
        if not S_ISREG(os.stat(path).st_mode):
            return {}  # to open a pipe is to wait for who writes there
        with open(path, encoding="utf-8", errors="replace") as file:
            return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    except FileNotFoundError:
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
    if os.geteuid():
        return
    group = _Groups().own(monitor)
    if not group:
        raise _RefusedError("nothing can hold what comes of a session: this host has no cgroup2")
    os.makedirs(group, 0o755, exist_ok=True)
    if not os.path.exists(os.path.join(group, "cgroup.kill")):
        raise _RefusedError("nothing can end what comes of a session: this host's kernel is older than 5.14")
    with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as file:
        file.write(str(monitor.pid))


def _authorities(state: _State, file: str = "ca.pub") -> set[str]:
    return {line.split()[1] for line in state.read(file) if not line.startswith("#") and line.strip()}


def _principals(state: _State, key_id: str, serial: str, account: str, authority: str) -> list[str]:
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
            struck = _strike(connections) + struck
            groups = _Groups()
            connections = [one for one in connections if one.is_open(groups)]
        struck = [one for one in struck if one.lives]
        ours = {one.pid for one in _above(os.getpid())}  # 9
        if (connections or struck) and (
            time.monotonic() > until or (not struck and ours.issuperset(one.pid for one in connections))
        ):
            return {"no": "still-open", "open": max(len(connections), 1)}
        time.sleep(_PAUSE if connections or struck else 0)
    if trouble is not None:
        raise trouble
    with state:
        _require_gone(state, name, ends)
    return {"ok": {"cut": cut}}


def _withdraw(state: _State, name: str, ends: int) -> Exception | None:
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
    return int(state.read(kind, name)[:2][-1])


def _publish_krl(state: _State, kept: str = "") -> None:
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
    if state.has("admitted", name) or not state.has("revoked", name) or state.open(name):
        raise _RefusedError("the host still admits the name, or a connection of it is open")
    with open(state.path("krl"), "rb") as file:
        told = len(name).to_bytes(4, "big") + name.encode() in file.read()
    if not told and ends + _IN_KRL > time.time():
        raise _RefusedError("the KRL has not got the name")
    _remove(state.path("open", name), os.rmdir)


def _strike(records: list[_Record]) -> list[_Process]:
    from signal import SIGKILL, SIGSTOP

    spared = {1, os.getpid()} | {one.pid for one in _above(os.getpid())}  # 9
    tree: dict[int, _Process] = {}
    until = time.monotonic() + _STOPPING
    while records and time.monotonic() < until:
        found = [one for one in _tree(records) if one.pid not in spared]
        fresh = [one for one in found if one.pid not in tree]
        for one in fresh:
            tree[one.pid] = one
            _signal(one, SIGSTOP)
        if not fresh and all(map(_is_stopped, found)):
            break
    groups = _Groups()
    for group in [group for one in records for group in groups.of(one)]:
        _kill_group(group, spared)
    for one in tree.values():
        _signal(one, SIGKILL)
    return list(tree.values())


def _is_stopped(one: _Process) -> bool:
    """A zombie leader counts as its other threads do."""
    if one.state != "Z":
        return one.state in {"T", "t", "D", "dead"}
    try:
        others = [_process(int(thread)) for thread in os.listdir(f"/proc/{one.pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return all(other is None or other.state in {"T", "t", "D", "Z", "dead"} for other in others)


def _tree(records: list[_Record]) -> list[_Process]:
    there: dict[int, _Process] = {}
    below: dict[int, list[_Process]] = {}
    for number in os.listdir("/proc"):
        one = _process(int(number)) if number.isdigit() else None
        if one is not None:
            there[one.pid] = one
            below.setdefault(one.parent, []).append(one)
    firsts = [(there.get(record.pid), record.start) for record in records]
    tree = [one for one, start in firsts if one is not None and one.start == start]
    for one in tree:
        tree += [child for child in below.get(one.pid, ()) if child.start >= one.start]
    return tree


def _signal(one: _Process, number: int) -> None:
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
    found: set[int] = set()
    for folder, _, _ in os.walk(group):
        with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
            found.update(int(line) for line in file)
    return found


class _Account:
    def __init__(
        self, who: struct_passwd, settings: dict[str, str], secret: str, made: int, ends: int
    ) -> None:
        self.who, self.settings = who, settings
        self.secret, self.made, self.ends = secret, made, ends
        self.root = settings.get("permitrootlogin", "yes") if who.pw_uid == 0 else "yes"
        named = settings.get("authorizedkeysfile", "none").split()
        takes = settings.get("pubkeyauthentication", "yes") == "yes"
        self.paths = [path for path in (_path_of(one, who) for one in named) if path and takes]


class _Discovery:
    def __init__(self, state: _State, seconds: int) -> None:
        self.state, now = state, time.monotonic()
        self.judged, self.until = now + seconds * _JUDGED, now + seconds
        self.rows: list[dict[str, Any]] = []
        self.missed = dict.fromkeys(_MISSED, 0)
        self.programs: set[str] = set()
        self.sshd = _sshd_above()
        general = _settings(self.sshd)
        if general is None:
            raise _RefusedError("`sshd -T` doesn't say its settings")
        self.general, self.differ = general, _says_match(self.sshd[2] if self.sshd[1:] else _CONFIG)
        self.trusted = {general.get("trustedusercakeys", "none")}
        self.shadow = _shadow()
        self.missed["shadow"] = int(self.shadow is None)
        used = _last_used()
        self.used, self.missed["journal"] = used or {}, int(used is None)
        self.groups = _groups_of_all()
        self.open = _connections(state)

    def accounts(self) -> None:
        from pwd import getpwall

        found = [one for one in getpwall() if os.geteuid() in {0, one.pw_uid}]
        found.sort(key=lambda one: (one.pw_uid != 0, not _is_shell(one.pw_shell), one.pw_uid))
        known = [self._account(one) for one in found[:_ACCOUNTS]]
        some = [one for one in known if one is not None]
        over = len(found[_ACCOUNTS:]) + len(some)
        for one, told in zip(some, _read_all(some, self.until)):  # noqa: B905 - Python 3.9 has no `strict`
            over -= 1
            self._found(one, told)
        self.missed["accounts"] = over

    def authorities(self) -> None:
        ours = _authorities(self.state)
        for path in sorted({one for paths in self.trusted for one in paths.split()} - {"none"}):
            for one in self._counted(_keys_in([path])):
                self.rows.append(_row("authority", one, reach=0, ours=one["key"] in ours))

    def names(self, prefixes: list[str]) -> None:
        with self.state:
            for name in self.state.names("admitted"):
                if not name.startswith(tuple(prefixes)) or "_" in name[12:]:
                    account, ends, *_ = self.state.read("admitted", name)
                    self.rows.append(_row("name", account=_cut(account), comment=name, ends=int(ends)))

    def _account(self, who: struct_passwd) -> _Account | None:
        settings = self._settings_of(who.pw_name)
        secret, made, ends = self._secret_of(who.pw_name)
        if settings.get("permitrootlogin") == "no" and who.pw_uid == 0:
            return None
        if secret.startswith("!") and settings.get("usepam") != "yes":
            return None  # sshd itself takes that for locked
        return _Account(who, settings, secret, made, ends) if _is_shell(who.pw_shell) else None

    def _found(self, one: _Account, told: dict[str, Any] | None) -> None:
        who, name, found = one.who, one.who.pw_name, []
        if _takes_password(one.settings, one.root, one.secret):
            used = self.used.get((name, ""), 0)
            found.append(_row("password", made=one.made, empty=not one.secret, used=used))
        self.missed["slow"] += told is None
        for key in self._counted(told) if told is not None else ():
            if one.root != "forced-commands-only" or key["program"]:
                used = self.used.get((name, key["mark"]), 0)
                found.append(_row("authority" if key["signs"] else "key", key, used=used))
        some = self.groups.items()
        groups = {group for group, (number, names) in some if number == who.pw_gid or name in names}
        if found and not _is_allowed(name, groups, one.settings):
            self.missed["refused"] += 1
            return
        runs = os.path.basename(who.pw_shell) not in {"nologin", "false"}
        reach = 0 if who.pw_uid == 0 or groups & _ROOTLIKE else 1 if groups & _BEYOND else 2
        forced = _program(one.settings.get("forcecommand", "none"))
        for row in found:
            row.update(account=_cut(name), root=who.pw_uid == 0, runs=runs, open=self.open.get(name, 0))
            row.update(groups=sorted(groups & (_ROOTLIKE | _BEYOND)), program=row["program"] or forced)
            row.update(reach=reach if runs and not row["program"] else max(reach, 1))
            row.update(ends=min((end for end in (row["ends"], one.ends) if end), default=0))
        self.rows += found

    def _settings_of(self, account: str) -> dict[str, str]:
        found = None if self.differ else self.general
        if self.differ and time.monotonic() < self.judged and _is_account(account):
            found = _settings(self.sshd, account)
        if found is None:
            self.missed["settings"] += 1  # 12
            return self.general
        self.trusted.add(found.get("trustedusercakeys", "none"))
        command = found.get("authorizedkeyscommand", "none")
        if command != "none" and found.get("pubkeyauthentication") != "no":
            self.programs.add(_cut(command.split()[0]))
        self.missed["methods"] += found.get("authenticationmethods", "any") != "any"
        self.missed["hostbased"] += found.get("hostbasedauthentication", "no") != "no"
        self.missed["gssapi"] += "yes" in {
            found.get("gssapiauthentication"),
            found.get("kerberosauthentication"),
        }
        return found

    def _secret_of(self, account: str) -> tuple[str, int, int]:
        found = (self.shadow or {}).get(account)
        if found is None:
            self.missed["directory"] += self.shadow is not None
            return "*", 0, 0
        return found

    def _counted(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        for word, count in told["missed"].items():
            self.missed[word] += count
        return list(told["keys"])


def _row(how: str, key: dict[str, Any] | None = None, **members: object) -> dict[str, Any]:
    told = {one: value for one, value in (key or {}).items() if one in _ROW}
    return {**_ROW, **told, **members, "how": how}


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:_TEXT]


def _sshd_above() -> list[str]:
    for one in _above(os.getppid()):
        title, mark, _ = _title(one.pid).partition(" [listener] ")
        if not mark or not title.startswith("sshd: /") or _users(one.pid) != {os.geteuid()}:
            continue
        program, *words = title.split()[1:]
        file = words[words.index("-f") + 1 :][:1] if "-f" in words else []
        return [program, "-f", *file] if file and file[0].startswith("/") else [program]
    return ["sshd"]


def _settings(sshd: list[str], account: str = "") -> dict[str, str] | None:
    from subprocess import TimeoutExpired, run

    client, _, server, port = (os.environ.get("SSH_CONNECTION", "").split() + [""] * 4)[:4]
    client, server = (one if _is_word(one) else "127.0.0.1" for one in (client, server))
    spec = f"user={account},host={client},addr={client},laddr={server},lport={port if port.isdigit() else 22}"
    try:
        told = run(  # noqa: S603 - the sshd that is there, and words of ours
            [*sshd, "-T", *(["-C", spec] if account else [])],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
        )
    except TimeoutExpired:
        return None
    found: dict[str, str] = {}
    for line in told.stdout.splitlines() if not told.returncode else ():
        name, _, value = line.partition(" ")
        found[name] = f"{found[name]} {value}" if name in found else value
    return found or None


def _says_match(path: str, depth: int = 0) -> bool:
    from glob import glob

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.replace("=", " ").replace('"', " ").split() for line in file]
    except OSError:
        return True
    words = [line[0].lower() for line in lines if line]
    named = [one for line in lines if line and line[0].lower() == "include" for one in line[1:]]
    found = [one for name in named for one in glob(os.path.join(os.path.dirname(_CONFIG), name))]
    return "match" in words or depth > _PARTS or any(_says_match(one, depth + 1) for one in found)


def _shadow() -> dict[str, tuple[str, int, int]] | None:
    found = {}
    try:
        with open("/etc/shadow", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, secret, *days = (line.rstrip("\n").split(":") + [""] * 8)[:9]
                made, ends = (int(one) * _DAY if one.isdigit() else 0 for one in (days[0], days[5]))
                found[name] = secret[:1], made, ends
    except (FileNotFoundError, PermissionError):
        return None
    return found


def _groups_of_all() -> dict[str, tuple[int, set[str]]]:
    from grp import getgrall

    return {one.gr_name: (one.gr_gid, set(one.gr_mem)) for one in getgrall()}


def _is_shell(path: str) -> bool:
    return os.path.isfile(path or "/bin/sh") and os.access(path or "/bin/sh", os.X_OK)


def _takes_password(settings: dict[str, str], root: str, secret: str) -> bool:
    asks = settings.get("passwordauthentication") == "yes"
    if settings.get("kbdinteractiveauthentication") == "yes" and settings.get("usepam") == "yes":
        asks = True
    if not secret:
        asks = asks and settings.get("permitemptypasswords") == "yes"
    return asks and root == "yes" and secret not in {"!", "*", "x"}


def _is_allowed(account: str, groups: set[str], settings: dict[str, str]) -> bool:
    from fnmatch import fnmatchcase

    def among(setting: str, names: set[str]) -> bool:
        found = [one.partition("@") for one in settings.get(setting, "").split()]
        some = [who for who, mark, _ in found if not (mark and setting == "denyusers")]
        fits = {
            one: any(fnmatchcase(name, one.lstrip("!").replace("[", "[[]")) for name in names) for one in some
        }
        return any(fits[one] for one in some if one[:1] != "!") and not any(
            fits[one] for one in some if one[:1] == "!"
        )

    if among("denyusers", {account}) or among("denygroups", groups):
        return False
    return ("allowusers" not in settings or among("allowusers", {account})) and (
        "allowgroups" not in settings or among("allowgroups", groups)
    )


def _path_of(name: str, who: struct_passwd) -> str:
    """Returns the path of a file of `AuthorizedKeysFile`, or ''."""
    from re import sub

    if name == "none":
        return ""
    values = {"%": "%", "h": who.pw_dir, "u": who.pw_name, "U": str(who.pw_uid)}
    text = sub("%(.)", lambda one: values.get(one[1], ""), name)
    return os.path.join(who.pw_dir, text)


def _read_all(wanted: list[_Account], until: float) -> Iterator[dict[str, Any] | None]:
    """Yields `_keys_in` of each, in order; None for one that is too slow (rule 13). Ends early at `until`."""
    from json import dumps, loads
    from select import select
    from signal import SIGKILL

    # What reading needs is imported by us: an account may not even see where Python is.
    _key('expiry-time="20000101" ssh-none AAAACHNzaC1ub25l')
    _keys_in([os.devnull])
    while wanted and time.monotonic() < until:
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            try:
                with open(theirs, "wb") as file:
                    for one in wanted:
                        file.write(dumps(_read_as(one.who, one.paths)).encode() + b"\n")
                        file.flush()
            finally:
                os._exit(0)  # whatever it met: what it didn't write is missed
        os.close(theirs)
        raw, line, found = b"", b"", b"\n"
        try:
            while found and wanted:
                end, piece = min(until, time.monotonic() + _EACH), b"x"
                while b"\n" not in raw and piece:
                    there = select([ours], [], [], max(0.0, end - time.monotonic()))[0]
                    piece = os.read(ours, 1 << 16) if there else b""
                    raw += piece
                line, found, raw = raw.partition(b"\n")
                wanted = wanted[1:]
                yield loads(line) if found else None
        finally:
            os.close(ours)
            os.kill(child, SIGKILL)
            os.waitpid(child, 0)


def _read_as(who: struct_passwd, paths: list[str]) -> dict[str, Any]:
    """Runs `_keys_in` with the account's rights, which stay until the next call."""
    try:
        if not os.getuid():
            os.seteuid(0)
            os.setegid(who.pw_gid)
            os.setgroups(os.getgrouplist(who.pw_name, who.pw_gid))
            os.seteuid(who.pw_uid)
        return _keys_in(paths)
    except _FAILURES:
        return {"keys": [], "missed": {"unread": 1}}


def _keys_in(paths: list[str]) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    missed = {"unread": 0, "long": 0, "keys": 0}
    for path in dict.fromkeys(paths[:_PARTS]):
        try:
            raw, changed = _raw(path)
        except _RefusedError:
            continue  # no regular file: sshd takes none either
        except (OSError, ValueError) as error:
            missed["unread"] += getattr(error, "errno", 0) not in _NO_WAY
            continue
        missed["long"] += len(raw) > _FILE
        count = 0
        for number, line in enumerate(raw[:_FILE].split(b"\n"), 1):
            missed["long"] += len(line) > _LINE and len(raw) <= _FILE
            # Each key's text begins so, as its first member is short.
            told = b"AAAA" in line and len(line) <= _LINE
            one = _key(line.decode("utf-8", "replace").strip()) if told else None
            if one is None:
                continue
            count += 1
            if count <= _KEYS:
                found.append({**one, "file": _cut(path), "line": number, "changed": changed})
        missed["keys"] += max(0, count - _KEYS)
    return {"keys": found, "missed": missed}


def _raw(path: str) -> tuple[bytes, int]:
    from stat import S_ISREG

    if not S_ISREG(os.stat(path).st_mode):
        raise _RefusedError("that is no regular file")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        found, raw = os.fstat(handle), b""
        if not S_ISREG(found.st_mode):
            raise _RefusedError("that is no regular file")
        while len(raw) <= _FILE and (piece := os.read(handle, _FILE + 1 - len(raw))):
            raw += piece
    finally:
        os.close(handle)
    return raw, max(0, int(found.st_mtime))


def _key(line: str) -> dict[str, Any] | None:
    from binascii import b2a_base64
    from hashlib import sha256

    if not line or line[0] == "#":
        return None
    options: list[str] = []
    blob = _blob(line)
    if blob is None:
        options, line = _options(line)
        blob = _blob(line)
    if blob is None:
        return None
    kind, key, comment = [*line.split(None, 2), ""][:3]
    told = {one.partition("=")[0].lower(): one.partition("=")[2] for one in reversed(options) if one}
    shown = [one for one in told if one not in {"command", "from", "expiry-time", "cert-authority"}]
    return {
        "key": key,
        "mark": "SHA256:" + b2a_base64(sha256(blob).digest(), newline=False).decode().rstrip("="),
        "type": kind,
        "comment": _cut(comment),
        "program": _program(told.get("command", "none")),
        "source": _cut(told.get("from", "")),
        "bound": sorted(one for one in shown if one.replace("-", "").isalnum() and len(one) < _PARTS * 2)[
            :_PARTS
        ],
        "ends": _expiry(told.get("expiry-time", "")),
        "signs": "cert-authority" in told,
    }


def _program(command: str) -> str:
    """Extracts the program: variables with secrets may stand before it, and a password behind it."""
    words = [one for one in command.split() if "=" not in one]
    return "" if command == "none" else _cut(words[0] if words else "?")


def _blob(line: str) -> bytes | None:
    from binascii import Error, a2b_base64

    kind, key = [*line.split(None, 2), "", ""][:2]
    try:
        blob = a2b_base64(key.encode("ascii"))
    except (Error, UnicodeEncodeError):
        return None
    told = len(kind).to_bytes(4, "big") + kind.encode()
    return blob if kind.startswith(("ssh-", "ecdsa-", "sk-")) and blob.startswith(told) else None


def _options(line: str) -> tuple[list[str], str]:
    quoted, at, parts = False, 0, [[""]]
    while at < len(line) and (quoted or line[at] not in " \t"):
        char = line[at]
        if line[at : at + 2] == '\\"':
            parts[-1].append('"')
            at += 1
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            parts.append([""])
        else:
            parts[-1].append(char)
        at += 1
    return ["".join(one) for one in parts], line[at:].strip()


def _expiry(text: str) -> int:
    for form in ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"):
        try:
            told = time.strptime(text.rstrip("zZ"), form)
        except ValueError:
            continue
        from calendar import timegm

        return max(1, timegm(told) if text[-1] in "zZ" else int(time.mktime(told)))
    return 0


def _last_used() -> dict[tuple[str, str], int] | None:
    from subprocess import TimeoutExpired, run

    command = ["journalctl", "-q", "--no-pager", "-o", "short-unix", "-S", "-90d", "-n", "20000"]
    command += ["-t", "sshd", "-t", "sshd-session", "-g", "^Accepted ", "_UID=0"]
    try:
        told = run(command, capture_output=True, check=False, timeout=1.0)  # noqa: S603 - words of ours
    except (OSError, TimeoutExpired):
        return None
    return _used_in(told.stdout.decode("utf-8", "replace")) or None


def _used_in(text: str) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for line in text.splitlines():
        before, _, said = line.partition("]: Accepted ")
        words, when = said.split(), before.partition(".")[0]
        if len(words) < 3 or words[1] != "for" or not when.isdigit():  # noqa: PLR2004 - how, `for`, and whom
            continue
        mark = next((one for one in words if one.startswith("SHA256:")), "")
        if mark or words[0] != "publickey":
            found[words[2], mark] = max(int(when), found.get((words[2], mark), 0))
    return found


def _connections(state: _State) -> dict[str, int]:
    from pwd import getpwnam

    with state:
        known = {one.pid for name in state.names("open") for one in state.open(name)}
    found: dict[str, int] = {}
    for number in os.listdir("/proc"):
        try:
            title = _title(int(number)) if number.isdigit() else ""
            program = next((one for one in _SSHD if title.startswith(one)), "")
            account = title[len(program) :].partition("@")[0].strip()
            one = _process(int(number)) if program and not set(account) & set(" /[") else None
            if one is None or {one.pid, one.parent} & known:
                continue
            if _users(one.pid) != {getpwnam(account).pw_uid} or _users(one.parent) != {os.geteuid()}:
                continue
            if _title(one.parent).startswith(_SSHD):
                found[account] = found.get(account, 0) + 1
        except (KeyError, FileNotFoundError, ProcessLookupError):
            continue  # it ended, or its name is invalid
    return found


def _discover(state: _State, most: int, prefixes: list[str], seconds: int) -> dict[str, object]:
    look = _Discovery(state, seconds)
    look.accounts()
    look.authorities()
    look.names(prefixes)
    look.rows.sort(key=lambda one: (one["reach"], one["account"], one["how"], one["mark"], one["comment"]))
    programs = sorted(look.programs)[:_PARTS]
    return {
        "ok": {"rows": look.rows[:most], "count": len(look.rows), "missed": look.missed, "programs": programs}
    }


_Answer = dict[str, object]
_REQUESTS: dict[str, tuple[Callable[..., _Answer], dict[str, Callable[[object], bool]]]] = {
    "hello": (_hello, {}),
    "admit": (_admit, {"name": _is_name, "account": _is_account, "principals": _is_words, "ends": _is_end}),
    "revoke": (_revoke, {"name": _is_name, "ends": _is_end}),
    "look": (_look, {"name": _is_name}),
    "sweep": (_sweep, {"prefix": _is_prefix}),
    "discover": (_discover, {"most": _is_many, "prefixes": _is_prefixes, "seconds": _is_many}),
}


def _request(state: _State, line: bytes) -> _Answer:
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
    """Prints the principals that may log in; on any error none, and the reason."""
    import syslog

    try:
        key_id, serial, account, authority = asked
        principals = _principals(state, key_id, serial, account, authority)
    except _FAILURES as error:
        syslog.openlog(_GROUPS, syslog.LOG_PID, syslog.LOG_AUTH)
        syslog.syslog(syslog.LOG_NOTICE, f"no login is admitted: {error}")
        raise
    sys.stdout.write("".join(f"{one}\n" for one in principals))
    return 0


def _command(state: _State, word: str) -> str:
    told = f" --state {state.folder}" if state.folder != _STATE else ""
    return f"{sys.executable} -ISB {os.path.realpath(__file__)} {word}{told}"


def _lines(state: _State) -> dict[str, str]:
    from pwd import getpwuid

    return {
        "TrustedUserCAKeys": state.path("ca.pub"),
        "RevokedKeys": state.path("krl"),
        "AuthorizedPrincipalsCommand": f"{_command(state, 'principals')} {_TOKENS}",
        "AuthorizedPrincipalsCommandUser": getpwuid(os.geteuid()).pw_name,
        "AuthorizedPrincipalsFile": "none",
    }


def _install(state: _State, asked: list[str]) -> int:
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
    """Runs `install`, `check`, `principals` or `serve`, with an optional `--state FOLDER`; returns 0 or 1."""
    word, *asked = words or [""]
    folder = _STATE
    # Four words of sshd's are its four, whatever they are: a certificate says what its key id is.
    if (
        asked[:1] == ["--state"]
        and len(asked) > 1
        and not (word == "principals" and len(asked) == len(_TOKENS.split()))
    ):
        folder, asked = asked[1], asked[2:]
    came = os.environ.get("SSH_CONNECTION", "")
    os.environ.clear()
    os.environ.update(PATH=_PATH, SSH_CONNECTION=came)
    try:
        if word not in _WORDS or not folder.startswith("/") or not _is_word(folder):
            raise _RefusedError(f"the words are {', '.join(_WORDS)}, and a state's folder is a whole path")
        return _WORDS[word](_State(folder), asked)
    except _FAILURES as error:
        sys.stderr.write(f"{_GROUPS}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
