"""The object that a ref of a git repository names, read from its files; git itself is not run.

What a repository configures can have git run programs and fetch what is missing, and whoever can write in the
repository is not trusted. So its refs are read here, in the format that git documents (gitrepository-layout):

1. A name is `HEAD`, a whole object id, `refs/…`, or a short name. A short name that stands for two refs is
   refused: another reader may take the other one. What selects beyond a name (`~1`, `^`, `@{…}`, `:`), begins
   with a dash or is none of git's names is refused too.
2. A loose ref goes before a packed one; symbolic refs are followed so many times.
3. An id names its object for good, so a tag's own id is enough: what it names can't change.
4. Repositories whose refs are not in files (reftable), and work trees beside their repository, are refused.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import OperandUnreadableError

if TYPE_CHECKING:
    from taskbound.adapters.approval.disk.walk import Walk


_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PACKED: Final = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (refs/\S+)")
_LOOSE: Final = 4_096
_ALL: Final = 8 * 1_048_576
_SYMBOLIC: Final = 5
_LONGEST: Final = 250
_NO_NAME: Final = re.compile(r"^-|^/|/$|//|^@$|@\{|\.\.|\.$|(?:^|/)\.|\.lock(?:/|$)|[\x00-\x20\x7f~^:?*\[\\]")
"""What git allows in no name of a ref (git-check-ref-format), and a dash in front."""
_PLACES: Final = ("refs/{}", "refs/tags/{}", "refs/heads/{}", "refs/remotes/{}", "refs/remotes/{}/HEAD")
"""Where git looks for a short name (gitrevisions)."""


def revision_of(walk: Walk, name: str) -> dict[str, str]:
    """What a probe says of the revision of the repository where the walk is.

    Raises:
        OperandOutsideError: A way leads out of the folder.
        OperandUnreadableError: There is no such repository or ref, or none that has one reading.
    """
    if len(name) > _LONGEST or _NO_NAME.search(name) is not None or not name.isascii():
        raise OperandUnreadableError("it is no plain name of a ref")  # 1
    _enter_repository(walk)
    path = walk.path
    if _ID.fullmatch(name):
        return {"object": name, "path": path, "ref": ""}
    packed = _packed(walk)
    ref, found = _one(walk, name, packed)
    for _ in range(_SYMBOLIC):
        if not found.startswith("ref: "):
            break
        ref = found.removeprefix("ref: ").strip()
        if not ref.startswith("refs/") or _NO_NAME.search(ref) is not None:
            raise OperandUnreadableError("a symbolic ref names none of the repository's refs")
        found = _read(walk, ref, packed)  # 2
    if _ID.fullmatch(found) is None:
        raise OperandUnreadableError(f"`{ref}` names no object")
    return {"object": found, "path": path, "ref": ref}


def _enter_repository(walk: Walk) -> None:
    kind = walk.kind(".git")
    if stat.S_ISREG(kind):
        raise OperandUnreadableError(
            "its repository is beside the work tree, and is not read from there"
        )  # 4
    if kind:
        walk.go(".git")
    if not stat.S_ISREG(walk.kind("HEAD")) or not stat.S_ISDIR(walk.kind("refs")):
        raise OperandUnreadableError("there is no git repository")
    if walk.kind("reftable") or walk.kind("commondir"):
        raise OperandUnreadableError("its refs are not kept in files of its own")  # 4


def _one(walk: Walk, name: str, packed: dict[str, str]) -> tuple[str, str]:
    """The one ref that this is the name of (rule 1)."""
    if name == "HEAD":
        return name, _read(walk, name, packed)
    places = [name] if name.startswith("refs/") else [one.format(name) for one in _PLACES]
    found = [(place, said) for place in places if (said := _read(walk, place, packed))]
    if not found:
        raise OperandUnreadableError("no ref has this name")
    if len(found) > 1:
        raise OperandUnreadableError(f"the name stands for {' and '.join(place for place, _ in found)}")
    return found[0]


def _read(walk: Walk, ref: str, packed: dict[str, str]) -> str:
    """What the ref holds; empty when there is none. A folder of that name is another ref's."""
    if stat.S_ISREG(walk.kind(ref)):
        return _text(walk, ref, _LOOSE).strip()
    return packed.get(ref, "")


def _packed(walk: Walk) -> dict[str, str]:
    if not walk.kind("packed-refs"):
        return {}
    lines = _text(walk, "packed-refs", _ALL).splitlines()
    found = [match for line in lines if (match := _PACKED.fullmatch(line)) is not None]
    return {match[2]: match[1] for match in found}


def _text(walk: Walk, name: str, most: int) -> str:
    with walk.file(name, names=1_000) as found:
        try:
            raw = b""
            while len(raw) <= most and (piece := os.read(found.descriptor, most)):
                raw += piece
        except OSError as error:
            raise OperandUnreadableError("a ref could not be read") from error
    if len(raw) > most:
        raise OperandUnreadableError("its refs are larger than what is read")
    try:
        return raw.decode("ascii") if name != "packed-refs" else raw.decode()
    except UnicodeDecodeError as error:
        raise OperandUnreadableError("a ref holds what is no name") from error
