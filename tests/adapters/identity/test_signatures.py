from __future__ import annotations

import subprocess
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskbound.adapters.identity.signatures import PersonSignatures
from taskbound.core.clock import Instant
from taskbound.core.identity.person_key import (
    BadPersonKeyError,
    BadSignatureError,
    PersonKey,
    PersonKeyKind,
)
from taskbound.wire.openssh import parse_key_file
from tests.peers.openssh import Device, accepts, armor, make_key, mpint, sign, sshsig, string, to_sign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STATEMENT = b"taskbound statement: pay 10.00 to bob\nnonce: 1\n"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KINDS = ["ed25519", "ecdsa"]
ours = PersonSignatures()


def enrolled(line: str) -> PersonKey:
    half = ours.read(PersonKeyKind.OPENSSH, line.encode())
    return PersonKey(
        namespace="default",
        id="key_1",
        person="ann",
        kind=PersonKeyKind.OPENSSH,
        public=half.public,
        fingerprint=half.fingerprint,
        enrolled=Instant(1),
        usable_from=Instant(1),
        enrolled_by="first",
    )


def line_of(path: Path) -> str:
    return path.with_name(f"{path.name}.pub").read_text().strip()


def blob(armored: bytes) -> bytes:
    return b64decode("".join(armored.decode().split("\n")[1:-2]))


@pytest.fixture(scope="module", params=KINDS)
def key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("key"), kind=request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_of_ssh_keygen_by_the_enrolled_key_over_the_statement_verifies(
    tmp_path: Path, kind: str
) -> None:
    path = make_key(tmp_path, kind=kind)
    for number in range(8):
        statement = STATEMENT + bytes([number])
        ours.verify(enrolled(line_of(path)), statement, sign(path, statement))


def test_what_ssh_keygen_says_of_a_key_is_its_fingerprint_and_its_label(key: Path) -> None:
    told = subprocess.run(["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True).stdout
    half = ours.read(PersonKeyKind.OPENSSH, line_of(key).encode())
    assert (half.fingerprint, half.label, half.hardware) == (told.split()[1], "ann@desk", False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [0x01, 0x05])
@pytest.mark.parametrize("application", ["ssh:", "ssh:work"])
def test_a_device_that_was_touched_signs_as_ssh_keygen_would_have_it(
    tmp_path: Path, kind: str, flags: int, application: str
) -> None:
    device = Device(kind=kind, flags=flags, application=application, counter=41)
    signature = device.sign(STATEMENT)
    assert accepts(tmp_path, device.line, STATEMENT, signature)
    ours.verify(enrolled(device.line), STATEMENT, signature)
    assert ours.counter(enrolled(device.line), signature) == 42
    assert ours.read(PersonKeyKind.OPENSSH, device.line.encode()).hardware


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [0x00, 0x04, 0x41, 0x81, 0x03, 0xFF])
def test_a_device_that_was_not_touched_or_says_more_is_refused(kind: str, flags: int) -> None:
    device = Device(kind=kind, flags=flags)
    with pytest.raises(BadSignatureError, match="reports no touch"):
        ours.verify(enrolled(device.line), STATEMENT, device.sign(STATEMENT))


@pytest.mark.parametrize("kind", KINDS)
def test_a_devices_signature_for_another_application_is_refused(tmp_path: Path, kind: str) -> None:
    device = Device(kind=kind)
    signature = sshsig(device.public, device.raw(STATEMENT, application="ssh:other"))
    assert not accepts(tmp_path, device.line, STATEMENT, signature)
    with pytest.raises(BadSignatureError):
        ours.verify(enrolled(device.line), STATEMENT, signature)
    with pytest.raises(BadPersonKeyError, match="something else"):
        enrolled(Device(kind=kind, application="https://example.org").line)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [-1, -5])
def test_a_devices_flags_and_counter_are_signed_too(kind: str, place: int) -> None:
    device = Device(kind=kind, counter=4)
    raw = bytearray(device.raw(STATEMENT))
    raw[place] ^= 0x04
    with pytest.raises(BadSignatureError, match="not by key"):
        ours.verify(enrolled(device.line), STATEMENT, sshsig(device.public, bytes(raw)))


def test_another_statement_is_refused(key: Path) -> None:
    signature = sign(key, STATEMENT)
    for other in (
        b"",
        STATEMENT[:-1],
        STATEMENT + b"\n",
        STATEMENT.replace(b"10.00", b"11.00"),
        STATEMENT * 2,
    ):
        with pytest.raises(BadSignatureError, match="not by key"):
            ours.verify(enrolled(line_of(key)), other, signature)


@pytest.mark.parametrize(
    "namespace", ["file", "git", "taskbound-approval2", "taskbound-approva", "Taskbound-approval"]
)
def test_a_signature_for_another_use_is_refused(key: Path, namespace: str) -> None:
    signature = sign(key, STATEMENT, namespace=namespace)
    with pytest.raises(BadSignatureError, match="made for something else"):
        ours.verify(enrolled(line_of(key)), STATEMENT, signature)


def test_a_signature_for_another_use_that_claims_ours_is_refused(key: Path) -> None:
    whole = blob(sign(key, STATEMENT, namespace="taskbound-approvam"))
    with pytest.raises(BadSignatureError, match="not by key"):
        ours.verify(
            enrolled(line_of(key)),
            STATEMENT,
            armor(whole.replace(b"taskbound-approvam", b"taskbound-approval")),
        )


def test_a_signature_over_another_hash_is_refused(key: Path) -> None:
    with pytest.raises(BadSignatureError, match="another hash"):
        ours.verify(enrolled(line_of(key)), STATEMENT, sign(key, STATEMENT, hashed="sha256"))


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_is_refused_also_when_it_signed_well_or_bears_the_enrolled_name(
    tmp_path: Path, kind: str
) -> None:
    own, other = make_key(tmp_path, kind=kind), make_key(tmp_path, kind=kind, name="other")
    signature = sign(other, STATEMENT)
    with pytest.raises(BadSignatureError, match="another key"):
        ours.verify(enrolled(line_of(own)), STATEMENT, signature)
    lent = blob(signature).replace(
        ours.read(PersonKeyKind.OPENSSH, line_of(other).encode()).public,
        ours.read(PersonKeyKind.OPENSSH, line_of(own).encode()).public,
    )
    with pytest.raises(BadSignatureError, match="not by key"):
        ours.verify(enrolled(line_of(own)), STATEMENT, armor(lent))


def test_no_signature_that_is_cut_or_has_one_bit_changed_verifies(key: Path) -> None:
    whole, mine = blob(sign(key, STATEMENT)), enrolled(line_of(key))
    for length in range(len(whole)):
        with pytest.raises(BadSignatureError):
            ours.verify(mine, STATEMENT, armor(whole[:length]))
    for place in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(BadSignatureError):
            ours.verify(mine, STATEMENT, armor(bytes(changed)))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + b"\n",
        lambda text: b"\n" + text,
        lambda text: text[:-1],
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b" \n"),
        lambda text: text.replace(b"SSH SIGNATURE", b"PGP SIGNATURE"),
        lambda text: text + text,
        lambda text: b"From: eve\n" + text,
        lambda text: text.replace(b"U1NI", b"U1N\n"),
        lambda text: text.replace(b"U1NI", b"U1N-"),
        lambda text: armor(blob(text), width=76),
        lambda text: armor(blob(text) + b"\0"),
        lambda text: armor(blob(text) + string(b"")),
        lambda _: b"",
        lambda _: b"\xff" * 100,
        lambda _: armor(b""),
        lambda _: armor(b"\0" * 3000),
    ],
)
def test_a_signature_that_is_written_otherwise_is_refused(
    key: Path, change: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(BadSignatureError, match="can't be read"):
        ours.verify(enrolled(line_of(key)), STATEMENT, change(sign(key, STATEMENT)))


@pytest.mark.parametrize(
    "field",
    [
        {"magic": b"SSHSIH"},
        {"version": 0},
        {"version": 2},
        {"reserved": b"x"},
        {"hashed": "sha384"},
        {"hashed": ""},
        {"namespace": ""},
        {"after": b"\0"},
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_envelope_with_another_field_is_refused(kind: str, field: dict[str, object]) -> None:
    device = Device(kind=kind)
    whole = sshsig(device.public, device.raw(STATEMENT), **field)  # type: ignore[arg-type]  # any field
    with pytest.raises(BadSignatureError, match="can't be read"):
        ours.verify(enrolled(device.line), STATEMENT, whole)


def test_a_signature_is_refused_for_its_length_before_it_is_decoded(key: Path) -> None:
    with pytest.raises(BadSignatureError, match="too long"):
        ours.verify(enrolled(line_of(key)), STATEMENT, armor(b"\0" * 3000))


def test_what_follows_a_signature_within_its_envelope_is_refused() -> None:
    device = Device()
    with pytest.raises(BadSignatureError, match="follows"):
        ours.verify(enrolled(device.line), STATEMENT, sshsig(device.public, device.raw(STATEMENT) + b"\0"))


def ecdsa_with(private: ec.EllipticCurvePrivateKey, numbers: bytes) -> bytes:
    return sshsig(public_of(private), string("ecdsa-sha2-nistp256") + string(numbers))


def public_of(private: ec.EllipticCurvePrivateKey) -> bytes:
    numbers = private.public_key().public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    return string("ecdsa-sha2-nistp256") + string("nistp256") + string(point)


def test_the_numbers_of_an_ecdsa_signature_are_read_in_one_form_and_range_only(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    line = f"ecdsa-sha2-nistp256 {b64encode(public_of(private)).decode()}"
    r = s = ORDER
    while r >> 255:  # a number whose shortest form has no zero before it
        r, s = decode_dss_signature(private.sign(to_sign(STATEMENT), ec.ECDSA(hashes.SHA256())))
    right = mpint(r) + mpint(s)
    assert accepts(tmp_path, line, STATEMENT, ecdsa_with(private, right))
    ours.verify(enrolled(line), STATEMENT, ecdsa_with(private, right))
    long = string(b"\0" + r.to_bytes(33, "big"))
    for wrong in (
        mpint(0) + mpint(s),
        mpint(r) + mpint(0),
        mpint(r) + mpint(s + ORDER),
        mpint(r + ORDER) + mpint(s),
        mpint(r) + string(b"\xff" + s.to_bytes(32, "big")),
        mpint(r) + mpint(s) + b"\0",
        mpint(r),
        long + mpint(s),
        string(r.to_bytes(33, "big")) + string(b"\0" + b"\1" * 31),
        string(b"\0" + r.to_bytes(32, "big")) + mpint(s),
    ):
        with pytest.raises(BadSignatureError):
            ours.verify(enrolled(line), STATEMENT, ecdsa_with(private, wrong))


def test_the_twin_of_an_ecdsa_signature_verifies_here_as_it_does_there_so_nothing_hangs_on_its_bytes(
    tmp_path: Path,
) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    line = f"ecdsa-sha2-nistp256 {b64encode(public_of(private)).decode()}"
    r, s = decode_dss_signature(private.sign(to_sign(STATEMENT), ec.ECDSA(hashes.SHA256())))
    for twin in (s, ORDER - s):
        whole = ecdsa_with(private, mpint(r) + mpint(twin))
        assert accepts(tmp_path, line, STATEMENT, whole)
        ours.verify(enrolled(line), STATEMENT, whole)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa-384"])
def test_keys_of_other_algorithms_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key"
    bits = ["-t", "rsa", "-b", "3072"] if kind == "rsa" else ["-t", "ecdsa", "-b", "384"]
    subprocess.run(["ssh-keygen", "-q", *bits, "-N", "", "-f", str(path)], check=True)
    with pytest.raises(BadPersonKeyError, match="algorithm"):
        enrolled(line_of(path))


@pytest.mark.parametrize(
    "ordinate",
    [
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
        "ff" * 31 + "7f",
    ],
)
@pytest.mark.parametrize("sign_bit", [0, 0x80])
def test_a_key_with_which_anybody_could_sign_is_refused(ordinate: str, sign_bit: int) -> None:
    point = bytearray.fromhex(ordinate)
    point[31] |= sign_bit
    weak = b64encode(string("ssh-ed25519") + string(bytes(point))).decode()
    with pytest.raises(BadPersonKeyError):
        enrolled(f"ssh-ed25519 {weak}")


def lines_of(key: Path) -> list[str]:
    algorithm, encoded, _ = line_of(key).split(" ")
    whole = b64decode(encoded)
    return [
        "",
        "ssh-ed25519",
        f"ssh-rsa {encoded}",
        f"{algorithm} {encoded[:-4]}",
        f"{algorithm} {b64encode(whole + b'x').decode()}",
        f"{algorithm} {b64encode(whole[:-1]).decode()}",
        f"{algorithm} {b64encode(whole[:-1] + b'').decode()}",
        f"{algorithm} {encoded}\n{algorithm} {encoded}",
        f'from="*" {algorithm} {encoded}',
        f"{algorithm} {'A' * 4000}",
        f"{algorithm}  {encoded}",
    ]


@pytest.mark.parametrize("number", range(11))
def test_a_line_that_is_no_public_key_is_refused(key: Path, number: int) -> None:
    with pytest.raises(BadPersonKeyError):
        enrolled(lines_of(key)[number])


def test_a_point_that_is_not_on_the_curve_is_refused() -> None:
    point = string("ecdsa-sha2-nistp256") + string("nistp256") + string(b"\x04" + b"\1" * 64)
    with pytest.raises(BadPersonKeyError):
        enrolled(f"ecdsa-sha2-nistp256 {b64encode(point).decode()}")


def test_keys_of_another_kind_sign_nothing_here(key: Path) -> None:
    with pytest.raises(BadPersonKeyError):
        ours.read(PersonKeyKind.PASSKEY, line_of(key).encode())
    with pytest.raises(BadSignatureError):
        ours.verify(
            replace(enrolled(line_of(key)), kind=PersonKeyKind.PASSKEY), STATEMENT, sign(key, STATEMENT)
        )


@pytest.mark.parametrize("passphrase", ["", "correct horse"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_keys_file_says_whether_a_passphrase_protects_it(
    tmp_path: Path, kind: str, passphrase: str
) -> None:
    path = make_key(tmp_path, kind=kind, passphrase=passphrase)
    public, encrypted = parse_key_file(path.read_bytes())
    assert encrypted is bool(passphrase)
    assert public.blob == enrolled(line_of(path)).public


@pytest.mark.parametrize("form", ["PEM", "PKCS8"])
def test_a_keys_file_of_another_form_is_refused(tmp_path: Path, form: str) -> None:
    path = make_key(tmp_path, kind="ecdsa")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-m", form, "-N", "", "-f", str(path)], check=True, capture_output=True
    )
    with pytest.raises(BadPersonKeyError):
        parse_key_file(path.read_bytes())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_no_bytes_are_read_as_a_signature_with_another_error_than_that_it_is_none(data: bytes) -> None:
    mine = enrolled(Device().line)
    for text in (data, armor(data), armor(b"SSHSIG\0\0\0\1" + data)):
        with pytest.raises(BadSignatureError):
            ours.verify(mine, STATEMENT, text)
