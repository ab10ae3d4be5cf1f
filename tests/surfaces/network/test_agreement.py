from __future__ import annotations

from pathlib import Path

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.connection import Done
from taskbound.wire.network import Agree, ShowClientAuthorities
from taskbound.wiring.home import find_socket, make_home
from tests.surfaces.network.serving import api
from tests.wiring.running import Running, client, daemon, until

NAMED = "https://api.example"


def test_an_api_whose_daemon_has_another_name_for_it_does_not_serve_and_both_say_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    with daemon(home, "--issuer", NAMED) as process:
        for origin in ("https://other.example", "https://api.example:8700", "http://api.example"):
            flags = ("--daemon", str(find_socket(home)), "--address", "127.0.0.1:0", "--origin", origin)
            there = Running("api", *flags)
            assert there.wait() == 4
            assert there.said != "ready"
            assert "[other-origin]" in there.words
            assert f"`{origin}`" in there.words
            assert f"`{NAMED}`" in there.words
            assert "--issuer" in there.words
            assert origin in process.words
        with api(find_socket(home), "--origin", f"{NAMED}:443/") as one:  # one name, written otherwise
            assert one.ask("GET", "/readyz", Host="api.example").status == 200


def test_a_daemon_that_comes_with_another_name_ends_the_api_and_one_with_the_same_is_served_again(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    make_home(home)
    with api(find_socket(home), "--origin", NAMED) as one:
        assert one.ask("GET", "/readyz", Host="api.example").status == 503
        with daemon(home, "--issuer", NAMED):
            until(lambda: one.ask("GET", "/readyz", Host="api.example").status == 200, "it is served")
        with daemon(home, "--issuer", "https://other.example"):
            assert one.process.wait() == 4
            assert "its daemon says `https://other.example`" in one.process.words


def test_nobody_but_the_process_that_listens_is_told_or_heard(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    with daemon(home, "--issuer", NAMED) as process:
        for role in ("cli", "gateway"):
            with client(find_socket(home), role, "helper" if role == "gateway" else "") as one:
                for ask in (Agree(origin="https://evil.example"), ShowClientAuthorities()):
                    with pytest.raises(RefusedByDaemonError) as caught:
                        one.ask(ask, Done)
                    assert caught.value.fault.code == "unproven"
        assert "evil.example" not in process.words


def test_a_daemon_whose_name_is_no_origin_does_not_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    there = daemon(home, "--issuer", "https://api.example/path")
    assert there.wait() == 2
    assert "[bad-address]" in there.words
