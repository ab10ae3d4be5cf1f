from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.adapters.ssh import BadSshKeyError, SshIdentity
from taskbound.adapters.ssh.identity import _mpint
from tests.adapters.ssh.keys import make_pair
from tests.peers.openssh import make_key


def refused(private: str, certificate: str | None = None) -> str:
    with pytest.raises(BadSshKeyError) as error:
        SshIdentity(private, certificate)
    assert error.value.code == "bad-ssh-key"
    assert not set(private.split()) & {one for one in error.value.message.split() if len(one) > 20}
    return error.value.message


def test_a_certificate_is_of_the_key_or_refused(tmp_path: Path) -> None:
    pair, other = make_pair(tmp_path), make_pair(tmp_path, name="other")
    assert SshIdentity(pair.private, pair.certificate).blob == pair.blob(certified=True)
    assert SshIdentity(pair.private).blob == pair.blob()
    assert refused(pair.private, other.certificate) == "the certificate is of another key"
    assert refused(pair.private, pair.public) == "the certificate cannot be read"


def test_what_is_no_certificate_on_one_line_is_refused(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    kind, encoded, *_ = pair.certificate.split()
    for text in (
        "",
        kind,
        f"{kind} !",
        f"{kind} {encoded[:40]}",
        pair.certificate * 2,
        encoded + " x",
        "é é",
    ):
        refused(pair.private, text)
    refused(pair.private, pair.certificate.replace(kind, "ssh-rsa-cert-v01@openssh.com"))
    refused(pair.private, f"{pair.certificate.strip()} {'x' * 20_000}")


def test_what_is_no_private_key_of_ours_is_refused(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    guarded = make_key(tmp_path, passphrase="a-phrase", name="guarded").read_text()
    half = pair.private[: len(pair.private) // 2]
    for text in ("", pair.public, guarded, half, pair.private + "x" * 20_000, "é"):
        refused(text)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", str(tmp_path / "weak")], check=True
    )
    assert refused((tmp_path / "weak").read_text()) == "the private key has fewer than 2048 bits"


def test_i11_nothing_that_is_shown_of_it_holds_the_private_key(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    shown = repr(SshIdentity(pair.private)) + repr(vars(SshIdentity(pair.private)))
    assert not any(line in shown for line in pair.private.splitlines()[1:-1])


def test_rsa_signs_with_sha_2_alone_and_other_keys_know_no_flag(tmp_path: Path) -> None:
    rsa = SshIdentity(make_pair(tmp_path, "rsa-2048", "rsa").private)
    assert [rsa.sign(b"x", flags) is None for flags in (0, 1, 2, 3, 4, 6, 8)] == [
        True,
        True,
        False,
        True,
        False,
        True,
        True,
    ]
    other = SshIdentity(make_pair(tmp_path, "ecdsa-256", "ecdsa").private)
    assert [other.sign(b"x", flags) is None for flags in (0, 2, 4)] == [False, True, True]


@given(st.integers(1, 2**600))
def test_a_number_is_written_in_its_shortest_positive_form(number: int) -> None:
    written = _mpint(number)
    body = written[4:]
    assert int.from_bytes(written[:4], "big") == len(body)
    assert int.from_bytes(body, "big", signed=True) == number
    assert body[0] or body[1] & 0x80
