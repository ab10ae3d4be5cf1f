from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskbound.adapters.identity.signatures import PersonSignatures
from taskbound.core.clock import Instant
from taskbound.core.identity.person_key import (
    BadPersonKeyError,
    BadSignatureError,
    PasskeyUnreadableError,
    PersonKey,
    PersonKeyKind,
)
from taskbound.wire.passkey import (
    parse_assertion,
    parse_client_data,
    parse_registration,
    render_assertion,
    render_registration,
)
from tests.peers.openssh import Device
from tests.peers.passkey import ORIGIN, Browser, Passkeys, byte_string, number

if TYPE_CHECKING:
    from collections.abc import Callable

STATEMENT = b"taskbound statement: pay 10.00 to bob\nnonce: 1\n"
KINDS = ["es256", "eddsa"]
OTHER_PORT = ORIGIN[:-1] + "1"
ours = PersonSignatures()


def enrolled(offered: bytes) -> PersonKey:
    half = ours.read(PersonKeyKind.PASSKEY, offered)
    return PersonKey(
        namespace="default",
        id="key_1",
        person="ann",
        kind=PersonKeyKind.PASSKEY,
        public=half.public,
        fingerprint=half.fingerprint,
        enrolled=Instant(1),
        usable_from=Instant(1),
        enrolled_by="first",
    )


def refused(offered: bytes) -> str:
    with pytest.raises((BadPersonKeyError, BadSignatureError)) as error:
        ours.read(PersonKeyKind.PASSKEY, offered)
    return error.value.code


def unsigned(key: PersonKey, signature: bytes, statement: bytes = STATEMENT) -> str:
    with pytest.raises(BadSignatureError) as error:
        ours.verify(key, statement, signature)
    return error.value.code


@pytest.fixture(params=KINDS)
def device(request: pytest.FixtureRequest) -> Passkeys:
    return Passkeys(kind=request.param)


def test_a_passkey_that_is_enrolled_signs_and_its_signatures_are_counted(device: Passkeys) -> None:
    key = enrolled(device.offered(label="ann's phone"))
    for count in range(1, 4):
        signature = device.sign(STATEMENT)
        ours.verify(key, STATEMENT, signature)
        assert ours.counter(key, signature) == count


def test_a_key_in_one_device_is_told_from_one_that_is_copied(device: Passkeys) -> None:
    half = ours.read(PersonKeyKind.PASSKEY, device.offered(label="ann's phone"))
    assert (half.hardware, half.copiable, half.label) == (True, False, "ann's phone")
    synced = ours.read(PersonKeyKind.PASSKEY, device.changed(flags=0x1D).offered())
    assert (synced.hardware, synced.copiable) == (False, True)
    assert synced.fingerprint == half.fingerprint
    assert Passkeys(kind=device.kind).cose != device.cose


SIGNED: dict[str, tuple[str, Callable[[Passkeys], bytes]]] = {
    "another statement": ("passkey-challenge", lambda one: one.sign(STATEMENT + b"\n")),
    "the statement itself as challenge": (
        "passkey-challenge",
        lambda one: one.sign(STATEMENT, Browser(challenge=STATEMENT)),
    ),
    "no challenge": ("passkey-unreadable", lambda one: one.sign(STATEMENT, Browser(without=("challenge",)))),
    "made instead of used": (
        "passkey-type",
        lambda one: one.sign(STATEMENT, Browser(kind="webauthn.create")),
    ),
    "a payment": ("passkey-type", lambda one: one.sign(STATEMENT, Browser(kind="payment.get"))),
    "no type": ("passkey-unreadable", lambda one: one.sign(STATEMENT, Browser(without=("type",)))),
    "the address instead of the name": (
        "passkey-origin",
        lambda one: one.sign(STATEMENT, Browser(origin=ORIGIN.replace("localhost", "127.0.0.1"))),
    ),
    "another port": ("passkey-origin", lambda one: one.sign(STATEMENT, Browser(origin=OTHER_PORT))),
    "no port": ("passkey-origin", lambda one: one.sign(STATEMENT, Browser(origin="http://localhost"))),
    "encrypted": (
        "passkey-origin",
        lambda one: one.sign(STATEMENT, Browser(origin=ORIGIN.replace("http", "https"))),
    ),
    "a dot behind": (
        "passkey-origin",
        lambda one: one.sign(STATEMENT, Browser(origin=ORIGIN.replace("localhost", "localhost."))),
    ),
    "a name beneath": (
        "passkey-origin",
        lambda one: one.sign(STATEMENT, Browser(origin=ORIGIN.replace("localhost", "evil.localhost"))),
    ),
    "a slash behind": ("passkey-origin", lambda one: one.sign(STATEMENT, Browser(origin=ORIGIN + "/"))),
    "no origin at all": ("passkey-origin", lambda one: one.sign(STATEMENT, Browser(origin="null"))),
    "another site's page served, and said so": (
        "passkey-origin",
        lambda one: one.sign(
            STATEMENT, Browser(origin="https://evil.example"), origin="https://evil.example"
        ),
    ),
    "an origin that would begin a line": (
        "passkey-unreadable",
        lambda one: one.sign(STATEMENT, Browser(origin=ORIGIN + "\nforged")),
    ),
    "a type that would begin a line": (
        "passkey-unreadable",
        lambda one: one.sign(STATEMENT, Browser(kind="webauthn.get\nforged")),
    ),
    "a frame": ("passkey-framed", lambda one: one.sign(STATEMENT, Browser(crossed=True))),
    "a page above": (
        "passkey-framed",
        lambda one: one.sign(STATEMENT, Browser(more={"topOrigin": "https://evil.example"})),
    ),
    "a bound token": (
        "passkey-framed",
        lambda one: one.sign(STATEMENT, Browser(more={"tokenBinding": {"status": "present"}})),
    ),
    "a frame in words": ("passkey-unreadable", lambda one: one.sign(STATEMENT, Browser(crossed="no"))),
    "another site": ("passkey-site", lambda one: one.changed(site="evil.example").sign(STATEMENT)),
    "a site with its port": ("passkey-site", lambda one: one.changed(site="localhost:43210").sign(STATEMENT)),
    "nobody there": ("passkey-absent", lambda one: one.changed(flags=0x04).sign(STATEMENT)),
    "nobody known": ("passkey-unverified", lambda one: one.changed(flags=0x01).sign(STATEMENT)),
    "a key that is copied by now": ("passkey-copy", lambda one: one.changed(flags=0x0D).sign(STATEMENT)),
    "a copy that none may be made of": ("passkey-copy", lambda one: one.changed(flags=0x15).sign(STATEMENT)),
    "what is reserved": ("passkey-flags", lambda one: one.changed(flags=0x07).sign(STATEMENT)),
    "what is reserved too": ("passkey-flags", lambda one: one.changed(flags=0x25).sign(STATEMENT)),
    "more than was asked": (
        "passkey-flags",
        lambda one: one.changed(flags=0x85).sign(STATEMENT, after=b"\xa0"),
    ),
    "bytes behind": ("passkey-flags", lambda one: one.sign(STATEMENT, after=b"\x00")),
    "a new key": ("passkey-flags", lambda one: one.changed(flags=0x45).sign(STATEMENT)),
    "another key of the device": (
        "passkey-key",
        lambda one: one.changed(credential=bytes(32)).sign(STATEMENT),
    ),
    "another device": ("bad-signature", lambda one: Passkeys(kind=one.kind).sign(STATEMENT)),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_with_one_thing_wrong_is_refused_by_its_own_name(name: str, device: Passkeys) -> None:
    key = enrolled(device.offered())
    code, wrong = SIGNED[name]
    assert unsigned(key, wrong(device)) == code
    ours.verify(key, STATEMENT, device.sign(STATEMENT))


def changed(**more: Any) -> Callable[[Passkeys], bytes]:
    return lambda one: render_assertion(replace(one.assertion(STATEMENT), **more))


BROUGHT: dict[str, tuple[str, Callable[[Passkeys], bytes]]] = {
    "data of the client that is none": ("passkey-unreadable", changed(client_data=b"[]")),
    "two challenges": (
        "passkey-unreadable",
        lambda one: changed(client_data=one.assertion(STATEMENT).client_data[:-1] + b',"challenge":"AA"}')(
            one
        ),
    ),
    "too much data of the client": (
        "passkey-unreadable",
        lambda one: one.sign(STATEMENT, Browser(more={"x": "y" * 2048})),
    ),
    "too little data of the device": ("passkey-unreadable", changed(device_data=bytes(36))),
    "a signature of nothing": ("bad-signature", changed(signature=b"0")),
    "a signature that is too long": ("passkey-unreadable", changed(signature=bytes(129))),
    "an OpenSSH signature": ("passkey-unreadable", lambda _: Device().sign(STATEMENT)),
    "spaces": ("passkey-unreadable", lambda one: one.sign(STATEMENT).replace(b'","', b'", "', 1)),
    "one member more": ("passkey-unreadable", lambda one: one.sign(STATEMENT)[:-1] + b',"x":1}'),
    "nothing": ("passkey-unreadable", lambda _: b""),
    "too much": ("passkey-unreadable", lambda _: b'"' + b"x" * 9000 + b'"'),
}


@pytest.mark.parametrize("name", BROUGHT)
def test_what_can_not_be_read_as_a_signature_is_none(name: str, device: Passkeys) -> None:
    key = enrolled(device.offered())
    code, wrong = BROUGHT[name]
    assert unsigned(key, wrong(device)) == code


def test_data_of_a_browser_that_is_too_large_is_not_read() -> None:
    with pytest.raises(PasskeyUnreadableError):
        parse_client_data(b'{"challenge":"AA","origin":"x","type":"y","z":"%b"}' % (b"z" * 2048))
    parse_client_data(b'{"challenge":"AA","origin":"x","type":"y","z":"%b"}' % (b"z" * 1900))


def test_members_that_browsers_add_to_be_ignored_are_ignored(device: Passkeys) -> None:
    key = enrolled(device.offered())
    grease = {"other_keys_can_be_added_here": "do not compare clientDataJSON against a template"}
    ours.verify(key, STATEMENT, device.sign(STATEMENT, Browser(more=grease)))
    ours.verify(key, STATEMENT, device.sign(STATEMENT, Browser(without=("crossOrigin",))))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_signature_survives_the_change_of_one_bit(device: Passkeys, data: st.DataObject) -> None:
    key = enrolled(device.offered())
    whole = device.assertion(STATEMENT)
    part = data.draw(st.sampled_from(["client_data", "device_data", "credential", "signature"]))
    raw = bytearray(getattr(whole, part))
    raw[data.draw(st.integers(0, 2**20)) % len(raw)] ^= 1 << data.draw(st.integers(0, 7))
    more: dict[str, Any] = {part: bytes(raw)}
    with pytest.raises(BadSignatureError):
        ours.verify(key, STATEMENT, render_assertion(replace(whole, **more)))


def cose(*parts: tuple[int, bytes]) -> bytes:
    return bytes([0xA0 | len(parts)]) + b"".join(number(name) + value for name, value in parts)


def with_key(public: bytes) -> Callable[[Passkeys], bytes]:
    return lambda one: one.offered(data=one.data(fresh=True, cose=public))


X, Y = bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"), bytes(32)
RSA = cose((1, number(3)), (3, number(-257)), (-1, byte_string(bytes(255))), (-2, byte_string(b"\1\0\1")))
MADE: dict[str, tuple[str, Callable[[Passkeys], bytes]]] = {
    "RSA": ("passkey-algorithm", with_key(RSA)),
    "another curve": (
        "passkey-algorithm",
        with_key(
            cose(
                (1, number(2)), (3, number(-35)), (-1, number(2)), (-2, byte_string(X)), (-3, byte_string(Y))
            )
        ),
    ),
    "no point of its curve": (
        "passkey-algorithm",
        with_key(
            cose((1, number(2)), (3, number(-7)), (-1, number(1)), (-2, byte_string(X)), (-3, byte_string(Y)))
        ),
    ),
    "a point with which anybody could sign": (
        "passkey-algorithm",
        with_key(
            cose((1, number(1)), (3, number(-8)), (-1, number(6)), (-2, byte_string(b"\1" + bytes(31))))
        ),
    ),
    "another order of members": (
        "passkey-algorithm",
        with_key(cose((3, number(-7)), (1, number(2)), (-1, number(1)), (-2, byte_string(X)))),
    ),
    "a point that says another algorithm": (
        "passkey-algorithm",
        lambda one: with_key(one.cose.replace(number(3) + number(-7), number(3) + number(-47 + 31)))(one),
    ),
    "a point that says another kind of key": (
        "passkey-algorithm",
        lambda one: with_key(one.cose.replace(b"\xa5\1\2", b"\xa5\1\1"))(one),
    ),
    "a point between other members": (
        "passkey-algorithm",
        lambda one: with_key(one.cose.replace(b"\x22\x58\x20", b"\x23\x58\x20"))(one),
    ),
    "a byte behind the key": ("passkey-algorithm", lambda one: with_key(one.cose + b"\0")(one)),
    "no key": ("bad-person-key", with_key(b"")),
    "nonsense for a key": ("passkey-algorithm", with_key(b"\xff")),
    "a short name": ("bad-person-key", lambda one: one.changed(credential=b"short").offered()),
    "a long name": ("bad-person-key", lambda one: one.changed(credential=bytes(1024)).offered()),
    "another name": ("passkey-key", lambda one: one.offered(credential=bytes(32))),
    "another challenge": ("passkey-challenge", lambda one: one.offered(browser=Browser(challenge=b"d" * 32))),
    "used instead of made": ("passkey-type", lambda one: one.offered(browser=Browser(kind="webauthn.get"))),
    "another port": ("passkey-origin", lambda one: one.offered(browser=Browser(origin=OTHER_PORT))),
    "another page": (
        "passkey-origin",
        lambda one: one.offered(
            browser=Browser(origin="https://evil.example"), origin="https://evil.example"
        ),
    ),
    "a frame": ("passkey-framed", lambda one: one.offered(browser=Browser(crossed=True))),
    "another site": ("passkey-site", lambda one: one.changed(site="evil.example").offered()),
    "nobody there": ("passkey-absent", lambda one: one.changed(flags=0x04).offered()),
    "nobody known": ("passkey-unverified", lambda one: one.changed(flags=0x01).offered()),
    "more than was asked": (
        "passkey-flags",
        lambda one: one.changed(flags=0x85).offered(
            data=one.changed(flags=0x85).data(fresh=True, after=b"\xa0")
        ),
    ),
    "bytes for a key that are none": ("passkey-algorithm", with_key(b"\x81" * 1000 + b"\0")),
    "a promise of gigabytes": ("passkey-algorithm", with_key(b"\x5b" + b"\x7f" * 8)),
    "too little": ("bad-person-key", lambda one: one.offered(data=bytes(36))),
    "no new key": ("passkey-flags", lambda one: one.offered(data=one.data())),
    "a key that is cut": ("bad-person-key", lambda one: one.offered(data=one.data(fresh=True)[:60])),
    "too much": ("bad-person-key", lambda one: one.offered(data=one.data(fresh=True) + bytes(1280))),
    "a label of two lines": ("bad-person-key", lambda one: one.offered(label="phone\nforged")),
    "a label of other letters": ("bad-person-key", lambda one: one.offered(label="ph\u00f6ne")),
    "a long label": ("bad-person-key", lambda one: one.offered(label="x" * 65)),
    "an OpenSSH key": ("bad-person-key", lambda _: Device().line.encode()),
}


@pytest.mark.parametrize("name", MADE)
def test_a_new_passkey_with_one_thing_wrong_is_refused_by_its_own_name(name: str) -> None:
    device = Passkeys()
    code, wrong = MADE[name]
    assert refused(wrong(device)) == code
    enrolled(device.offered())


def test_an_algorithm_that_is_not_taken_is_refused_by_its_name() -> None:
    with pytest.raises(BadPersonKeyError, match="RSASSA_PKCS1_v1_5_SHA_256"):
        ours.read(PersonKeyKind.PASSKEY, with_key(RSA)(Passkeys()))


def test_what_is_kept_and_what_is_brought_is_read_as_it_was_written(device: Passkeys) -> None:
    offered, signed = device.make(label="x"), device.assertion(STATEMENT)
    assert parse_registration(render_registration(offered)) == offered
    assert parse_assertion(render_assertion(signed)) == signed


@pytest.mark.parametrize(
    "kept",
    [
        b"{}",
        b'{"algorithm":-257,"copiable":false,"credential":"AAAA","point":"AAAA"}',
        b'{"algorithm":-7,"copiable":false,"credential":"AAAA","point":"AAAA"}',
        b'{"algorithm":-7,"copiable":0,"credential":"AAAA","point":"AAAA"}',
    ],
)
def test_a_damaged_row_signs_nothing(kept: bytes, device: Passkeys) -> None:
    key = replace(enrolled(device.offered()), public=kept)
    assert unsigned(key, device.sign(STATEMENT)) == "passkey-unreadable"


def test_neither_kind_of_key_takes_the_signature_of_the_other(device: Passkeys) -> None:
    ssh = Device()
    half = ours.read(PersonKeyKind.OPENSSH, ssh.line.encode())
    key = replace(enrolled(device.offered()), kind=PersonKeyKind.OPENSSH, public=half.public)
    assert unsigned(key, device.sign(STATEMENT)) == "bad-signature"


def test_a_daemon_without_a_passkey_does_not_carry_what_reads_them() -> None:
    program = "import sys, taskbound.wiring.daemon as d; print({'webauthn', 'cbor2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
