"""Waits for a target's preflight, and warns about credentials that can't be revoked.

1. The target determines the result: a canary of each kind was minted, used and revoked, or one failed.
2. Waiting is bounded; the preflight itself is not.
3. If credentials have no name of ours, no sweep finds lost ones, and the command warns the user.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.scope.path import Place
from taskbound.core.target import GithubPlace, OauthPlace
from taskbound.core.target.systems import GITHUB, OAUTH, OPENBAO, OPENSSH, SYSTEMS
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.target.access import HELPER
from taskbound.wire.target import CredentialRow, ListTargets, ShowCredential, TargetRow, TargetRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskbound.surfaces.cli.session import Session
    from taskbound.wire.target import TargetTesting


_SHORT: Final = "until then give its kinds few seconds: see docs/guides/"
_WHY: Final[Mapping[str, tuple[str, str, str]]] = {
    OAUTH: (
        "not-introspected",
        "names no place where tokens are taken back and asked about (`revocation`, `introspection`)",
        f"declare it anew with both; {_SHORT}oauth.md",
    ),
    OPENBAO: (
        "not-seen",
        "names no target that sees what it makes (`seen_in`)",
        f"declare it anew with the database's target as `seen_in`; {_SHORT}openbao.md",
    ),
    OPENSSH: (
        "no-helper",
        "has no helper",
        f"declare it anew with a helper, and forced commands; {_SHORT}openssh.md",
    ),
}
"""By kind of target: how the finding is called, why nothing is ended there, and what can be done."""
_ANY: Final = ("not-revocable", "has no means to end what it gave", "give its kinds few seconds")


def tell_lasting(rows: Sequence[TargetRow]) -> Iterator[tuple[str, str, str, str]]:
    for row in rows:
        if not row.revocable or row.left:
            name, why, advice = _ANY if row.revocable else _WHY.get(row.kind, _ANY)
            yield "warn", name, f"target `{shown(row.name)}` {why}: {lasting_words(row)}", advice


def lasting_words(row: TargetRow) -> str:
    longest = max([lost_for(row), *(kind.seconds for kind in row.kinds)])
    now = "none of it may be in use now"
    if row.left:
        some = f"{row.left} credentials" if row.left > 1 else "1 credential"
        now = f"{some} may be in use until {moment(row.left_until or 0)}"
    return (
        "its credentials cannot be revoked; they expire"
        f" at most {longest} s after issue; {now}; sessions that are open then go on"
    )


def lost_for(row: TargetRow) -> int:
    """Return for how many seconds a lost credential can't be found; 0 if all have names of ours."""
    if row.kind not in {GITHUB, OAUTH}:
        return 0
    place = SYSTEMS[row.kind].place(parse_document(bytes(row.where)), Place())
    return place.lasts if isinstance(place, GithubPlace | OauthPlace) else 0


def lasting_list(rows: Sequence[TargetRow]) -> str:
    names = [shown(row.name) for row in rows if not row.revocable or row.left]
    return f"nothing ends before its time what is minted in {', '.join(names)}" if names else ""


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
    """The state of a preflight."""

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
    """Poll for `patience` seconds; `before` is when the previous preflight ended."""
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
    _say_testing(session, testing)
    said: dict[str, str] = {}

    def each() -> None:
        _say_progress(session, _canaries(session, testing), said)

    seen = watch_preflight(session, testing, before=before, patience=_PATIENCE, each=each)
    row = seen.row
    if not seen.over:
        why = "" if seen.connected else ": no broker is connected"
        raise PreflightOpenError(f"the preflight of `{shown(row.name)}` is not over{why}")
    session.screen.report(row)
    if row.state != "ready" or row.trouble:
        canaries = _canaries(session, testing)
        failed = [f"{one.kind}: {one.trouble or one.why}" for one in canaries if one.trouble]
        why = row.trouble or "; ".join(failed) or "a canary failed"
        raise PreflightFailedError(
            f"the preflight of `{shown(row.name)}` failed: {shown(Words(why))}",
            remedy=_ON_THE_HOST if row.kind == OPENSSH else "",
        )
    session.screen.line(f"target {shown(row.name)} is ready")
    for kind in row.kinds:
        session.screen.line(f"  {shown(kind.tool)}: {shown(kind.description)}")
    if not row.revocable:
        session.screen.line(lasting_words(row))
    lasts = lost_for(row)
    if lasts:
        session.screen.hint(
            "its credentials can't be listed there: one lost in a crash is not revoked, and expires"
            f" within {lasts} seconds",
            "",
        )  # 3


def _canaries(session: Session, testing: TargetTesting) -> list[CredentialRow]:
    return [session.ask(ShowCredential(credential=one), CredentialRow) for one in testing.credentials]


def _say_progress(session: Session, canaries: list[CredentialRow], said: dict[str, str]) -> None:
    for one in canaries:
        now = f"{one.state}{f': {one.trouble}' if one.trouble else ''}"
        if said.get(one.id) != now:
            said[one.id] = now
            session.screen.hint(f"  {shown(one.kind)}: {shown(Words(now))}", "")


def _say_testing(session: Session, testing: TargetTesting) -> None:
    count = len(testing.credentials)
    canaries = "a canary" if count == 1 else f"canaries of {count} kinds"
    session.screen.hint(f"testing {shown(testing.name)}: {canaries}, minted, used and revoked", "")


def row_of(session: Session, name: str) -> TargetRow:
    """Return the target with this name; raises as `only_row`."""
    return only_row(session.ask(ListTargets(name=name), TargetRows), name)


def only_row(found: TargetRows, name: str) -> TargetRow:
    row = next((one for one in found.rows if one.name == name), None)
    if row is None:
        raise BadInputError(f"no target is named `{shown(name)}`", remedy="see `taskbound target list`")
    return row
