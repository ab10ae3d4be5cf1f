"""Warnings about targets whose credentials can't be revoked before they expire.

1. They are shown every time by `doctor` and where a target is tested, shown or listed.
2. They state how many credentials are affected and until when they can be used; sessions that are open by
   then are not ended.
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
    """Yield `doctor`'s findings about these targets."""
    for row in rows:
        if not row.revocable or row.left:
            name, why, advice = _ANY if row.revocable else _WHY.get(row.kind, _ANY)
            yield "warn", name, f"target `{shown(row.name)}` {why}: {lasting_words(row)}", advice


def lasting_words(row: TargetRow) -> str:
    """Return how long the target's credentials last and how many there are (rule 2)."""
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
    """Return one line that names these targets, or ''."""
    names = [shown(row.name) for row in rows if not row.revocable or row.left]
    return f"nothing ends before its time what is minted in {', '.join(names)}" if names else ""
