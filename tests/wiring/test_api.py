from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import pytest

from taskbound.wiring.address import BadAddressError, hosts_of, parse_address, parse_origin
from taskbound.wiring.api import main
from taskbound.wiring.tls import BadTlsError, TlsFiles
from tests.surfaces.network.certificates import Authority, Issued

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    """What is tried here sets the mask of its process, which is that of the tests."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Authority("servers").issue(tmp_path, "own", name="localhost")


def test_an_address_is_one_with_its_port() -> None:
    assert parse_address("127.0.0.1:8700", where="api_address") == ("127.0.0.1", 8700)
    assert parse_address("[::1]:0", where="api_address") == ("::1", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8700",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "localhost:1",
        "::1:8700",
        "[127.0.0.1]:1",
        "127.0.0.1:70000",
        "127.0.0.1:\u0661",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddressError):
        parse_address(text, where="api_address")


def test_an_origin_is_written_in_one_way() -> None:
    assert (
        parse_origin("https://api.example.org:443/", secured=True, where="api_origin")
        == "https://api.example.org"
    )
    assert (
        parse_origin("https://api.example.org:8700", secured=False, where="api_origin")
        == "https://api.example.org:8700"
    )
    assert parse_origin("http://127.0.0.1:8700", secured=False, where="api_origin") == "http://127.0.0.1:8700"


@pytest.mark.parametrize(
    "text",
    [
        "", "api.example.org", "https://", "https://API.example.org", "https://api.example.org/v1", "https://a@b",
        "https://api.example.org?x", "https://api.example.org#x", "ftp://api.example.org", "https://a:b", "https://ä.example",
    ],
)  # fmt: skip  # a list of cases
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(BadAddressError):
        parse_origin(text, secured=False, where="api_origin")


def test_an_api_with_tls_is_known_by_https() -> None:
    with pytest.raises(BadAddressError):
        parse_origin("http://127.0.0.1:8700", secured=True, where="api_origin")


def test_a_host_is_the_origins_and_on_the_loopback_its_own_names() -> None:
    outside = {"api.example.org", "api.example.org:443"}
    assert hosts_of("https://api.example.org", "10.0.0.1", 8700) == outside
    near = {"127.0.0.1:8700", "[::1]:8700", "localhost:8700"}
    assert hosts_of("https://api.example.org", "127.0.0.1", 8700) == outside | near


@pytest.mark.parametrize("flags", [(), ("--origin", "https://api.example.org"), ("--certificate", "/x")])
def test_off_the_loopback_there_is_no_api_without_tls(
    flags: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--daemon", "/nowhere", "--address", "0.0.0.0:0", *flags]) == 4
    assert "[bad-address]" in capfd.readouterr().err


def test_off_the_loopback_it_has_to_be_said_how_it_is_known(
    issued: Issued, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ("--certificate", str(issued.chain), "--key", str(issued.key))
    assert main(["--daemon", "/nowhere", "--address", "0.0.0.0:0", *flags]) == 4
    assert "the origin has to be said" in capfd.readouterr().err


def test_tls_is_new_enough_and_takes_no_session_up_again(issued: Issued) -> None:
    context = TlsFiles(certificate=issued.chain, key=issued.key).context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_key_that_every_account_can_read_is_no_key(issued: Issued) -> None:
    files = TlsFiles(certificate=issued.chain, key=issued.key)
    issued.key.chmod(0o640)
    files.context()
    issued.key.chmod(0o644)
    with pytest.raises(BadTlsError, match="other accounts can read"):
        files.context()


def test_files_that_do_not_belong_together_are_refused_and_told_without_their_content(
    issued: Issued, tmp_path: Path
) -> None:
    other = Authority("servers").issue(tmp_path, "other", name="localhost")
    text = tmp_path / "text"
    text.write_text("something of nobody's business")
    text.chmod(0o600)
    for files in (
        TlsFiles(certificate=issued.chain, key=other.key),
        TlsFiles(certificate=text, key=issued.key),
        TlsFiles(certificate=issued.chain, key=text),
        TlsFiles(certificate=issued.chain, key=issued.key, roots=text),
        TlsFiles(certificate=tmp_path / "none", key=issued.key),
        TlsFiles(certificate=issued.chain, key=tmp_path / "none"),
    ):
        with pytest.raises(BadTlsError) as caught:
            files.context()
        assert "business" not in caught.value.message


def test_a_replaced_file_is_seen(issued: Issued, tmp_path: Path) -> None:
    files = TlsFiles(certificate=issued.chain, key=issued.key)
    before = files.seen()
    assert files.seen() == before
    Authority("servers").issue(tmp_path, "own", name="localhost")
    after = files.seen()
    assert after != before
    issued.key.unlink()
    assert files.seen()[1] == (0, 0, 0)
