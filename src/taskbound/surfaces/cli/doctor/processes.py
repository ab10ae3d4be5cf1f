"""Findings about this account's processes in Linux's `/proc` that reach pinned servers without the gateway.

Earlier, disguised and other accounts' processes aren't seen (proc(5), proc_pid_net(5)), and neither are
connections to remote servers.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from taskbound.core.dataclass import dataclass
from taskbound.surfaces.cli.doctor.clients import starts
from taskbound.surfaces.cli.doctor.findings import finding
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.surfaces.cli.doctor.findings import Finding
    from taskbound.wire.tool import ServerSpec


_PROC: Final = Path("/proc")
_OURS: Final = frozenset({"demo", "egress", "gateway", "init", "try", "upstream"})
"""Commands of ours that start servers: the gateway, the egress, and those that look at them."""
_CLI: Final = "taskbound.wiring.cli"
_EGRESS: Final = "taskbound.wiring.egress"
_WITH_VALUE: Final = frozenset({"-W", "-X"})
"""Options of an interpreter with a word of their own behind them."""
_LISTENS: Final = "0A"
_CONNECTED: Final = "01"
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_PORTS: Final = {"http": 80, "https": 443}
_NEAR: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    pid: int
    parent: int
    name: str
    words: tuple[str, ...]
    """Its command line, with the program that it really is in the first place."""
    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Socket:
    local: int
    """Port."""
    remote: int
    """Port; of an address of the loopback, or 0."""
    state: str
    inode: str


def look_at_processes(pinned: Sequence[ServerSpec]) -> Iterator[Finding]:
    if not pinned:
        return
    far = [one.name for one in pinned if one.url and not _is_near(one)]
    if far:
        names = ", ".join(f"`{shown(one)}`" for one in far)
        yield finding(
            "processes", "warn", "not-seen", f"who else speaks to {names} can't be seen from this machine"
        )
    if not (_PROC / "self/stat").exists():
        yield finding("processes", "warn", "not-looked", "what runs is looked at on Linux only")
        return
    running = {one.pid: one for one in _processes()}
    started = [one for one in pinned if not one.url]
    for one in running.values():
        if _is_ours(one.pid, running):
            continue
        for spec in started:
            if starts(one.words, spec, directory=one.directory):
                yield _direct(one, spec, running)
    sockets = list(_sockets())
    for spec in pinned:
        if spec.url and _is_near(spec):
            yield from _reached(spec, sockets, running)


def _direct(one: _Process, spec: ServerSpec, running: Mapping[int, _Process]) -> Finding:
    parent = running.get(one.parent)
    by = f"process {one.parent}" + (f" (`{shown(parent.name)}`)" if parent is not None else "")
    text = f"process {one.pid} runs what is pinned as `{shown(spec.name)}`, beneath {by} and no gateway"
    return finding(
        "processes",
        "bad",
        "started-directly",
        text,
        f"see who started it (`ps -fp {one.parent}`), and end it there",
    )


def _reached(
    spec: ServerSpec, sockets: Sequence[_Socket], running: Mapping[int, _Process]
) -> Iterator[Finding]:
    url = urlsplit(spec.url)
    port = url.port or _PORTS[url.scheme]
    if not any(one.local == port and one.state == _LISTENS for one in sockets):
        return
    text = (
        f"`{shown(spec.name)}` listens on port {port} of this machine, where every program of it, an agent"
        " included, can reach it past the gateway"
    )
    advice = "have it want a credential, or pin it by its command instead"
    if spec.slots:
        text += "; whether it takes a call without its secret can't be seen from here"
        advice = "make sure that it refuses clients without its secret, and that no other client has it"
    yield finding("processes", "warn", "reachable", text, advice)
    inodes = {one.inode for one in sockets if one.remote == port and one.state == _CONNECTED}
    for pid, one in running.items():
        if inodes & _inodes(pid) and not _is_ours(pid, running):
            what = f"process {pid} (`{shown(one.name)}`), beneath no gateway,"
            text = f"{what} is connected to `{shown(spec.name)}`"
            advice = f"see what it is (`ps -fp {pid}`), and have it use the gateway"
            yield finding("processes", "bad", "connected-directly", text, advice)


def _is_near(spec: ServerSpec) -> bool:
    return urlsplit(spec.url).hostname in _NEAR


def _is_ours(pid: int, running: Mapping[int, _Process]) -> bool:
    seen: set[int] = set()
    while pid in running and pid not in seen:
        seen.add(pid)
        one = running[pid]
        if verb_of(one.words) in _OURS:
            return True
        pid = one.parent
    return False


def verb_of(words: tuple[str, ...]) -> str:
    at = 1
    while words[at : at + 1] and words[at].startswith("-") and words[at] != "-m":
        at += 2 if words[at] in _WITH_VALUE else 1
    if words[at : at + 1] == ("-m",):
        module, verb = words[at + 1 : at + 2], words[at + 2 : at + 3]
        if module == (_EGRESS,):
            return "egress"
        return verb[0] if module == (_CLI,) and verb else ""
    for place in (0, at):
        if place + 1 < len(words) and Path(words[place]).name == "taskbound":
            return words[place + 1]
    return ""


def words_of(pid: int, *, proc: Path = _PROC) -> tuple[str, ...]:
    """Return a process's command line with its real executable first; raises OSError if hidden or ended."""
    folder = proc / str(pid)
    words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
    return (_link(folder / "exe") or os.fsdecode(words[0]), *map(os.fsdecode, words[1:]))


def _processes() -> Iterator[_Process]:
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            if _account(folder) != os.geteuid():
                continue
            name, _, fields = (folder / "stat").read_bytes().rpartition(b")")
            yield _Process(
                pid=int(folder.name),
                parent=int(fields.split()[1]),
                name=os.fsdecode(name.partition(b"(")[2]),
                words=words_of(int(folder.name)),
                directory=_link(folder / "cwd"),
            )


def _account(folder: Path) -> int:
    """Return a process's account; `/proc` shows root for processes that can't be dumped, as the egress."""
    for line in (folder / "status").read_bytes().splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[2])
    raise ValueError("a process without an account")


def _link(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""


def _inodes(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for one in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                socket = _SOCKET.fullmatch(str(one.readlink()))
                found |= {socket[1]} if socket is not None else set()
    return found


def _sockets() -> Iterator[_Socket]:
    for name in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            for line in (_PROC / name).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                local, remote = fields[1].split(":"), fields[2].split(":")
                near = _address(remote[0]).is_loopback
                yield _Socket(
                    local=int(local[1], 16),
                    remote=int(remote[1], 16) if near else 0,
                    state=fields[3],
                    inode=fields[9],
                )


def _address(text: str) -> IPv4Address | IPv6Address:
    """Parse an address as the kernel writes it: 32-bit words in the machine's byte order."""
    raw = bytes.fromhex(text)
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    found = ip_address(b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))
    return getattr(found, "ipv4_mapped", None) or found
