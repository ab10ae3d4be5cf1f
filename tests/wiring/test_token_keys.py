from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from taskbound.adapters.keys.file import KeyMissingError, create_key_directory
from taskbound.wiring.token_keys import BadKeyPlaceError, KeyPackageMissingError, open_token_keys
from tests.peers.openbao import Bao
from tests.peers.softhsm import Device

if TYPE_CHECKING:
    from pathlib import Path

SIGNER = (sys.executable, "-I", "-m", "taskbound.wiring.signer")


def listed(keys: Path, place: str, *more: str) -> subprocess.CompletedProcess[str]:
    """What the signer says of its keys, in a process of its own."""
    told = [*SIGNER, "--keys", str(keys), "--origin", "example.com/log", "--token-keys", place, *more]
    return subprocess.run(told, check=False, capture_output=True, text=True)


def test_a_directory_is_made_only_when_told_so(tmp_path: Path) -> None:
    place = f"file:{tmp_path / 'keys'}"
    with pytest.raises(KeyMissingError):
        open_token_keys(place)
    with open_token_keys(place, create=True) as store:
        made = store.make()
    with open_token_keys(place, create=True) as store:
        assert store.kids() == (made.kid,)


def test_the_signer_says_which_keys_it_reaches_in_files_and_in_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_key_directory(tmp_path / "log")
    device = Device(tmp_path, monkeypatch)
    places = [
        f"file:{tmp_path / 'keys'}",
        f"pkcs11:token={quote(device.label)}?module-path={device.module}&pin-source=file:{device.pin}",
    ]
    for place in places:
        with open_token_keys(place, create=True) as store:
            made = store.make()
        said = listed(tmp_path / "log", place)
        assert (said.returncode, said.stdout.splitlines()[1:]) == (0, [f"token key {made.kid}"])
        assert said.stderr == ""


def test_the_signer_says_which_keys_it_reaches_in_openbao(tmp_path: Path) -> None:
    create_key_directory(tmp_path / "log")
    bao = Bao(tmp_path)
    try:
        place = f"openbao:{bao.address}/transit/taskbound?token={bao.token}"
        with open_token_keys(place) as store:
            made = store.make()
        said = listed(tmp_path / "log", place)
        assert (said.returncode, said.stdout.splitlines()[1:]) == (0, [f"token key {made.kid}"])
        bao.seal()
        said = listed(tmp_path / "log", place)
        assert said.returncode == 4
        assert "[signer-unavailable]" in said.stderr
        assert bao.root not in said.stdout + said.stderr
    finally:
        bao.end()


@pytest.mark.parametrize(
    "place",
    [
        "",
        "file:",
        "file:keys",
        "/var/lib/keys",
        "memory:",
        "file:/a\0b",
        "pkcs11:",
        "pkcs11:token=x",
        "pkcs11:token=?module-path=/a&pin-source=/b",
        "pkcs11:slot=1?module-path=/a&pin-source=/b",
        "pkcs11:token=x?module-path=/a",
        "pkcs11:token=x?module-path=/a&pin-source=/b&pin-value=1234",
        "pkcs11:token=x?module-path=/a&module-path=/c&pin-source=/b",
        "pkcs11:token=x?module-path=a&pin-source=/b",
        "openbao:",
        "openbao:https://keys.example.com",
        "openbao:https://keys.example.com/transit/x",
        "openbao:https://keys.example.com/transit?token=/t",
        "openbao:https://keys.example.com/transit/a/b?token=/t",
        "openbao:https://keys.example.com/transit/x?token=t",
        "openbao:https://keys.example.com/transit/x?token=/t&skip-verify=1",
    ],
)
def test_a_text_that_names_no_place_is_refused(place: str) -> None:
    with pytest.raises(BadKeyPlaceError):
        open_token_keys(place)


def test_a_package_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "taskbound.adapters.keys.pkcs11", None)
    with pytest.raises(KeyPackageMissingError):
        open_token_keys("pkcs11:token=x?module-path=/a&pin-source=/b")


def test_what_is_not_used_is_not_loaded(tmp_path: Path) -> None:
    place = f"file:{tmp_path / 'keys'}"
    code = (
        "import sys; from taskbound.wiring.token_keys import open_token_keys;"
        f"open_token_keys({place!r}, create=True).close();"
        "print([one for one in sys.modules if 'pkcs11' in one or 'openbao' in one])"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"
    assert os.listdir(tmp_path / "keys") == ["lock"]  # noqa: PTH208 -- names are all that is asked
