from __future__ import annotations

from dataclasses import replace

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    NEVER,
    Credential,
    CredentialState,
    begin_mint,
    begin_revocation,
    end_credential,
    fail_revocation,
    is_unbegun,
    kept_binding,
    leave_credential,
    lost_until,
    prove_gone,
    show_credential,
)
from taskbound.core.tool import BadSlotError, Slot
from tests.core.credential.crediting import BEGAN, later, made

S = CredentialState


def kept() -> Credential:
    minting = begin_mint(made(), later(1))
    return show_credential(minting, minting.lease.fence, later(2), kept="sealed")


def revoking() -> Credential:
    return begin_revocation(end_credential(kept(), "no more", later(3)), later(3))


def test_it_is_kept_from_the_mint_until_it_is_over_by_whichever_way() -> None:
    held = revoking()
    fence = held.lease.fence
    tried = fail_revocation(held, fence, "away", later(4))
    assert {one.kept for one in (kept(), held, tried)} == {"sealed"}
    assert prove_gone(held, fence, later(4)).kept == ""
    assert leave_credential(held, fence, later(900), later(4)).kept == ""


def test_it_is_bound_to_its_credential_its_target_and_its_namespace() -> None:
    others = [{"id": "crd_" + "b" * 35}, {"target": "mail"}, {"identity": "2" * 64}, {"namespace": "other"}]
    bindings = [kept_binding(made(**one)) for one in ({}, *others)]
    assert len({repr(one) for one in bindings}) == len(bindings)
    assert kept_binding(made(ends=later(9), state=S.REVOKING)) == kept_binding(made())
    with pytest.raises(BadSlotError):
        Slot(kind="kept", name="act_1")


def test_what_nobody_kept_is_over_once_the_last_answer_that_can_arrive_has_lived_its_longest() -> None:
    lasts = seconds(3_600)
    minting = begin_mint(made(), later(1))
    lost = end_credential(minting, "lost", later(11))
    assert lost_until(lost, 3_600) == minting.lease.until + seconds(60) + lasts
    assert lost_until(kept(), 3_600) == later(2) + lasts
    never = end_credential(made(), "nobody", later(10))
    assert lost_until(never, 3_600) == BEGAN + seconds(80) + lasts  # it may be older than its own mint
    assert lost_until(never, 3_600) >= lost_until(lost, 3_600) - seconds(1)


def test_a_row_says_that_no_mint_was_begun_only_where_none_was() -> None:
    never = end_credential(made(), "nobody", later(10))
    begun = end_credential(begin_mint(made(), later(1)), "lost", later(11))
    swept = replace(never, kind="")
    assert [is_unbegun(one) for one in (never, begun, revoking(), swept)] == [True, False, False, False]
    assert Instant(NEVER) == never.late
