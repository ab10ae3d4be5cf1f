"""The helper on an OpenSSH host, against a real sshd and the real client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.peers.sshd import Sshd, fresh_name, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as one:
        yield one


def test_who_is_admitted_gets_in_and_who_is_not_stays_out(sshd: Sshd) -> None:
    name = fresh_name()
    holder = sshd.sign(name)
    assert not sshd.is_let_in(holder)
    sshd.admit(name)
    assert sshd.is_let_in(holder)


def test_what_is_revoked_lets_nobody_in_any_more(sshd: Sshd) -> None:
    holder = sshd.holder()
    assert sshd.is_let_in(holder)
    assert "ok" in sshd.revoke(holder.name)
    assert not sshd.is_let_in(holder)


def test_a_session_that_is_open_is_cut_when_its_name_is_revoked_i_04(sshd: Sshd) -> None:
    holder = sshd.holder()
    with sshd.session(holder) as session:
        assert sshd.ask("look", name=holder.name) == {"ok": {"exists": True, "open": 1}}
        assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
        assert session.wait(10) == 255
    assert sshd.ask("look", name=holder.name) == {"ok": {"exists": False, "open": 0}}
