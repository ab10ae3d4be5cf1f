"""What `deploy/` installs, with accounts that are numbers, in a folder of this test's own, and running.

Folders come from deploy/tmpfiles.d, commands and groups from deploy/systemd: what is shipped is tested.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import taskbound
from tests.wiring.running import AGENT, Running

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ORIGIN = "example.com/log"
ISSUER = "http://127.0.0.1:8700"
_SAID = {
    "${ORIGIN}": (ORIGIN,),
    "${ISSUER}": (ISSUER,),
    "${API_ADDRESS}": ("127.0.0.1:0",),
    "$API_WORDS": ("--origin", ISSUER),
}
"""What /etc/taskbound/deploy.env says."""
_IMPORTS = (
    "import taskbound.wiring.api, taskbound.wiring.broker, taskbound.wiring.daemon, taskbound.wiring.egress,"
    " taskbound.wiring.signer"
)
NAMES = (
    "taskbound",
    "taskbound-signer",
    "taskbound-egress",
    "taskbound-broker",
    "taskbound-api",
    "taskbound-clients",
    "alice",
    "gate",
    "stray",
    "agent",
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A uid, its own group, and those that it is in besides."""

    uid: int
    groups: tuple[int, ...] = ()


@dataclass(kw_only=True)
class Layout:
    """The installation: where it is, who is who, and what runs."""

    base: Path
    python: tuple[str, ...]
    environ: dict[str, str]
    numbers: dict[str, int]
    running: dict[str, Running] = field(default_factory=dict)

    def at(self, path: str) -> Path:
        """Where a path of the units lies here."""
        return self.base / path.lstrip("/")

    @property
    def socket(self) -> Path:
        return self.at("/run/taskbound/daemon.sock")

    def account(self, name: str) -> Account:
        """An account by its name; those of the clients' group are alice, gate and stray."""
        groups = {
            "taskbound": ("taskbound-clients", "taskbound-signer"),
            "taskbound-broker": ("taskbound-clients", "taskbound-signer"),
            **dict.fromkeys(
                ("alice", "gate", "stray", "taskbound-egress", "taskbound-api"), ("taskbound-clients",)
            ),
        }
        return Account(
            uid=self.numbers[name], groups=tuple(self.numbers[one] for one in groups.get(name, ()))
        )

    def run_as(self, name: str, script: str, *arguments: object) -> Any:
        """What a script prints as JSON, run as this account."""
        who = self.account(name)
        done = subprocess.run(
            [*self.python, "-I", "-c", script, *map(str, arguments)],
            user=who.uid,
            group=who.uid,
            extra_groups=who.groups,
            env=self.environ,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def running_as(self, name: str, script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """A script that runs as this account until its input ends."""
        who = self.account(name)
        process = subprocess.Popen(
            [*self.python, "-I", "-c", script, *map(str, arguments)],
            user=who.uid,
            group=who.uid,
            extra_groups=who.groups,
            env=self.environ,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.communicate(timeout=30)

    @contextlib.contextmanager
    def acting(self, name: str) -> Iterator[None]:
        """Be this account for a while, as far as the kernel's checks and a socket's peer go."""
        who = self.account(name)
        before = os.getgroups()
        os.setgroups(who.groups)
        os.setegid(who.uid)
        os.seteuid(who.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(before)

    def start(self, unit: str, *more: str, name: str = "") -> Running:
        """Run a unit's command under the unit's account and groups."""
        told = read_unit(unit)
        assert told["User"] == told["Group"]
        groups = told.get("SupplementaryGroups", "").split()
        words = told["ExecStart"].split()
        assert words[:3] == ["/opt/taskbound/bin/python", "-I", "-m"]
        one = Running(
            words[3].rpartition(".")[2],
            *(part for word in words[4:] for part in self._put_in(word)),
            *more,
            python=self.python,
            environ=self.environ,
            uid=self.numbers[told["User"]],
            groups=[self.numbers[group] for group in groups],
        )
        self.running[name or unit] = one
        return one

    def _put_in(self, word: str) -> Iterable[str]:
        if word == "$GATEWAYS":
            return ("--gateway", f"{self.numbers['gate']}={AGENT}")
        if word in _SAID:
            return _SAID[word]
        if word.startswith(("/var/", "/run/")):
            return (str(self.at(word)),)
        return (str(self.numbers.get(word, word)),)


def read_unit(name: str) -> dict[str, str]:
    """The settings of a unit's service, lines that go on joined; the last of each name counts."""
    text = (DEPLOY / "systemd" / f"{name}.service").read_text(encoding="utf-8").replace("\\\n", " ")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def folders() -> Iterator[tuple[str, int, str, str]]:
    """Path, mode, owner and group of each folder that deploy/tmpfiles.d makes."""
    for line in (DEPLOY / "tmpfiles.d" / "taskbound.conf").read_text(encoding="utf-8").splitlines():
        if line.startswith("d "):
            _, path, mode, owner, group, _ = line.split()
            yield path, int(mode, 8), owner, group


@contextlib.contextmanager
def laid_out() -> Iterator[Layout]:
    """The folders and accounts; nothing runs yet."""
    with tempfile.TemporaryDirectory(
        prefix="taskbound-", dir="/tmp"
    ) as folder:  # others can't enter pytest's
        base = Path(folder)
        base.chmod(0o755)
        numbers = dict(zip(NAMES, _free_numbers(), strict=False)) | {"root": 0}
        for path, mode, owner, group in folders():
            one = base / path.lstrip("/")
            one.mkdir(parents=True)
            os.chown(one, numbers[owner], numbers[group])
            one.chmod(mode)
        python, environ = reachable_python(base / "programs", numbers["agent"])
        layout = Layout(base=base, python=python, environ=environ, numbers=numbers)
        try:
            yield layout
        finally:
            for running in layout.running.values():
                running.__exit__()


def reachable_python(folder: Path, uid: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """A Python that other accounts can run, with this package: our own, or one linked from it."""
    environ = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    own = (sys.executable,)
    if _runs(own, environ, uid):
        return own, environ
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = (str(Path(sys.base_prefix, "bin", version)),)
    if not _runs(base, environ, uid, "pass"):
        _link_python(Path(sys.base_prefix), folder / "python", version)
        base = (str(folder / "python" / "bin" / version),)
        environ["LD_LIBRARY_PATH"] = str(folder / "python" / "lib")
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(base[0])
    (venv / "pyvenv.cfg").write_text(f"home = {Path(base[0]).parent}\n", encoding="utf-8")
    _link_packages(venv / "lib" / version / "site-packages")
    made = (str(venv / "bin" / "python"),)
    assert _runs(made, environ, uid), "other accounts can run no Python of this machine"
    return made, environ


def _runs(python: Sequence[str], environ: dict[str, str], uid: int, script: str = _IMPORTS) -> bool:
    try:
        done = subprocess.run(
            [*python, "-I", "-c", script],
            user=uid,
            group=uid,
            extra_groups=[],
            env=environ,
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _link_python(base: Path, folder: Path, version: str) -> None:
    left_out = shutil.ignore_patterns("site-packages", "test", "idlelib", "tkinter", "config-*", "ensurepip")
    _tree(base / "lib" / version, folder / "lib" / version, left_out)
    (folder / "bin").mkdir()
    _link((base / "bin" / version).resolve(), folder / "bin" / version)
    for library in (base / "lib").glob("libpython*.so*"):
        _link(library.resolve(), folder / "lib" / library.name)


def _link_packages(folder: Path) -> None:
    """What deploy/install installs, and this package."""
    lock = (ROOT / "requirements" / "server.txt").read_text(encoding="utf-8")
    for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE):
        try:
            files = distribution(name).files or ()
        except PackageNotFoundError:  # of another system, such as colorama
            continue
        for one in files:
            if not one.is_absolute() and ".." not in one.parts:
                target = folder / one
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(Path(str(one.locate())), target)
    _tree(Path(taskbound.__file__).parent, folder / "taskbound", shutil.ignore_patterns("__pycache__"))


def _tree(source: Path, target: Path, left_out: Any) -> None:
    shutil.copytree(source, target, ignore=left_out, copy_function=lambda a, b: _link(Path(a), Path(b)))


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _free_numbers() -> Iterator[int]:
    """Accounts that this machine gives nobody."""
    taken = {one.pw_uid for one in pwd.getpwall()}
    return (number for number in itertools.count(60701) if number not in taken)
