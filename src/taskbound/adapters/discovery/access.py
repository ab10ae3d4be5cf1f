"""Who can read a file: by its owner, its bits and its access control list, and by those of the folders above.

1. Root can. Else the first that fits counts, as the system judges it (acl(5)): the owner, a named account,
   the groups, the others; what is named, and the group, through the mask.
2. A file is reached through every folder above it, by the right to search it.
3. Lists are read where the system keeps them as Linux does (`system.posix_acl_access`); elsewhere, and for
   whatever else may keep somebody out, the bits alone are judged.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import struct
from pathlib import Path
from typing import Final

from taskbound.core.dataclass import dataclass

__all__ = ["Account", "Judge", "account_of", "name_of_account"]

_ACL: Final = "system.posix_acl_access"
_VERSION: Final = 2
_HEAD: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_OWNER, _USER, _GROUP, _NAMED, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_READ: Final = 4
_SEARCH: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of this machine, as the system judges it."""

    name: str
    uid: int
    groups: frozenset[int]
    home: str


def account_of(name: str) -> Account:
    """The account of this name; an empty one is our own.

    Raises:
        KeyError: There is none.
    """
    if not name:
        found = _entry(os.geteuid())
        groups = {os.getegid(), *os.getgroups()}
        home = os.environ.get("HOME", "")
        known = found.pw_dir if found else "/"
        return Account(
            name=found.pw_name if found else str(os.geteuid()),
            uid=os.geteuid(),
            groups=frozenset(groups),
            home=home if home.startswith("/") else known,
        )
    entry = pwd.getpwnam(name)
    return Account(
        name=name,
        uid=entry.pw_uid,
        groups=frozenset(os.getgrouplist(name, entry.pw_gid)),
        home=entry.pw_dir,
    )


def _entry(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def name_of_account(uid: int) -> str:
    """The name of an account, or its number."""
    found = _entry(uid)
    return found.pw_name if found else str(uid)


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rights:
    """Owner, bits and list of one file or folder."""

    uid: int
    gid: int
    mode: int
    users: tuple[tuple[int, int], ...] = ()
    """Named accounts, with what they may."""
    groups: tuple[tuple[int, int], ...] = ()
    """Named groups, with what they may."""
    group: int = 0
    """What the file's own group may, before the mask."""
    mask: int = 7

    def allow(self, account: Account, right: int) -> bool:
        """Whether the account has this right (rule 1)."""
        if account.uid == 0:
            return True
        if account.uid == self.uid:
            return bool(self.mode >> 6 & right)
        for uid, some in self.users:
            if uid == account.uid:
                return bool(some & self.mask & right)
        fitting = [some for gid, some in ((self.gid, self.group), *self.groups) if gid in account.groups]
        if fitting:
            return any(some & self.mask & right for some in fitting)
        return bool(self.mode & right)


class Judge:
    """Judges files, and keeps what it saw of folders."""

    def __init__(self) -> None:
        """Begin with none."""
        self._folders: dict[str, _Rights | None] = {}

    def may_read(self, path: str, seen: os.stat_result, account: Account) -> bool:
        """Whether the account can read this file (rules 1 and 2)."""
        rights = _rights(path, seen)
        return rights.allow(account, _READ) and all(
            one is not None and one.allow(account, _SEARCH) for one in self._above(path)
        )

    def readers(self, path: str, seen: os.stat_result) -> str:
        """Who can read it, in words; its owner is among them."""
        rights = _rights(path, seen)
        above = [one for one in self._above(path) if one is not None]
        owner = name_of_account(rights.uid)
        if rights.mode & _READ and all(one.mode & _SEARCH for one in above):
            return "everybody"
        names = []
        through = all(one.mode & _SEARCH or (one.gid == rights.gid and one.group & _SEARCH) for one in above)
        if rights.group & rights.mask & _READ and through:
            names.append(f"group {_name_of_group(rights.gid)}")
        names += [name_of_account(uid) for uid, some in rights.users if some & rights.mask & _READ]
        names += [f"group {_name_of_group(gid)}" for gid, some in rights.groups if some & rights.mask & _READ]
        return ", ".join([owner, *names])

    def _above(self, path: str) -> list[_Rights | None]:
        """The folders above a file; None for one that can't be seen."""
        found: list[_Rights | None] = []
        for one in Path(path).parents:
            name = str(one)
            if name not in self._folders:
                try:
                    self._folders[name] = _rights(name, one.stat())
                except OSError:
                    self._folders[name] = None
            found.append(self._folders[name])
        return found


def _rights(path: str, seen: os.stat_result) -> _Rights:
    mode = stat.S_IMODE(seen.st_mode)
    plain = _Rights(uid=seen.st_uid, gid=seen.st_gid, mode=mode, group=mode >> 3 & 7)
    packed = _list(path)
    if len(packed) < _HEAD.size or _HEAD.unpack_from(packed)[0] != _VERSION:
        return plain
    users, groups, group, mask = [], [], plain.group, 7
    for tag, some, who in _ENTRY.iter_unpack(packed[_HEAD.size : _whole(len(packed))]):
        if tag == _USER:
            users.append((who, some))
        elif tag == _NAMED:
            groups.append((who, some))
        elif tag == _GROUP:
            group = some
        elif tag == _MASK:
            mask = some
    return _Rights(
        uid=plain.uid,
        gid=plain.gid,
        mode=mode,
        users=tuple(users),
        groups=tuple(groups),
        group=group,
        mask=mask,
    )


def _whole(size: int) -> int:
    return _HEAD.size + (size - _HEAD.size) // _ENTRY.size * _ENTRY.size


def _list(path: str) -> bytes:
    """The list of a file (rule 3); nothing where there is none."""
    if not hasattr(os, "getxattr"):
        return b""
    try:
        return os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError:
        return b""
