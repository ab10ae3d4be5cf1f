"""Looking through an account's files: which are looked at, how far, and what is said of the rest.

1. Looked at are files with names that are known (`known_files`), the configurations of MCP clients that the
   caller names, and environment files and projects' configurations below the folders in which people keep
   projects (`PROJECTS`).
2. Everything is bounded: how deep, how many folders and files, how large, how long. What lies beyond is said,
   and never taken for nothing. So is what could not be read, and a link that leads out of the folder.
3. What the account can't read is no finding: it is another's. Where this process can't tell, that is said.
4. A file counts once for each format, however it is reached. Nothing of it is kept but its findings.
5. Folders of tools (`PASSED`), those whose names begin with a dot, and other file systems are passed over.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from dataclasses import field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.adapters.discovery import documents, lines, sections
from taskbound.adapters.discovery.access import Account, Judge, account_of, name_of_account
from taskbound.adapters.discovery.opening import (
    AbsentError,
    Opened,
    Sort,
    UnreadError,
    folder_names,
    open_text,
)
from taskbound.adapters.discovery.ssh_keys import read_ssh_key
from taskbound.core.clock import Instant
from taskbound.core.credential.static import (
    SecretKind,
    StaticSecret,
    Unseen,
    Weight,
    Workstation,
    oldest_first,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.adapters.discovery.opening import Named
    from taskbound.core.credential.static import Reader

__all__ = ["PASSED", "PROJECTS", "Bounds", "known_files", "look_through"]

PROJECTS: Final = (
    *("code", "Code", "dev", "Developer", "Documents", "git", "projects", "Projects", "repos", "source"),
    *("src", "work", "workspace", "Workspace"),
)
"""Folders of a home in which people keep projects."""
PASSED: Final = frozenset({"__pycache__", "dist-packages", "node_modules", "site-packages", "vendor", "venv"})
_SHELLS: Final = (
    *(".bash_aliases", ".bash_login", ".bash_profile", ".bashrc", ".envrc", ".env", ".profile", ".zlogin"),
    *(".zprofile", ".zshenv", ".zshrc", ".config/fish/config.fish"),
)
_KNOWN: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(_SHELLS, lines.read_environment),
    ".pgpass": lines.read_pgpass,
    ".pg_service.conf": sections.read_pg_service,
    ".my.cnf": sections.read_my_cnf,
    ".netrc": lines.read_netrc,
    ".git-credentials": lines.read_git_credentials,
    ".config/git/credentials": lines.read_git_credentials,
    ".aws/credentials": sections.read_aws,
    ".aws/config": sections.read_aws,
    ".config/gcloud/application_default_credentials.json": documents.read_google,
    ".azure/accessTokens.json": documents.read_azure,
    ".azure/msal_token_cache.json": documents.read_azure,
    ".azure/service_principal_entries.json": documents.read_azure,
    ".kube/config": documents.read_kube,
    ".docker/config.json": documents.read_docker,
    ".npmrc": lines.read_npmrc,
    ".pypirc": sections.read_pypirc,
    ".config/gh/hosts.yml": documents.read_forge,
    ".config/hub": documents.read_forge,
    ".vault-token": lines.whole("Vault token", SecretKind.VAULT),
    ".terraformrc": lines.read_terraformrc,
    ".terraform.d/credentials.tfrc.json": documents.read_terraform_json,
    ".redisclirc": lines.read_redisclirc,
    ".config/sops/age/keys.txt": lines.read_tokens,
}
_SSH: Final = ".ssh"
_NO_KEYS: Final = ("authorized_keys", "config", "environment", "known_hosts", "known_hosts.old", "rc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far a look goes (rule 2)."""

    deep: int = 4
    """Folders below one of `PROJECTS`."""
    folders: int = 4_000
    names: int = 10_000
    """Names of one folder."""
    files: int = 3_000
    size: int = 256 * 1024
    """Bytes of a file."""
    config: int = 16 * 1024 * 1024
    """Bytes of a client's configuration, which also keeps what happened."""
    hits: int = 100
    """Secrets of one file."""
    secrets: int = 5_000
    """Secrets of all files; what comes then is not looked at."""
    seconds: float = 30.0
    unseen: int = 100
    """What is named of what was not looked at."""


def known_files() -> tuple[str, ...]:
    """Names of the files of a home that are looked at, sorted."""
    return tuple(sorted((*_KNOWN, f"{_SSH}/")))


def look_through(
    *,
    account: str,
    folder: str,
    clients: Callable[[str], Mapping[str, Reader]],
    projects: Mapping[str, Reader],
    bounds: Bounds | None = None,
) -> Workstation:
    """What of an account's files are static secrets.

    Args:
        account: The name of an account; empty for our own.
        folder: The folder to look through; empty for the account's home.
        clients: The configurations of MCP clients, by absolute path, for a home.
        projects: The same of the folder of a project, by names below it.
        bounds: How far to look.

    Raises:
        KeyError: There is no such account.
        NotADirectoryError: There is no such folder.
    """
    who = account_of(account)
    home = folder or who.home
    if not Path(home).is_dir():
        raise NotADirectoryError(home)
    look = _Look(who=who, home=str(Path(home).resolve()), bounds=bounds or Bounds())
    look.known(clients)
    look.projects(projects)
    return Workstation(
        account=who.name,
        folder=look.home,
        looked=Instant(time.time_ns() // 1000),
        found=oldest_first(look.found),
        unseen=tuple(look.unseen),
        more=look.more,
        files=look.files,
        whole=look.whole,
    )


@dataclass(slots=True, kw_only=True)
class _Look:
    """One look through a home."""

    who: Account
    home: str
    bounds: Bounds
    judge: Judge = field(default_factory=Judge)
    found: list[StaticSecret] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    more: int = 0
    files: int = 0
    whole: bool = True
    _seen: set[tuple[int, int, int]] = field(default_factory=set)
    """Files that were read, each with how."""
    _device: int = 0
    _end: float = 0.0

    def __post_init__(self) -> None:
        self._device = Path(self.home).stat().st_dev
        self._end = time.monotonic() + self.bounds.seconds

    def note(self, path: str, why: str, weight: Weight) -> None:
        """Say that something was not looked at."""
        if len(self.unseen) < self.bounds.unseen:
            self.unseen.append(Unseen(path=path, why=why, weight=weight))
        else:
            self.more += 1

    # --- files that have a place ----------------------------------------------------------

    def known(self, clients: Callable[[str], Mapping[str, Reader]]) -> None:
        """Files with names that are known, and the configurations of clients."""
        for name, read in _KNOWN.items():
            self.read(f"{self.home}/{name}", read, self.bounds.size)
        for path, read in clients(self.home).items():
            self.read(path, read, self.bounds.config)
        self._keys()

    def _keys(self) -> None:
        """What lies in `~/.ssh`."""
        place = f"{self.home}/{_SSH}"
        for name, sort in self._names(place):
            if sort is not Sort.FOLDER and not name.endswith(".pub") and name not in _NO_KEYS:
                self.read(f"{place}/{name}", read_ssh_key, self.bounds.size)

    def _names(self, place: str) -> list[Named]:
        """What is in a folder, which is none of another file system and no link."""
        try:
            seen = os.lstat(place)
        except OSError:
            return []
        if seen.st_dev != self._device:
            self.note(place, "it is on another file system", Weight.BOUND)
            return []
        try:
            found, whole = folder_names(place, most=self.bounds.names)
        except UnreadError as error:
            if not (error.forbidden and self._is_own):
                self.note(place, error.why, Weight.FILE)
            else:
                self.note(place, error.why, Weight.BOUND)
            return []
        if not whole:
            self.whole = False
            self.note(place, f"it has more than {self.bounds.names:,} names", Weight.BOUND)
        return found

    # --- projects ---------------------------------------------------------------------------

    def projects(self, configs: Mapping[str, Reader]) -> None:
        """Environment files and clients' configurations below the folders of projects."""
        todo: deque[tuple[str, int]] = deque()
        for name in PROJECTS:
            place = f"{self.home}/{name}"
            if Path(place).is_symlink():
                self.note(place, "it is a link, and folders are not followed through links", Weight.BOUND)
            elif Path(place).is_dir():
                todo.append((place, 0))
        left, beyond, links = self.bounds.folders, Counter[str](), Counter[str]()
        while todo:
            place, depth = todo.popleft()
            root = self._root(place)
            if left == 0 or self.files >= self.bounds.files or time.monotonic() >= self._end:
                beyond[root] += 1
                self.whole = False
                continue
            left -= 1
            inner, linked = self._project(place, configs)
            links[root] += linked
            if depth == self.bounds.deep:
                beyond[root] += len(inner)
            else:
                todo.extend((one, depth + 1) for one in inner)
        for root, count in sorted((+beyond).items()):
            self.note(
                root, f"{_folders(count)} below it, and what is in them: too deep, or too many", Weight.BOUND
            )
        for root, count in sorted((+links).items()):
            self.note(root, f"{count} {'link' if count == 1 else 'links'} below it", Weight.BOUND)

    def _root(self, place: str) -> str:
        return f"{self.home}/{place[len(self.home) + 1 :].partition('/')[0]}"

    def _project(self, place: str, configs: Mapping[str, Reader]) -> tuple[list[str], int]:
        """Read what is in one folder; the folders in it, and how many links it has that are not followed."""
        names = self._names(place)
        present = {one.name for one in names}
        for name, sort in names:
            if sort is not Sort.FOLDER and _is_environment(name):
                self.read(f"{place}/{name}", lines.read_environment, self.bounds.size)
        for name, read in configs.items():
            if name.partition("/")[0] in present:
                self.read(f"{place}/{name}", read, self.bounds.config)
        inner = [
            f"{place}/{name}"
            for name, sort in names
            if sort is Sort.FOLDER and name not in PASSED and not name.startswith(".")
        ]
        return inner, sum(sort is Sort.LINK and not _is_environment(name) for name, sort in names)

    # --- one file -------------------------------------------------------------------------------

    @property
    def _is_own(self) -> bool:
        return self.who.uid == os.geteuid()

    def read(self, path: str, read: Reader, most: int) -> None:
        """Look at one file, if there is one (rules 2 to 4)."""
        if time.monotonic() >= self._end:
            self.whole = False
            self.note(path, "the time for looking was over", Weight.FILE)
            return
        if len(self.found) >= self.bounds.secrets:
            self.whole = False
            self.note(path, f"{self.bounds.secrets:,} secrets were found before", Weight.FILE)
            return
        try:
            opened = open_text(path, self.home, most=most)
        except AbsentError:
            return
        except UnreadError as error:
            if not (error.forbidden and self._is_own):  # 3
                self.note(path, error.why, Weight.FILE)
            return
        key = (opened.seen.st_dev, opened.seen.st_ino, id(read))
        if key in self._seen or not self.judge.may_read(opened.real, opened.seen, self.who):
            return
        self._seen.add(key)
        self.files += 1
        try:
            self.found += self._found(path, opened, read)
        except (TaskboundError, ValueError, RecursionError):
            # None of their words is passed on: they may be the file's.
            self.note(path, "it is not written as such a file is", Weight.FILE)

    def _found(self, path: str, opened: Opened, read: Reader) -> Iterator[StaticSecret]:
        seen = opened.seen
        hits = list(islice(read(opened.text), self.bounds.hits + 1))
        if len(hits) > self.bounds.hits:
            self.whole = False
            self.note(path, f"it has more than {self.bounds.hits} secrets", Weight.FILE)
        readers = self.judge.readers(opened.real, seen) if hits else ""
        for hit in hits[: self.bounds.hits]:
            yield StaticSecret(
                path=path,
                through=opened.real if opened.real != path else "",
                hit=hit,
                since=Instant(max(0, seen.st_mtime_ns // 1000)),
                mode=seen.st_mode & 0o7777,
                readers=readers,
                owner=name_of_account(seen.st_uid),
            )


def _is_environment(name: str) -> bool:
    return name in {".env", ".envrc"} or name.startswith(".env.")


def _folders(count: int) -> str:
    return "one folder" if count == 1 else f"{count} folders"
