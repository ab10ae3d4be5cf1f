from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from taskbound.adapters.keys.file import KeyExposedError, KeyMissingError, KeyTornError
from taskbound.adapters.keys.pkcs11 import Pkcs11TokenKey, Pkcs11TokenKeys
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.token import TokenKeyGoneError, TokenKeyWeakError
from taskbound.wire.jose import es256_jwk
from tests.peers.softhsm import PIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.peers.softhsm import Device

P256 = bytes.fromhex("06082a8648ce3d030107")
P384 = bytes.fromhex("06052b81040022")


def opened(device: Device) -> Pkcs11TokenKeys:
    return Pkcs11TokenKeys(module=device.module, token=device.label, pin=device.pin)


def session_of(device: Device) -> Any:
    """A session beside the store's, by the library alone; the application is logged in already."""
    return pkcs11.lib(str(device.module)).get_token(token_label=device.label).open(rw=True)


def planted(device: Device, kid: str = "", *, curve: bytes = P256, **private: Any) -> str:
    """Somebody else's key, under our label and this name, or its own; the name."""
    with session_of(device) as session:
        domain = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: curve}, local=True)
        public, secret = domain.generate_keypair(
            store=True,
            label="taskbound-token",
            id=kid.encode(),
            mechanism=Mechanism.EC_KEY_PAIR_GEN,
            private_template={
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
                Attribute.SIGN: True,
                Attribute.DERIVE: False,
                Attribute.DECRYPT: False,
                Attribute.UNWRAP: False,
                **{Attribute[name]: value for name, value in private.items()},
            },
        )
        if not kid:
            point = public[Attribute.EC_POINT][-64:]
            kid = es256_jwk(point[:32], point[32:]).kid
            public[Attribute.ID] = secret[Attribute.ID] = kid.encode()
        return kid


def test_the_private_half_never_leaves_the_device(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        with session_of(device) as session:
            key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=made.kid.encode())
            flags = (Attribute.SENSITIVE, Attribute.NEVER_EXTRACTABLE, Attribute.LOCAL)
            assert [key[flag] for flag in flags] == [True, True, True]
            with pytest.raises(pkcs11.exceptions.PKCS11Error):
                assert key[Attribute.VALUE]
    assert b"PRIVATE KEY" not in b"".join(one.read_bytes() for one in device.tokens.rglob("*.object"))


@pytest.mark.parametrize(
    "flags",
    [{"EXTRACTABLE": True}, {"SENSITIVE": False}, {"DERIVE": True}, {"SIGN": False}, {"UNWRAP": True}],
)
def test_a_key_that_could_leave_the_device_or_do_more_than_sign_is_refused(
    device: Device, flags: dict[str, Any]
) -> None:
    with opened(device) as store:
        kid = planted(device, **flags)
        assert store.kids() == (kid,)
        with pytest.raises(TokenKeyWeakError):
            store.open(kid)


def test_a_key_that_others_made_as_ours_are_made_is_one(device: Device) -> None:
    # What is refused above is refused for its flag, and for nothing else.
    with opened(device) as store:
        assert len(store.open(planted(device)).sign(b"x")) == 64


def test_a_key_under_anothers_name_is_refused_and_so_is_another_curve(device: Device) -> None:
    with opened(device) as store:
        planted(device, "A" * 43)
        planted(device, "B" * 43, curve=P384)
        for kid in ("A" * 43, "B" * 43):
            with pytest.raises(TokenKeyWeakError):
                store.open(kid)


def test_a_second_key_planted_under_a_name_in_use_signs_nothing(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        planted(device, made.kid)
        with pytest.raises(TokenKeyWeakError):
            made.sign(b"x")


def test_what_another_key_signed_never_leaves(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        with session_of(device) as session:
            session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=made.kid.encode()).destroy()
        planted(device, made.kid)
        with pytest.raises(SignerUnavailableError) as caught:
            made.sign(b"x")
        assert "not the key's" in caught.value.message


def test_others_objects_are_not_ours(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        with session_of(device) as session:
            session.generate_key(KeyType.AES, 256, store=True, label="theirs", id=b"A" * 43)
        assert store.kids() == (made.kid,)
        store.destroy("A" * 43)
        with session_of(device) as session:
            assert session.get_key(label="theirs") is not None


def test_a_key_whose_maker_ended_before_it_had_a_name_is_none_and_goes_with_the_next(device: Device) -> None:
    with opened(device) as store:
        planted(device, "taskbound-new")
        assert store.kids() == ()
        made = store.make()
        assert store.kids() == (made.kid,)
        with session_of(device) as session:
            halves = list(session.get_objects({Attribute.LABEL: "taskbound-token"}))
        assert len(halves) == 2


def test_a_session_that_was_lost_is_opened_again(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        pkcs11.lib(str(device.module)).reinitialize()  # every session of the process is gone
        assert len(made.sign(b"x")) == 64
        assert store.kids() == (made.kid,)


ACTS: dict[str, Callable[[Pkcs11TokenKeys, Pkcs11TokenKey], object]] = {
    "sign": lambda _, key: key.sign(b"x"),
    "make": lambda store, _: store.make(),
    "kids": lambda store, _: store.kids(),
    "open": lambda store, key: store.open(key.kid),
    "destroy": lambda store, key: store.destroy(key.kid),
}


@pytest.mark.parametrize("act", list(ACTS))
def test_a_device_that_was_taken_out_is_said_and_is_used_again_once_it_is_back(
    device: Device, act: str
) -> None:
    with opened(device) as store:
        made = store.make()
        away = device.tokens.rename(device.tokens.with_name("away"))
        with pytest.raises(SignerUnavailableError) as caught:
            ACTS[act](store, made)
        assert not isinstance(caught.value, TokenKeyGoneError)
        away.rename(device.tokens)
        assert len(made.sign(b"x")) == 64


def test_a_wrong_pin_is_tried_once_and_never_again_by_this_process(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        device.write_pin("000000")
        pkcs11.lib(str(device.module)).reinitialize()
        for _ in range(5):
            with pytest.raises(SignerUnavailableError) as caught:
                made.sign(b"x")
            assert "000000" not in f"{caught.value.message}{caught.value.advice}"
        # The right one is not tried either, until somebody starts the signer again.
        device.write_pin(PIN)
        with pytest.raises(SignerUnavailableError):
            made.sign(b"x")
    with opened(device) as store:
        assert len(store.open(made.kid).sign(b"x")) == 64


def test_a_wrong_pin_opens_no_store(device: Device) -> None:
    device.write_pin("000000")
    with pytest.raises(SignerUnavailableError):
        opened(device)


def test_the_pin_is_in_a_file_for_this_user_alone(device: Device) -> None:
    device.write_pin(PIN, mode=0o640)
    with pytest.raises(KeyExposedError):
        opened(device)
    device.pin.unlink()
    with pytest.raises(KeyMissingError):
        opened(device)
    for text in ("", "two words", "\x00", "p" * 300, "one\ntwo"):
        device.write_pin(text)
        with pytest.raises(KeyTornError):
            opened(device)


def test_a_module_or_token_that_isnt_there_is_said(device: Device, tmp_path: Path) -> None:
    none = tmp_path / "none.so"
    with pytest.raises(SignerUnavailableError):
        Pkcs11TokenKeys(module=none, token=device.label, pin=device.pin)
    none.write_bytes(b"no library")
    with pytest.raises(SignerUnavailableError):
        Pkcs11TokenKeys(module=none, token=device.label, pin=device.pin)
    with pytest.raises(SignerUnavailableError):
        Pkcs11TokenKeys(module=device.module, token="another", pin=device.pin)


def test_a_key_destroyed_by_others_is_gone(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        with session_of(device) as session:
            for one in list(session.get_objects({Attribute.ID: made.kid.encode()})):
                one.destroy()
        with pytest.raises(TokenKeyGoneError):
            made.sign(b"x")


def test_two_processes_use_one_device_at_once(device: Device) -> None:
    with opened(device) as store:
        made = store.make()
        told = subprocess.run(
            ["softhsm2-util", "--show-slots"], check=True, capture_output=True, text=True
        ).stdout
        assert device.label in told
        assert len(made.sign(b"x")) == 64
