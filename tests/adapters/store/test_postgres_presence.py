from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.store.postgres import PostgresStore
from taskbound.ports.store import OtherRulesError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.adapters.store.conftest import Two
    from tests.postgres import Server

_CUT = (
    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
    " WHERE application_name = 'taskbound presence' AND datname = current_database()"
)


def until_gone(two: Two, name: str) -> None:
    """The server lets go of a lock a moment after its holder went."""
    for _ in range(10_000):
        if name not in two.second.others([name]):
            return
    pytest.fail(f"`{name}` is still there")


def test_a_process_is_present_under_its_names_until_it_ends(two: Two) -> None:
    two.first.attend("a")
    two.first.attend("b")
    assert two.second.others(["a", "b", "c"]) == {"a", "b"}
    assert two.second.others([]) == frozenset()
    two.first.close()
    until_gone(two, "a")
    until_gone(two, "b")


def test_what_one_is_oneself_is_not_among_the_others(two: Two) -> None:
    two.first.attend("a")
    assert two.first.others(["a"]) == frozenset()
    two.second.attend("a")  # and waits for nobody
    assert two.first.others(["a"]) == two.second.others(["a"]) == {"a"}


def test_a_lost_presence_is_taken_again_under_every_name(two: Two) -> None:
    two.first.attend("a")
    two.first.attend("b")
    with two.server.connect(two.name) as admin:
        assert admin.execute(_CUT).fetchone() == (1,)
    assert two.second.others(["a", "b"]) == frozenset()
    with pytest.raises(StoreUnavailableError):
        two.first.attend("a")
    two.first.attend("a")
    assert two.second.others(["a", "b"]) == {"a", "b"}


def test_presence_in_one_database_is_none_in_another(two: Two, server: Server) -> None:
    two.first.attend("a")
    with server.store() as elsewhere:
        assert elsewhere.others(["a"]) == frozenset()


def test_the_lock_of_order_is_nobodys_presence(two: Two) -> None:
    assert two.first.leads()
    two.second.write(lambda tx: tx.audit.count())
    assert two.second.others(["a", ""]) == frozenset()


def test_who_has_closed_the_store_is_present_nowhere_and_asks_nothing(server: Server) -> None:
    name = server.database()
    store = PostgresStore(server.url(name))
    store.close()
    with pytest.raises(StoreUnavailableError):
        store.attend("a")
    with pytest.raises(StoreUnavailableError):
        store.others(["a"])
    server.drop(name)


def test_two_that_go_by_other_rules_are_not_there_at_once(two: Two) -> None:
    two.first.agree("base of 1.0")
    with pytest.raises(OtherRulesError):
        two.second.agree("base of 1.1")
    two.second.agree("base of 1.0")
    with pytest.raises(OtherRulesError):
        two.first.agree("base of 1.1")


def test_who_ends_leaves_the_rules_to_others(two: Two, server: Server) -> None:
    two.first.agree("base of 1.0")
    with server.store() as elsewhere:
        elsewhere.agree("base of 1.1")  # another database
    two.first.close()
    for _ in range(10_000):  # the server lets go of a lock a moment after its holder went
        try:
            two.second.agree("base of 1.1")
        except OtherRulesError:
            continue
        break
    two.second.agree("base of 1.1")


def test_rules_are_gone_by_again_once_presence_was_lost(two: Two) -> None:
    two.first.agree("base of 1.0")
    with two.server.connect(two.name) as admin:
        assert admin.execute(_CUT).fetchone() == (1,)
    with pytest.raises(StoreUnavailableError):
        two.first.attend("a")
    two.first.attend("a")
    with pytest.raises(OtherRulesError):
        two.second.agree("base of 1.1")
