from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OKPKey

from taskbound.adapters.keys.sealing import MAX_VALUE, MAX_VALUES, AskerKey, hand, thumbprint
from taskbound.core.credential import BadHandedError
from taskbound.ports.target import Minted

WHERE = {"namespace": "default", "target": "orders", "credential": "crd_" + "a" * 35}
MINTED = Minted(open={"PGUSER": "tb_abcdefgh_x"}, secret={"PGPASSWORD": "a-word-that-nobody-knows"})
KEY = AskerKey.generate()


def handed(minted: Minted = MINTED, key: AskerKey = KEY, **other: str) -> str:
    return hand(minted, public=key.public, **{**WHERE, **other})


NAMES = st.from_regex(r"X_[A-Z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@settings(max_examples=40)
@given(opens=st.dictionaries(NAMES, VALUES, max_size=5), secrets=st.dictionaries(NAMES, VALUES, max_size=5))
def test_who_asked_gets_what_was_minted_and_nothing_else(
    opens: dict[str, str], secrets: dict[str, str]
) -> None:
    secrets = {f"S_{name}": one for name, one in secrets.items()} | {"S_": "x"}
    minted = Minted(open=opens, secret=secrets)
    assert KEY.open(handed(minted), **WHERE) == minted


def test_two_are_never_alike_and_neither_says_the_value() -> None:
    one, other = handed(), handed()
    assert one != other
    assert "a-word" not in one
    assert "a-word" not in repr(MINTED)


def test_each_bit_counts() -> None:
    text = handed()
    ends = {at - 1 for at, one in enumerate(text) if one == "."} | {len(text) - 1}
    for at in sorted(set(range(len(text))) - ends):  # the last character of a part has bits of no byte
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(BadHandedError) as refused:
            KEY.open(changed, **WHERE)
        assert "a-word" not in refused.value.message


@pytest.mark.parametrize("other", [{"namespace": "b"}, {"target": "b"}, {"credential": "crd_" + "b" * 35}])
def test_what_is_another_credential_is_not_opened(other: dict[str, str]) -> None:
    with pytest.raises(BadHandedError):
        KEY.open(handed(), **{**WHERE, **other})


def test_another_key_opens_nothing() -> None:
    with pytest.raises(BadHandedError):
        AskerKey.generate().open(handed(), **WHERE)


@pytest.mark.parametrize(
    "plain",
    [
        b"{}",
        b"[]",
        b"",
        b"\xff",
        b'{"open":{},"secret":{}}',
        b'{"open":{"A":"b"},"secret":{"A":"c"}}',
        b'{"open":{"A":1},"secret":{}}',
        b'{"open":{"A":"b"},"secret":{},"more":{}}',
        b'{"open":{"A":"b"}, "secret":{}}',
        b'{"open":{"A":"b","A":"c"},"secret":{}}',
        b'{"open":{"LD_PRELOAD":"b"},"secret":{}}',
        b'{"open":{"a-b":"b"},"secret":{}}',
        b'{"open":{"A":"\\u0000"},"secret":{}}',
        b'{"open":[],"secret":{"A":"b"}}',
    ],
)
def test_what_is_sealed_is_read_strictly(plain: bytes) -> None:
    header: dict[str, Any] = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": thumbprint(KEY.public),
        "typ": "taskbound-credential+jwe",
        **WHERE,
    }
    key = OKPKey.import_key({"crv": "X25519", "kty": "OKP", "x": KEY.public})
    sealed = jwe.encrypt_compact(header, plain, key, registry=jwe.JWERegistry(strict_check_header=False))
    with pytest.raises(BadHandedError):
        KEY.open(sealed, **WHERE)


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "dir"},
        {"enc": "A128GCM"},
        {"kid": "x"},
        {"typ": "taskbound-secret+jwe"},
        {"zip": "DEF"},
        {"crit": ["b64"]},
        {"epk": None},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "d": "A" * 43}},
        {"epk": {"kty": "OKP", "crv": "X448", "x": "A" * 43}},
        {"epk": {"kty": "OKP", "crv": "X25519", "x": "A" * 43}},  # of small order
    ],
)
def test_the_header_has_exactly_its_members(change: dict[str, Any]) -> None:
    head, rest = handed().split(".", 1)
    header = json.loads(urlsafe_b64decode(head + "==")) | change
    text = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    with pytest.raises(BadHandedError):
        KEY.open(f"{text}.{rest}", **WHERE)


@pytest.mark.parametrize(
    "minted",
    [
        Minted(open={}, secret={}),
        Minted(open={"A": "b"}, secret={"A": "c"}),
        Minted(open={f"A{n}": "b" for n in range(MAX_VALUES + 1)}, secret={}),
        Minted(open={"A": "b" * (MAX_VALUE + 1)}, secret={}),
        Minted(open={"PATH": "/tmp"}, secret={"PGPASSWORD": "b"}),  # noqa: S108 - a value, and no file
        Minted(open={"A": "\0"}, secret={}),
    ],
)
def test_what_can_t_be_handed_out_is_refused_where_it_is_sealed(minted: Minted) -> None:
    with pytest.raises(BadHandedError):
        handed(minted)


@pytest.mark.parametrize("public", ["", "A" * 42, "A" * 44, "=" * 43, "A" * 43])
def test_nothing_is_sealed_to_what_is_no_key(public: str) -> None:
    with pytest.raises(BadHandedError):
        hand(MINTED, public=public, **WHERE)
