"""What people are told of targets in which nothing ends what was minted before it ends by itself.

1. It is said each time, and however well the target works: by `doctor`, where a target is tested, shown or
   listed.
2. It is said how much of that there is, until when anybody is let in with it at the latest, and what can be
   done. What was open by then is ended by nobody either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.parse import parse_document
from taskbound.core.scope.path import Place
from taskbound.core.target import GithubPlace, OauthPlace
from taskbound.core.target.systems import GITHUB, OAUTH, OPENBAO, OPENSSH, SYSTEMS
from taskbound.surfaces.cli.screen import moment, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.wire.target import TargetRow


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
    """What `doctor` says of these: (level, name, text, advice)."""
    for row in rows:
        if not row.revocable or row.left:
            name, why, advice = _ANY if row.revocable else _WHY.get(row.kind, _ANY)
            yield "warn", name, f"target `{shown(row.name)}` {why}: {lasting_words(row)}", advice


def lasting_words(row: TargetRow) -> str:
    """How long what is minted there lasts, and how much of it there is (rule 2)."""
    longest = max([lost_for(row), *(kind.seconds for kind in row.kinds)])
    now = "none of it may be in use now"
    if row.left:
        some = f"{row.left} credentials" if row.left > 1 else "1 credential"
        now = f"{some} may be in use until {moment(row.left_until or 0)}"
    return (
        "what is minted there is revoked by nobody, and ends by itself, some"
        f" {longest} s after it was minted at the latest; {now}; sessions that are open then go on"
    )


def lost_for(row: TargetRow) -> int:
    """Seconds that something lives there which nobody can find; 0 where all of it has a name of ours."""
    if row.kind not in {GITHUB, OAUTH}:
        return 0
    place = SYSTEMS[row.kind].place(parse_document(bytes(row.where)), Place())
    return place.lasts if isinstance(place, GithubPlace | OauthPlace) else 0


def lasting_list(rows: Sequence[TargetRow]) -> str:
    """Which of these are such targets, in one line; empty where none is."""
    names = [shown(row.name) for row in rows if not row.revocable or row.left]
    return f"nothing ends before its time what is minted in {', '.join(names)}" if names else ""
