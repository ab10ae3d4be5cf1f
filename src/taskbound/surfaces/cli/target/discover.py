"""`taskbound credential discover`: logins and keys in targets that were not minted here.

1. Nothing is changed in a target.
2. A target that can't be searched is reported and hides no other.
3. The status is 1 if anything was found, or if a search failed or was incomplete.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.errors import fault_of
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, command, option
from taskbound.surfaces.cli.target.credential import app
from taskbound.wire.target import Discovered, DiscoverTarget, ListTargets, TargetRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.wire.target import StandingRow


_AT_ONCE: Final = 16
"""Targets that are asked for at the same time."""
_PATIENCE: Final = 15.0
"""Seconds that the answer of one target is waited for: longer than the daemon waits."""
_NOT_WHOLE: Final = "the look is not whole: there may be more, and worse"
_WHOSE: Final = {"others": "others", "admin": "the broker", "installation": "another installation"}
_REACH: Final = {"all": "everything", "beyond": "beyond data", "data": "data"}


class UnseenTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A target that could not be searched."""

    target: str
    code: str
    message: str
    advice: str = ""


class DiscoveredTargets(msgspec.Struct, frozen=True, kw_only=True, tag="discovered-targets", tag_field="is"):
    """Logins and keys in targets that were not minted here."""

    targets: tuple[Discovered, ...]
    """By name."""
    unseen: tuple[UnseenTarget, ...]


TargetsOption = Annotated[
    list[str] | None, option("--target TARGET", "Look at this target, and no other. Repeatable.")
]


@command(
    app,
    "discover",
    examples="taskbound credential discover\ntaskbound credential discover --target orders-db --json",
)
def discover(session: Session, *, target: TargetsOption = None) -> None:
    """List logins and keys in targets that were not minted here.

    Nothing is changed and no secret is shown. The status is 1 if anything was found, a target could not be
    searched, or a search was incomplete.
    """
    found = _targets(session, tuple(dict.fromkeys(target or ())))
    session.screen.report(found)
    _show_targets(session, found)
    if found.unseen or any(one.count or not one.whole for one in found.targets):
        raise typer.Exit(1)  # 3


def _targets(session: Session, wanted: Sequence[str]) -> DiscoveredTargets:
    known = [one.name for one in session.ask(ListTargets(), TargetRows).rows]
    unknown = [one for one in wanted if one not in known]
    if unknown:
        raise BadInputError(f"no target is named `{shown(unknown[0])}`", remedy="see `taskbound target list`")
    names = sorted(wanted or known)
    seen: list[Discovered] = []
    unseen: list[UnseenTarget] = []
    with ThreadPoolExecutor(max_workers=max(1, min(_AT_ONCE, len(names)))) as pool:
        for one in pool.map(partial(_target, session), names):
            if isinstance(one, Discovered):
                seen.append(one)
            else:
                unseen.append(one)
    return DiscoveredTargets(targets=tuple(seen), unseen=tuple(unseen))


def _target(session: Session, name: str) -> Discovered | UnseenTarget:
    try:
        with session.connect_anew("cli") as client:
            return client.ask(DiscoverTarget(target=name), Discovered, patience=_PATIENCE)
    except TaskboundError as error:
        fault = fault_of(error)
        return UnseenTarget(target=name, code=fault.code, message=fault.message, advice=fault.advice)


def _show_targets(session: Session, found: DiscoveredTargets) -> None:
    screen = session.screen
    for one in found.targets:
        screen.heading(f"{shown(one.target)}: {_count(one)}, {_whom(one.owner, one.approvers)}")
        screen.table(
            ("NAME", "REACH", "WHOSE", "SINCE", "LAST USED", "ENDS", "RIGHTS"),
            [_cells(row) for row in one.rows],
            "nothing stands there beside what is minted here",
        )
        if one.count > len(one.rows):
            screen.line(f"the worst {len(one.rows)} of {one.count} are shown")
        for note in one.notes:
            screen.line(f"not seen: {shown(Words(note))}")
        if not one.whole:
            screen.line(_NOT_WHOLE)
    for lost in found.unseen:
        text = f"error: {shown(lost.target)} can't be seen: {shown(Words(lost.message))} [{shown(lost.code)}]"
        screen.hint(text, "red")
        if lost.advice:
            screen.hint(f"what to do: {shown(Words(lost.advice))}", "")
    if not found.targets and not found.unseen:
        screen.line("no targets")


def _count(one: Discovered) -> str:
    known = {"postgres": "login", "redis": "user"}
    noun = known.get(one.kind, "login or key" if one.count == 1 else "logins and keys")
    plural = "" if one.count == 1 or noun.endswith("s") else "s"
    return f"{one.count} {noun}{plural} not managed here"


def _whom(owner: str, approvers: Sequence[str]) -> str:
    others = ", ".join(shown(one) for one in approvers if one != owner)
    return f"ask {shown(owner) or 'its approvers'}{f' or {others}' if others else ''}"


def _cells(row: StandingRow) -> tuple[str, ...]:
    lines = list(row.rights) or ["nothing of its own"]
    if row.entry == "open":
        lines.insert(0, "may be let in without a password or a key")
    used = f"now ({row.open} open)" if row.open else moment(row.used) if row.used else "unknown"
    return (
        row.name,
        _REACH[row.reach],
        _WHOSE[row.whose],
        moment(row.since) if row.since else "unknown",
        used,
        "never" if row.ends is None else moment(row.ends),
        Words("; ".join(lines)),
    )
