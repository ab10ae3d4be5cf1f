"""Reads policy sets: a folder, the bundle in force, or a stored bundle.

1. A file of any other name is refused, because a policy under an unread name would have no effect.
2. Links, folders, pipes and names that begin with a dot are refused.
3. The size of a folder is bounded.
4. A bundle from the daemon is compared with its digest here too.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core import policy
from taskbound.core.dataclass import dataclass
from taskbound.core.tool import parse_definition
from taskbound.surfaces.cli.reading import BadInputError, FileError, read_file
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.identity import GroupRows, ListGroups
from taskbound.wire.policy import BundleDetail, ShowBundle
from taskbound.wire.tool import ListTools, ToolRows

if TYPE_CHECKING:
    from taskbound.surfaces.cli.session import Session


_CASES: Final = re.compile(r"[a-z0-9][a-z0-9._-]*\.cases\.(json|ya?ml)")
_TOOLS: Final = "tools.json"
_TOOLS_LARGEST: Final = 16 * 1_048_576
_BESIDE: Final = frozenset({_TOOLS, "README.md"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFolder:
    """The contents of a folder of policies."""

    path: Path
    files: dict[str, str]
    """The text of each `*.cedar` by its name, in order."""
    cases: dict[str, bytes]
    """The bytes of each file of cases by its name, in order."""
    has_tools: bool
    base: str | None = None
    """The rules that it holds with, where those are not the program's own."""


def read_folder(told: str) -> PolicyFolder:
    path = Path(told)
    try:
        names = sorted(one.name for one in path.iterdir())
    except OSError as error:
        raise FileError(f"`{shown(told)}` can't be read: {error.strerror or error}") from error
    files: dict[str, str] = {}
    cases: dict[str, bytes] = {}
    left = 2 * policy.MAX_BUNDLE
    if len(names) > 2 * policy.MAX_FILES:
        raise policy.BadBundleError(f"`{shown(told)}` holds more than {2 * policy.MAX_FILES} files")
    for name in names:
        if name in _BESIDE:
            continue
        if not name.endswith(".cedar") and not _CASES.fullmatch(name):
            raise policy.BadBundleError(
                f"`{shown(name)}` is no file of a folder of policies",  # 1
                remedy="name files `….cedar` or `….cases.yaml`, and keep others elsewhere",
            )
        raw = _read(path / name, left)
        left -= len(raw)
        if name.endswith(".cedar"):
            files[name] = _text(name, raw)
        else:
            cases[name] = raw
    policy.require_names(files)
    return PolicyFolder(path=path, files=files, cases=cases, has_tools=_TOOLS in names)


def pinned_tools(session: Session, folder: PolicyFolder, told: str) -> dict[str, policy.PolicyTool]:
    name = told or (str(folder.path / _TOOLS) if folder.has_tools else "")
    if name:
        try:
            found = msgspec.json.decode(read_file(name, largest=_TOOLS_LARGEST), type=ToolRows)
        except msgspec.DecodeError as error:
            raise BadInputError(
                f"`{shown(name)}` holds no tools: {error}",
                remedy="write it with `taskbound tool list --json`",
            ) from error
        namespace = session.told_namespace or "default"
    else:
        found = session.ask(ListTools(), ToolRows)
        namespace = session.namespace
    tools: dict[str, policy.PolicyTool] = {}
    for row in found.rows:
        definition = parse_definition(bytes(row.raw))
        tools[row.name] = policy.PolicyTool(
            namespace=namespace,
            name=row.name,
            server=row.name.partition("__")[0],
            schema=definition.input_schema,
            definition=definition.digest,
            effect=definition.effect.value,
            open_world=definition.open_world,
            idempotent=row.idempotent,
        )
    return tools


def known_groups(session: Session, folder: PolicyFolder, told: str) -> frozenset[str] | None:
    """Return the names of person groups; None if the tools come from a file and no daemon is asked."""
    if told or folder.has_tools:
        return None
    return frozenset(one.name for one in session.ask(ListGroups(), GroupRows).rows)


def _read(path: Path, left: int) -> bytes:
    """Open without following links, and refuse anything but a regular file."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise policy.BadBundleError(
                f"`{shown(path.name)}` is a link", remedy="put the file itself into the folder"
            ) from error
        raise FileError(f"`{shown(path.name)}` can't be read: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(held).st_mode):
        os.close(held)
        raise policy.BadBundleError(
            f"`{shown(path.name)}` is no file", remedy="keep only files in the folder"
        )
    with os.fdopen(held, "rb") as stream:
        raw = stream.read(left + 1)
    if len(raw) > left:
        raise policy.BadBundleError(f"the folder holds more than {2 * policy.MAX_BUNDLE} bytes")  # 3
    return raw


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise policy.BadBundleError(
            f"`{shown(name)}` is not UTF-8: byte {error.start}", where=name
        ) from error


IN_FORCE: Final = "in-force"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class OtherBundleError(BadInputError):
    """The daemon returned a bundle that doesn't match its digest."""

    code = "other-bundle"
    remedy = "look at `taskbound policy list`, and at who answers on the socket"


def is_digest(told: str) -> bool:
    return _DIGEST.fullmatch(told) is not None


def require_digest(told: str) -> str:
    """Refuse a shortened digest: activation needs the whole one."""
    if not is_digest(told):
        raise BadInputError(
            f"`{shown(told)}` is no digest of a bundle", remedy="copy all 64 digits from `policy list`"
        )
    return told


def ask_bundle(session: Session, told: str) -> BundleDetail:
    """Return the bundle with this digest, or in force; raises OtherBundleError if its digest differs."""
    digest = "" if told == IN_FORCE else require_digest(told)
    found = session.ask(ShowBundle(digest=digest), BundleDetail)
    made = policy.bundle_digest(policy.pack(policy.PolicyBundle(files=found.files, cases=found.cases)))
    if made != found.row.digest or (digest and made != digest):
        raise OtherBundleError(f"what was given for bundle `{shown(told)}` has the digest `{made}`")
    return found


def read_rules(session: Session, told: str) -> PolicyFolder:
    if told != IN_FORCE and not is_digest(told):
        return read_folder(told)
    found = ask_bundle(session, told)
    bundle = policy.PolicyBundle(files=found.files, cases=found.cases)
    return PolicyFolder(
        path=Path(),
        files=bundle.own,
        cases={name: text.encode() for name, text in found.cases.items()},
        has_tools=False,
        base=bundle.base,
    )
