"""Looks for minted secrets in what the tests write, print and start; the run fails where one is (I-11).

1. Each secret that is minted has a form (`core.credential`), which is looked for, and no value.
2. Folders are looked through when a test throws them away, which is after everything was written to them,
   and the tests' own at the end. What a test printed, logged and failed with is looked at when it ends.
3. Processes that the tests start are looked at while they run: the arguments of each, and the environment of
   all but those that `taskbound exec` or an egress gave a secret to, which is what these are for.
4. What is found is said by where it stands. Where a test plants one, or its command writes its own down to be
   looked at, the name of the file or of its folder begins with `planted`, or the process has that argument.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from taskbound.core.credential import find_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable


PLANTED: Final = "planted"
_EGRESS: Final = "taskbound.wiring.egress"
_EVERY: Final = 0.5
"""Seconds; each look costs some milliseconds."""
_LARGEST: Final = 256 * 1024 * 1024
_MARK: Final = b"tbs_"
_PROC: Final = Path("/proc")


class Canary:
    """What was found so far, by where it stands."""

    def __init__(self, *, planted: bool = False) -> None:
        """Nothing was found; look also at what was planted, where that is said (rule 4)."""
        self._planted = planted
        self.found: set[str] = set()
        self.looked = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def tree(self, folder: Path) -> None:
        """Look through all files of a folder (rule 2)."""
        for base, folders, names in os.walk(folder):
            folders[:] = [one for one in folders if self._is_looked_at(one)]
            for name in names:
                if self._is_looked_at(name):
                    self._file(Path(base, name))

    def text(self, where: str, text: str) -> None:
        """Look through a text."""
        for place in find_secrets(text):
            self.found.add(f"{where}: character {place}")

    def processes(self, root: int) -> None:
        """Look at what runs beneath a process (rule 3)."""
        for pid in beneath(root):
            words = _read(_PROC / str(pid) / "cmdline")
            if not all(self._is_looked_at(one) for one in words.decode("latin-1").split("\0")):
                continue
            name = words.split(b"\0")[0].decode("utf-8", "replace")
            self.text(f"arguments of {name}", words.decode("latin-1"))
            words = _read(_PROC / str(pid) / "environ")
            # Whose parent ended meanwhile does not say any more who gave it what it has.
            if _MARK in words and not self._is_given(pid) and pid in beneath(root):
                self.text(f"environment of {name}", words.decode("latin-1"))
            self.looked += 1

    def watch(self, root: int) -> None:
        """Look at processes again and again, until `end`."""

        def look() -> None:
            while not self._over.wait(_EVERY):
                self.processes(root)

        self._thread = threading.Thread(target=look, name="canary", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _is_looked_at(self, name: str) -> bool:
        return self._planted or not name.startswith(PLANTED)

    def _file(self, path: Path) -> None:
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
                return
            raw = path.read_bytes()
        except OSError:
            return  # gone, or nobody's to read
        self.looked += 1
        if _MARK in raw:
            self.text(str(path), raw.decode("latin-1"))

    @staticmethod
    def _is_given(pid: int) -> bool:
        """Whether `taskbound exec` or an egress started it, or what did."""
        first = pid
        while pid > 1:
            words = _read(_PROC / str(pid) / "cmdline").decode("utf-8", "replace").split("\0")
            if "exec" in words and any("taskbound" in one for one in words):
                return True
            if pid != first and _EGRESS in words:
                return True
            pid = _parent(pid)
        return False


def beneath(root: int) -> Iterable[int]:
    """The processes that descend from one."""
    parents = {int(one): _parent(int(one)) for one in os.listdir(_PROC) if one.isdecimal()}  # noqa: PTH208 - no paths are wanted
    found, more = set[int](), {root}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - found
        found |= more
    return found


def _parent(pid: int) -> int:
    said = _read(_PROC / str(pid) / "stat").rpartition(b")")[2].split()
    return int(said[1]) if len(said) > 1 else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


_canary = Canary()


def found_secrets() -> set[str]:
    """Where a minted secret stands, as far as this run has looked."""
    return _canary.found


def _told(event: str, words: tuple[object, ...]) -> None:
    """See a folder before it is thrown away."""
    if event == "shutil.rmtree" and isinstance(words[0], str | os.PathLike):
        _canary.tree(Path(words[0]))


def pytest_configure(config: pytest.Config) -> None:
    """Look from now on; what only hands tests out to others has none of its own."""
    if not (config.getoption("numprocesses", None) and not hasattr(config, "workerinput")):
        sys.addaudithook(_told)
        if _PROC.is_dir():
            _canary.watch(os.getpid())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Look at what a test printed, logged and failed with."""
    for name, text in (*report.sections, ("failure", report.longreprtext)):
        _canary.text(f"{report.nodeid}: {name}", text)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look through what is left, and tell it, or whoever this one works for."""
    _canary.end()
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None:
        _canary.tree(factory.getbasetemp())
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["canary"] = sorted(_canary.found)
    elif _canary.found:
        session.exitstatus = 1


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Hear what one of several has found."""
    _canary.found.update(getattr(node, "workeroutput", {}).get("canary", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was found."""
    for one in sorted(_canary.found):
        terminalreporter.write_line(f"A MINTED SECRET STANDS IN {one}", red=True)
