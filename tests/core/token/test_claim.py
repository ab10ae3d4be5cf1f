from __future__ import annotations

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token import ClaimKind, ReplayedError, Use, claim_of, require_first


def digest(*parts: str, kind: ClaimKind = ClaimKind.DPOP) -> str:
    return claim_of("default", kind, *parts, until=Instant(1)).digest


def test_no_two_things_share_a_claim_because_their_parts_were_cut_elsewhere() -> None:
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("1:a", "bc"), ("a1:", "bc")]
    kinds = (ClaimKind.DPOP, ClaimKind.CODE)
    assert len({digest(*one, kind=kind) for one in parts for kind in kinds}) == len(parts) * len(kinds)
    assert digest("a", "b") == digest("a", "b")
    assert digest("\ud800") != digest("\ud801")


@pytest.mark.parametrize("kind", ClaimKind)
def test_a_second_use_is_refused_in_words_for_each_kind(kind: ClaimKind) -> None:
    require_first(Use.FIRST, kind)
    with pytest.raises(ReplayedError, match="was used before"):
        require_first(Use.AGAIN, kind)
    with pytest.raises(ReplayedError, match="not known any more") as caught:
        require_first(Use.LATE, kind)
    assert "put back from a copy" in caught.value.message
    assert "three minutes" in caught.value.advice
    assert "clocks of all daemons" in caught.value.advice
