"""Every kind of certificate that tests make is accepted by a client that verifies as Python 3.13 does."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.peers.certificates import certificate
from tests.peers.domain import Domain
from tests.peers.rawhttp import Authority as ServersAuthority
from tests.surfaces.network.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "localhost"


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    chain, key = certificate(folder, address="127.0.0.1")
    return chain, serving(chain, key)


def issued(folder: Path) -> tuple[Path, ssl.SSLContext]:
    authority = Authority("tests")
    own = authority.issue(folder, "own", name=HOST)
    return authority.write(folder / "roots.pem"), serving(own.chain, own.key)


def by_a_server(folder: Path) -> tuple[Path, ssl.SSLContext]:
    authority = ServersAuthority(folder)
    return authority.file, authority.context(HOST)[0]


def by_a_domain(folder: Path) -> tuple[Path, ssl.SSLContext]:
    domain = Domain(now=datetime.now(UTC))
    own, roots = folder / "own.pem", folder / "roots.pem"
    own.write_bytes(domain.web(HOST, by=domain.intermediate()).pem())
    roots.write_bytes(domain.authority.pem())
    return roots, serving(own)


def serving(chain: Path, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


@pytest.mark.parametrize("made", [self_signed, issued, by_a_server, by_a_domain])
def test_certificate_passes_strict_verification(
    made: Callable[[Path], tuple[Path, ssl.SSLContext]], tmp_path: Path
) -> None:
    roots, server = made(tmp_path)
    client = ssl.create_default_context(cafile=roots)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    host = "127.0.0.1" if made is self_signed else HOST
    ends = client.wrap_bio(back, there, server_hostname=host), server.wrap_bio(there, back, server_side=True)
    for end in (*ends, *ends):  # hello, its answer, the client's end, the server's
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    assert ends[0].getpeercert()
