"""What `taskbound credential discover --here` says of an account's files: where static secrets lie.

1. No secret, no part and no digest of one is printed: where it is, what it is, for how long at least, who can
   read it, whom to ask, and what to do instead. A path's own parts are left out where they look like one.
2. What was not looked at is said. What may hold secrets and could not be read counts as found, and so does a
   look that its bounds ended; what is passed over or too deep does not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.core.action.escape import escape_text
from taskbound.core.credential.static import SecretKind, Weight, Worth
from taskbound.core.credential.worth import NOT_SHOWN, safe
from taskbound.surfaces.cli.clients.static import project_readers, user_readers
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from taskbound.core.credential.static import StaticSecret, Unseen, Workstation
    from taskbound.surfaces.cli.session import Session

__all__ = ["INSTEAD", "NOT_WHOLE", "SecretRow", "UnseenRow", "WorkstationReport", "look_here", "show_here"]

_SECOND: Final = 1_000_000
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
INSTEAD: Final[dict[SecretKind, str]] = {
    SecretKind.CLIENT: "gate the server with `taskbound init`: its secret is sealed then, and in no file",
    SecretKind.POSTGRES: "make the database a target;"
    " `taskbound exec --task TASK --credential TARGET/KIND -- COMMAND`"
    " has a login that ends with the task (docs/guides/credentials.md)",
    SecretKind.SSH: "make the host a target; `taskbound exec --task TASK --credential TARGET/KIND -- COMMAND`"
    " has a key that ends with the task; or give it a passphrase that the agent does not know",
    SecretKind.CLOUD: "sign in with what ends by itself (single sign-on, workload identity)",
    SecretKind.CLUSTER: "have its client sign in by a program (`exec`), which gets what ends by itself",
    SecretKind.FORGE: "keep it in the system's keychain (a credential helper), and have one that ends",
    SecretKind.REGISTRY: "keep it in the system's keychain (a credential helper), and have one that ends",
    SecretKind.MINTED: "leave it in the environment that `taskbound exec` made; it ends with its task, or"
    " `taskbound credential revoke` ends it",
}
_ELSE: Final = (
    "keep it where the agent's account can't read it; what an MCP server needs is sealed into a slot"
    " (docs/guides/secrets.md)"
)
NOT_WHOLE: Final = "the look is not whole: there may be more, and worse"
_LABELS: Final = {
    SecretKind.CLIENT: "an MCP server's secret",
    SecretKind.POSTGRES: "a PostgreSQL password",
    SecretKind.SSH: "an SSH key",
    SecretKind.CLOUD: "a cloud secret",
    SecretKind.CLUSTER: "a cluster's login",
    SecretKind.FORGE: "a token for repositories",
    SecretKind.REGISTRY: "a registry's token",
    SecretKind.MINTED: "what was minted",
    SecretKind.MYSQL: "a MySQL password",
    SecretKind.REDIS: "a Redis password",
    SecretKind.VAULT: "a Vault token",
    SecretKind.OTHER: "any other secret",
}


class SecretRow(msgspec.Struct, frozen=True, kw_only=True):
    """One static secret; nothing of it is here."""

    path: str
    line: int
    """From 1; 0 where the member alone says where."""
    member: str
    what: str
    kind: str
    worth: Literal["secret", "placeholder"]
    since: int
    """When the file was changed last: instant, µs since the epoch."""
    mode: str
    """Permission bits, as `0600`."""
    readers: str
    """Who can read it."""
    owner: str
    """The account that has the file: whom to ask."""
    instead: str
    through: str = ""
    """Where the path leads, where it is a link."""


class UnseenRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was not looked at."""

    path: str
    why: str
    weight: Literal["file", "bound"]
    """`file`: it may hold secrets, and could not be read; `bound`: it lies beyond the bounds of a look."""


class WorkstationReport(msgspec.Struct, frozen=True, kw_only=True, tag="discovered-here", tag_field="is"):
    """Static secrets that an account can read."""

    account: str
    folder: str
    files: int
    """How many files were read."""
    rows: tuple[SecretRow, ...]
    """The oldest first, and placeholders last."""
    unseen: tuple[UnseenRow, ...]
    more: int
    """How many more were not looked at than are named."""
    whole: bool
    """Whether the look came to its end, and not to its bounds: else there may be more."""


def look_here(session: Session, *, user: str, folder: str) -> Workstation:
    """Look through the files of an account of this machine, without a daemon and without a network."""
    environ = {} if user or folder else session.plugs.environ
    try:
        return session.plugs.discover(
            account=user,
            folder=os.path.abspath(folder) if folder else "",  # noqa: PTH100 - a name with `..` is meant as typed
            clients=lambda home: user_readers(home, environ),
            projects=project_readers(),
        )
    except NotADirectoryError:
        raise BadInputError(
            f"there is no folder `{shown(folder or 'of that account')}`", remedy="name one that is there"
        ) from None
    except KeyError:
        raise BadInputError(
            f"no account is named `{shown(user)}`", remedy="name an account of this machine"
        ) from None


def show_here(session: Session, found: Workstation) -> int:
    """Say what was found; the exit status."""
    rows = [_row(found, one) for one in found.found]
    unseen = [_unseen(one) for one in found.unseen]
    if session.screen.json:
        session.screen.document(
            WorkstationReport(
                account=found.account,
                folder=_path(found.folder),
                files=found.files,
                rows=tuple(rows),
                unseen=tuple(unseen),
                more=found.more,
                whole=found.whole,
            )
        )
    else:
        _print(session, found, rows, unseen)
    lost = any(one.weight is Weight.FILE for one in found.unseen)
    return 1 if rows or lost or not found.whole else 0  # 2


def _row(found: Workstation, one: StaticSecret) -> SecretRow:
    return SecretRow(
        path=_path(one.path),
        through=_path(one.through),
        line=one.hit.line,
        member=one.hit.member,
        what=one.hit.what,
        kind=one.hit.kind.value,
        worth="placeholder" if one.hit.worth is Worth.PLACEHOLDER else "secret",
        since=min(one.since, found.looked),
        mode=f"{one.mode:04o}",
        readers=one.readers,
        owner=one.owner,
        instead=INSTEAD.get(one.hit.kind, _ELSE),
    )


def _unseen(one: Unseen) -> UnseenRow:
    return UnseenRow(
        path=_path(one.path), why=one.why, weight="file" if one.weight is Weight.FILE else "bound"
    )


def _path(path: str) -> str:
    """A path without parts that look like a secret (rule 1), as text where its bytes are none."""
    whole = "/".join(NOT_SHOWN if safe(part) == NOT_SHOWN else part for part in path.split("/"))
    return escape_text(whole) if any("\ud800" <= char <= "\udfff" for char in whole) else whole


def _print(session: Session, found: Workstation, rows: list[SecretRow], unseen: list[UnseenRow]) -> None:
    screen = session.screen
    count = "one static secret" if len(rows) == 1 else f"{len(rows) or 'no'} static secrets"
    files = "one file was" if found.files == 1 else f"{found.files} files were"
    place = _path(found.folder)
    screen.heading(f"{shown(found.account)} can read {count} in {shown(place)}; {files} read")
    if rows:
        screen.table(
            ("AGE", "MODE", "READERS", "ASK", "WHAT", "WHERE"),
            [_cells(place, found.looked, one) for one in rows],
            "",
        )
    for kind in SecretKind:
        some = [one for one in rows if one.kind == kind.value]
        if some:
            screen.line(f"instead of {_LABELS[kind]}: {some[0].instead}")
    for one in unseen:
        screen.line(f"not looked at: {shown(_short(place, one.path))}: {shown(one.why)}")
    if found.more:
        screen.line(f"not looked at: {found.more} more")
    if not found.whole:
        screen.line(NOT_WHOLE)


def _cells(place: str, now: int, row: SecretRow) -> tuple[str, ...]:
    where = _short(place, row.path)
    where += f", line {row.line}" if row.line else ""
    where += f": {row.member}" if row.member else ""
    where += f" (a link to {_short(place, row.through)})" if row.through else ""
    marked = f"{row.what} (placeholder?)" if row.worth == "placeholder" else row.what
    return _age(now - row.since), row.mode, row.readers, row.owner, marked, where


def _short(place: str, path: str) -> str:
    """A path as it stands below the folder."""
    return f"~{path[len(place) :]}" if path == place or path.startswith(f"{place}/") else path


def _age(much: int) -> str:
    seconds = much // _SECOND
    if seconds >= _DAY:
        return f"{seconds // _DAY} d"
    return f"{seconds // _HOUR} h" if seconds >= _HOUR else f"{max(0, seconds) // _MINUTE} min"
