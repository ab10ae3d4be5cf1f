from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from taskbound.core.target import PostgresPlace, RedisPlace
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.target.command import require_somewhere


def place(host: str) -> PostgresPlace:
    return PostgresPlace(host=host, database="orders", roots="/roots.pem")


def test_a_folder_that_is_not_there_is_refused_before_anything_is_declared(tmp_path: Path) -> None:
    require_somewhere(place(str(tmp_path)))
    with pytest.raises(BadInputError, match=r"nowhere: there is no such folder; nothing was declared"):
        require_somewhere(place(str(tmp_path / "postgersql")))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_this_account_may_not_see_is_left_to_the_broker(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    require_somewhere(place(str(tmp_path / "closed" / "postgresql")))


def test_a_name_without_an_address_is_refused_and_one_that_nobody_knows_of_now_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_somewhere(place("127.0.0.1"))
    require_somewhere(place("localhost"))
    for number, refused in (
        (socket.EAI_NONAME, True),
        (socket.EAI_NODATA, True),
        (socket.EAI_AGAIN, False),
        (socket.EAI_FAIL, False),
    ):

        def answer(*_: object, number: int = number, **__: object) -> None:
            raise socket.gaierror(number, "as the resolver says")

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        if not refused:
            require_somewhere(place("db.example"))
            continue
        with pytest.raises(BadInputError, match=r"`db\.example` is nowhere: no address is known of it"):
            require_somewhere(place("db.example"))


def test_each_node_of_a_redis_has_to_be_somewhere(tmp_path: Path) -> None:
    there = tmp_path / "redis.sock"
    there.touch()
    require_somewhere(RedisPlace(nodes=(str(there), "127.0.0.1"), tls=False))
    with pytest.raises(BadInputError, match="there is no such socket"):
        require_somewhere(RedisPlace(nodes=(str(there), str(tmp_path / "other.sock")), tls=False))
