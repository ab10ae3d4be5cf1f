"""What follows from a bundle, a second time and in the plainest words: one policy after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one policy said when it was asked."""

    name: str
    forbids: bool
    lifter: str
    matched: bool
    erred: bool


def follows(everyone: list[Said]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Whether it is permitted, held or refused (and as what); by whom; lifted by what."""
    erred = []
    barring = []
    holding = []
    permitting = []
    for one in everyone:
        if one.erred:
            erred.append(one.name)
        elif one.matched and one.forbids and one.lifter == "":
            barring.append(one.name)
        elif one.matched and one.forbids:
            holding.append(one)
        elif one.matched:
            permitting.append(one.name)
    if len(erred) > 0:
        return "policy-erred", tuple(sorted(erred)), ()
    if len(barring) > 0:
        return "forbidden", tuple(sorted(barring)), ()
    if len(permitting) == 0:
        return "not-permitted", (), ()
    if len(holding) > 0:
        names = [one.name for one in holding]
        lifters = {one.lifter for one in holding}
        return "held", tuple(sorted(names)), tuple(sorted(lifters))
    return "permitted", tuple(sorted(permitting)), ()
