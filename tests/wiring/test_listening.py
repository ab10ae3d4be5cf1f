"""Where something that the network reaches listens: what can't be is told before anything is started."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from taskbound.wiring.address import BadAddressError
from taskbound.wiring.listening import ApiPlace, CannotListenError, listen_at, require_place
from taskbound.wiring.settings import read_settings
from taskbound.wiring.tls import BadTlsError
from tests.surfaces.network.certificates import Authority, Issued


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Authority("servers").issue(tmp_path, "own", name="localhost")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_place_that_somebody_has_is_named_with_what_to_do(address: str) -> None:
    with listen_at(address, 0, backlog=1) as one:
        port = one.getsockname()[1]
        with pytest.raises(CannotListenError) as caught:
            listen_at(address, port, backlog=1)
    place = f"[::1]:{port}" if ":" in address else f"127.0.0.1:{port}"
    assert caught.value.message == f"nothing can listen at {place}: another program listens there"
    assert caught.value.advice == "end that one, or take another port"


def test_an_address_of_another_machine_is_none_to_listen_at() -> None:
    with pytest.raises(CannotListenError, match="this machine has no such address") as caught:
        listen_at("192.0.2.1", 0, backlog=1)  # RFC 5737: nobody's
    assert "ip address" in caught.value.advice


@pytest.mark.parametrize(
    ("number", "why", "advice"),
    [
        (errno.EACCES, "this account may not listen there", "take a port from 1024 on"),
        (errno.EMFILE, "Too many open files", CannotListenError.remedy),
    ],
)
def test_what_the_system_says_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, number: int, why: str, advice: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_server", refuse)  # root may take any port, and a container's accounts
    with pytest.raises(CannotListenError) as caught:
        listen_at("127.0.0.1", 80, backlog=1)
    assert caught.value.message == f"nothing can listen at 127.0.0.1:80: {why}"
    assert caught.value.advice == advice


def test_a_place_is_looked_at_and_left_as_it_was(issued: Issued) -> None:
    with listen_at("127.0.0.1", 0, backlog=1) as one:
        port = one.getsockname()[1]
    place = ApiPlace(
        address=f"127.0.0.1:{port}",
        origin="https://api.example.org",
        certificate=str(issued.chain),
        key=str(issued.key),
    )
    require_place(place)
    require_place(place)
    found, files, origin = place.open(1)
    found.close()
    assert (found.family, origin) == (socket.AF_INET, "https://api.example.org")
    assert files is not None


def test_an_origin_that_nobody_said_is_the_address_and_the_port_that_was_free() -> None:
    found, files, origin = ApiPlace(address="[::1]:0").open(1)
    with found:
        assert (files, origin) == (None, f"http://[::1]:{found.getsockname()[1]}")


def test_a_place_of_which_a_part_is_wrong_is_refused(issued: Issued, tmp_path: Path) -> None:
    chain, key = str(issued.chain), str(issued.key)
    wrong: list[tuple[ApiPlace, type[Exception], str]] = [
        (ApiPlace(address="localhost:1"), BadAddressError, "malformed"),
        (ApiPlace(address="0.0.0.0:0"), BadAddressError, "there is no TLS"),
        (ApiPlace(address="0.0.0.0:0", certificate=chain, key=key), BadAddressError, "has to be said"),
        (ApiPlace(address="127.0.0.1:0", certificate=chain), BadAddressError, "a certificate and its key"),
        (ApiPlace(address="127.0.0.1:0", origin="http://x/y"), BadAddressError, "nothing more"),
        (
            ApiPlace(address="127.0.0.1:0", origin="http://x", certificate=chain, key=key),
            BadAddressError,
            "known by `https`",
        ),
        (
            ApiPlace(address="127.0.0.1:0", certificate=str(tmp_path / "none"), key=key),
            BadTlsError,
            "No such file",
        ),
        (ApiPlace(address="127.0.0.1:0", certificate=key, key=key), BadTlsError, "can't be used"),
    ]
    for place, kind, words in wrong:
        with pytest.raises(kind, match=words):
            require_place(place)


def test_a_place_that_becomes_free_in_time_is_none_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one, listen = listen_at("127.0.0.1", 0, backlog=1), socket.create_server
    place = ApiPlace(address=f"127.0.0.1:{one.getsockname()[1]}")

    def once(*told: Any, **more: Any) -> socket.socket:
        try:
            return listen(*told, **more)
        except OSError:
            one.close()  # who has it ends a moment later
            raise

    monkeypatch.setattr(socket, "create_server", once)
    require_place(place)


def test_a_place_that_stays_taken_is_waited_for_no_longer_than_it_was_said() -> None:
    with listen_at("127.0.0.1", 0, backlog=1) as one:
        place = ApiPlace(address=f"127.0.0.1:{one.getsockname()[1]}")
        with pytest.raises(CannotListenError, match="another program listens there"):
            require_place(place, patience=0.1)


def test_what_no_time_changes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, issued: Issued) -> None:
    def wait(_: float) -> None:
        raise AssertionError

    monkeypatch.setattr(time, "sleep", wait)
    files = {"certificate": str(issued.chain), "key": str(issued.key), "origin": "https://api.example.org"}
    with pytest.raises(CannotListenError, match="no such address"):
        require_place(ApiPlace(address="192.0.2.1:0", **files))


def test_a_wrong_origin_is_told_before_the_place_is_taken() -> None:
    with listen_at("127.0.0.1", 0, backlog=1) as one:
        address = f"127.0.0.1:{one.getsockname()[1]}"
        with pytest.raises(BadAddressError):
            require_place(ApiPlace(address=address, origin="ftp://x"))


def test_settings_say_a_place_and_a_person_another_address(tmp_path: Path) -> None:
    settings = {
        "api_address": "127.0.0.1:8700",
        "api_origin": "https://api.example.org",
        "api_tls_certificate": str(tmp_path / "c.pem"),
        "api_tls_key": str(tmp_path / "k.pem"),
        "api_client_roots": str(tmp_path / "r.pem"),
    }
    lines = [f'{name} = "{text}"\n' for name, text in settings.items()]
    (tmp_path / "taskbound.toml").write_text("".join(lines), encoding="utf-8")
    wanted = ApiPlace(
        address="127.0.0.1:8700",
        origin="https://api.example.org",
        certificate=settings["api_tls_certificate"],
        key=settings["api_tls_key"],
        client_roots=settings["api_client_roots"],
    )
    assert ApiPlace.of(read_settings(tmp_path, {})) == wanted
    assert ApiPlace.of(read_settings(tmp_path, {}), "[::1]:1").address == "[::1]:1"
