from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.core.target.openssh import NO_HELPER
from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask
from tests.peers.hosting import PATIENCE, Host, clients, hosting, name_in
from tests.wiring.broking import Askers, House, declare, declared_host, house, key_of, settle_agent
from tests.wiring.running import client, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as found:
        yield found


@pytest.fixture(scope="module")
def there(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), declared_host(host)) as found:
        yield found


def end(there: House, task: str) -> None:
    with client(there.socket) as one:
        one.ask(EndTask(task=task), Done)


def test_i04_a_task_has_a_certificate_until_it_ends_and_no_session_outlives_it(
    there: House, host: Host
) -> None:
    task = there.start_task()
    credential, minted = there.askers.get().minted()
    holder = host.holder(minted)
    with host.sshd.session(holder) as session:
        assert there.row(credential).state == "active"
        end(there, task)
        there.gone(credential)
        assert session.wait(PATIENCE) != 0
    assert not host.sshd.is_let_in(holder)
    assert host.sshd.records(name_in(minted)) == []


def test_i02_a_broker_that_was_killed_leaves_no_process_and_another_ends_what_it_minted(
    there: House, host: Host
) -> None:
    task = there.start_task()
    credential, minted = there.askers.get().minted()
    before = clients(host.sshd.port)
    assert before
    there.kill_broker()
    until(lambda: not before & clients(host.sshd.port), "no `ssh` of the broker that was killed is left")
    end(there, task)
    there.gone(credential)
    assert not host.sshd.is_let_in(host.holder(minted))


def test_a_host_that_does_not_ask_its_helper_is_never_ready(there: House, host: Host) -> None:
    with host.without("AuthorizedPrincipals"), client(there.socket) as one:
        declare(one, declared_host(host, "open-host"), key_of(there.broker))
        until(lambda: there.target("open-host").state != "untested", "the target was tested")
    found = there.target("open-host")
    assert found.state == "refused"
    assert "never admitted" in found.trouble


def test_i08_where_there_is_no_helper_an_end_says_until_when_it_may_go_on(there: House, host: Host) -> None:
    plain = declared_host(host, "plain-host", NO_HELPER)
    with host.without("AuthorizedPrincipals"):
        with client(there.socket) as one:
            declare(one, plain, key_of(there.broker))
        until(lambda: there.target("plain-host").state != "untested", "the target was tested")
        assert there.target("plain-host").state == "ready", there.target("plain-host").trouble
        settle_agent(there.socket, there.home.with_name("other"), "other", plain.scope)
        other = Askers(there.socket, "other", plain.tool)
        try:
            task = there.start_task("other", plain.scope)
            credential, minted = other.get().minted()
            end(there, task)
            until(lambda: there.row(credential).state != "revoking", f"{credential} is not revoking")
            assert there.row(credential).state == "unsupported"
            assert host.sshd.is_let_in(host.holder(minted))  # as is said: nothing on the host could end it
        finally:
            other.close()
