"""What a proof and a binding are."""

from __future__ import annotations

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity.proof import (
    AccountProof,
    BadBindingError,
    Binding,
    BindingKind,
    TokenProof,
    WorkloadKind,
    WorkloadProof,
    parse_binding,
)

_THUMB = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_a_binding_is_read_as_it_is_written() -> None:
    for kind in BindingKind:
        assert parse_binding(kind.value, _THUMB) == Binding(kind=kind, thumbprint=_THUMB)


@pytest.mark.parametrize(
    ("kind", "thumbprint"),
    [
        ("jkt", ""),
        ("jkt", _THUMB + "A"),
        ("jkt", _THUMB[:-1]),
        ("jkt", _THUMB[:-1] + "="),
        ("jkt", _THUMB + "\n"),
        ("JKT", _THUMB),
        ("", _THUMB),
        ("kid", _THUMB),
    ],
)
def test_what_is_no_binding_is_refused(kind: str, thumbprint: str) -> None:
    with pytest.raises(BadBindingError):
        parse_binding(kind, thumbprint)


def test_words_name_who_and_hold_no_credential() -> None:
    until = Instant(0)
    workload = WorkloadProof(
        kind=WorkloadKind.JWT_SVID, issuer="corp.example", subject="spiffe://corp.example/a", until=until
    )
    key = WorkloadProof(kind=WorkloadKind.KEY, issuer="", subject="k1", until=until)
    account = AccountProof(issuer="corp", subject="u-17", authenticated=until)
    bound = TokenProof(token="tok_1", binding=parse_binding("jkt", _THUMB), task="tsk_1")
    bearer = TokenProof(token="tok_2", binding=None)
    said = [one.words for one in (workload, key, account, bound, bearer)]
    assert said == [
        "jwt-svid:spiffe://corp.example/a by corp.example",
        "key:k1",
        "account:u-17 by corp",
        "token:tok_1 (dpop)",
        "token:tok_2 (bearer)",
    ]
    assert not any(_THUMB in one for one in said)
