"""The preflight of a target, as who waits for it is told how it goes.

1. It is over when the target says so: a canary of each kind was minted, used and revoked, or which one
   failed, and why. What failed is for people to mend; where is said by the kind of target.
2. Waiting ends by itself; the preflight does not.
3. Where a target's credentials have no name of ours, a person hears that what is lost there is found by no
   sweep.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.target.systems import OPENSSH
from taskbound.surfaces.cli.hosting import HELPER
from taskbound.surfaces.cli.lasting import lasting_words, lost_for
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.target import CredentialRow, ListTargets, ShowCredential, TargetRow, TargetRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.surfaces.cli.session import Session
    from taskbound.wire.target import TargetTesting


_PATIENCE: Final = 60.0
_PAUSE: Final = 0.25
_ON_THE_HOST: Final = (
    f"on the host, `{HELPER} check` says as root what sshd lacks there; once what is named is mended,"
    " `taskbound target test TARGET` tests it again; other keys are made with `taskbound target admin FILE"
    " --new-keys`"
)


class PreflightFailedError(DeniedError):
    """A canary could not be minted, used or revoked."""

    code = "preflight-failed"
    remedy = (
        "mend what is named in the system, and test it again with `taskbound target test TARGET`; another"
        " admin access is given with `taskbound target admin FILE`; where the file is wrong, declare another"
        " target"
    )


class PreflightOpenError(UnavailableError):
    """The preflight is not over within a minute."""

    code = "preflight-open"
    remedy = "look at `taskbound target show TARGET`, and whether the broker runs, with `taskbound doctor`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """How a preflight stands."""

    row: TargetRow
    over: bool
    connected: bool
    """Whether a broker is connected to the daemon."""


def watch_preflight(
    session: Session,
    testing: TargetTesting,
    *,
    before: int | None,
    patience: float,
    each: Callable[[], None] = lambda: None,
) -> Over:
    """The target once its preflight is over, or the time is (rule 2).

    Args:
        session: The command's.
        testing: The preflight.
        before: When the one before was over.
        patience: Seconds.
        each: What is done at each look.
    """
    end = time.monotonic() + patience
    while True:
        found = session.ask(ListTargets(name=testing.name), TargetRows)
        row = only_row(found, testing.name)
        each()
        over = row.tested is not None and row.tested != before
        if over or time.monotonic() >= end:
            return Over(row=row, over=over, connected=bool(found.broker))
        time.sleep(_PAUSE)


def await_preflight(session: Session, testing: TargetTesting, *, before: int | None) -> None:
    """Wait until the preflight is over, and say how it went (rule 1).

    Raises:
        PreflightFailedError: It failed.
        PreflightOpenError: It is not over in time.
    """
    _say_testing(session, testing)
    said: dict[str, str] = {}

    def each() -> None:
        _say_progress(session, _canaries(session, testing), said)

    seen = watch_preflight(session, testing, before=before, patience=_PATIENCE, each=each)
    row = seen.row
    if not seen.over:
        why = "" if seen.connected else ": no broker is connected"
        raise PreflightOpenError(f"the preflight of `{shown(row.name)}` is not over{why}")
    if session.screen.json:
        session.screen.document(row)
    if row.state != "ready" or row.trouble:
        canaries = _canaries(session, testing)
        failed = [f"{one.kind}: {one.trouble or one.why}" for one in canaries if one.trouble]
        why = row.trouble or "; ".join(failed) or "a canary failed"
        raise PreflightFailedError(
            f"the preflight of `{shown(row.name)}` failed: {shown(Words(why))}",
            remedy=_ON_THE_HOST if row.kind == OPENSSH else "",
        )
    if not session.screen.json:
        session.screen.line(f"target {shown(row.name)} is ready")
        for kind in row.kinds:
            session.screen.line(f"  {shown(kind.tool)}: {shown(kind.description)}")
        if not row.revocable:
            session.screen.line(lasting_words(row))
        lasts = lost_for(row)
        if lasts:
            session.screen.note(
                "nothing of it can be listed there: what a kill loses is ended by nobody, and ends by itself"
                f" within {lasts} seconds",
                "",
            )  # 3


def _canaries(session: Session, testing: TargetTesting) -> list[CredentialRow]:
    """How each canary stands."""
    return [session.ask(ShowCredential(credential=one), CredentialRow) for one in testing.credentials]


def _say_progress(session: Session, canaries: list[CredentialRow], said: dict[str, str]) -> None:
    for one in canaries:
        now = f"{one.state}{f': {one.trouble}' if one.trouble else ''}"
        if said.get(one.id) != now:
            said[one.id] = now
            if not session.screen.json:
                session.screen.note(f"  {shown(one.kind)}: {shown(Words(now))}", "")


def _say_testing(session: Session, testing: TargetTesting) -> None:
    if not session.screen.json:
        count = len(testing.credentials)
        canaries = "a canary" if count == 1 else f"canaries of {count} kinds"
        session.screen.note(f"testing {shown(testing.name)}: {canaries}, minted, used and revoked", "")


def row_of(session: Session, name: str) -> TargetRow:
    """The target of this name; raises as `only_row`."""
    return only_row(session.ask(ListTargets(name=name), TargetRows), name)


def only_row(found: TargetRows, name: str) -> TargetRow:
    """The one of this name.

    Raises:
        BadInputError: There is none.
    """
    row = next((one for one in found.rows if one.name == name), None)
    if row is None:
        raise BadInputError(f"no target is named `{shown(name)}`", remedy="see `taskbound target list`")
    return row
