from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.credential import (
    BadRecipientError,
    NoRecipientError,
    UnwantedRecipientError,
    parse_recipient,
    require_recipient,
)
from tests.peers.targeting import ALICE, BOB

PRIME: Final = 2**255 - 19
EIGHTH: Final = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
OTHER_EIGHTH: Final = bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")
SMALL: Final = [
    *(number.to_bytes(32, "little") for number in (0, 1, PRIME - 1, PRIME, PRIME + 1)),
    EIGHTH,
    OTHER_EIGHTH,
]
"""Every point that X25519 takes for one of small order, as cr.yp.to/ecdh.html lists them."""


def written(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("high", [0, 0x80], ids=["", "with the bit that X25519 takes away"])
@pytest.mark.parametrize("raw", SMALL, ids=lambda raw: raw.hex()[:8])
def test_a_point_that_everybody_agrees_with_on_zero_is_no_recipient(raw: bytes, high: int) -> None:
    shown = raw[:-1] + bytes([raw[-1] | high])
    with pytest.raises(ValueError):  # noqa: PT011 - of another library, which has no other
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(shown))
    with pytest.raises(BadRecipientError):
        parse_recipient(written(shown))


@given(st.binary(min_size=32, max_size=32))
def test_a_key_that_a_library_makes_is_a_recipient_in_the_one_way_to_write_it(raw: bytes) -> None:
    made = X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
    text = written(made)
    assert parse_recipient(text) == text
    for other in (f"{text}=", f" {text}", text[:-1], f"{text}A", text[:-1] + chr(ord(text[-1]) + 1)):
        with pytest.raises(BadRecipientError):
            parse_recipient(other)
    high = bytearray(made)
    high[31] |= 0x80
    with pytest.raises(BadRecipientError):
        parse_recipient(written(bytes(high)))


@given(st.text(max_size=50))
def test_any_other_text_is_no_recipient_and_stands_in_no_error(text: str) -> None:
    with pytest.raises(BadRecipientError) as found:
        parse_recipient(text)
    assert len(text) < 4 or text not in found.value.message


def test_only_what_asks_for_a_credential_names_a_recipient_and_all_of_that_does() -> None:
    require_recipient(ALICE, credential=True)
    require_recipient(BOB, credential=True)
    require_recipient("", credential=False)
    with pytest.raises(NoRecipientError):
        require_recipient("", credential=True)
    with pytest.raises(UnwantedRecipientError):
        require_recipient(ALICE, credential=False)
    with pytest.raises(UnwantedRecipientError):
        require_recipient("x", credential=False)
