from __future__ import annotations

import pytest

from taskbound.adapters.keys.ed25519 import Ed25519Key, verify_ed25519
from taskbound.core.audit import SignatureWrongError

# RFC 8032 §7.1, TEST 2.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_the_vector_of_rfc_8032_comes_out_and_verifies() -> None:
    key = Ed25519Key.from_seed(SEED)
    assert key.public == PUBLIC
    assert key.sign(b"\x72") == key.sign(b"\x72") == SIGNATURE
    verify_ed25519(PUBLIC, SIGNATURE, b"\x72")


@pytest.mark.parametrize(
    ("public", "signature", "message"),
    [
        (PUBLIC, SIGNATURE, b"\x73"),
        (PUBLIC, SIGNATURE[:-1], b"\x72"),
        (PUBLIC, b"", b"\x72"),
        (PUBLIC, SIGNATURE[:-1] + b"\x10", b"\x72"),
        (PUBLIC[:-1], SIGNATURE, b"\x72"),
        (b"", SIGNATURE, b"\x72"),
        (bytes(31) + b"\x80", SIGNATURE, b"\x72"),
        (b"\xff" * 32, SIGNATURE, b"\x72"),
    ],
)
def test_a_signature_that_is_not_right_raises(public: bytes, signature: bytes, message: bytes) -> None:
    with pytest.raises(SignatureWrongError):
        verify_ed25519(public, signature, message)


def test_two_generated_keys_differ_and_show_nothing() -> None:
    one, two = Ed25519Key.generate(), Ed25519Key.generate()
    assert one.public != two.public
    assert one.private.private_bytes_raw().hex() not in f"{one!r} {one}"
