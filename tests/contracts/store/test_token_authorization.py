from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token.authorization.asked import ConsentRequest, ConsentState, Signed
from taskbound.core.token.authorization.request import (
    Admission,
    AuthorizationRequest,
    Redirect,
    Refresh,
    registered_client,
)
from taskbound.ports.store import ConflictError
from taskbound.ports.token import RegisteredClient
from tests.contracts.store.rows import NOW, OTHER, SPACE, read

if TYPE_CHECKING:
    from taskbound.ports.store import Store, Transaction


def client(name: str = "desk", *, namespace: str = SPACE, shown: str = "Désk") -> RegisteredClient:
    redirects = ("http://127.0.0.1/callback", "desk.example:/done")
    return RegisteredClient(
        namespace=namespace,
        client=registered_client(name, shown, redirects),
        added=Instant(NOW),
        by="ann",
    )


def put(store: Store, *clients: RegisteredClient) -> None:
    def work(tx: Transaction) -> None:
        for one in clients:
            tx.authorizations.put_client(one)

    store.write(work)


def test_clients_are_read_as_they_were_written_by_name_and_of_one_namespace(store: Store) -> None:
    put(store, client("b"), client("a"), client("c", namespace=OTHER))
    assert read(store, lambda seen: seen.authorizations.clients(SPACE)) == (client("a"), client("b"))
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "b")) == client("b")
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "c")) is None
    assert store.write(lambda tx: tx.authorizations.clients(OTHER)) == (client("c", namespace=OTHER),)


def test_a_name_is_one_clients_in_its_namespace(store: Store) -> None:
    put(store, client(), client(namespace=OTHER))
    with pytest.raises(ConflictError):
        put(store, client(shown="Another"))
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "desk")) == client()


def test_a_client_that_is_dropped_is_gone_and_its_name_is_free(store: Store) -> None:
    put(store, client(), client(namespace=OTHER))
    for _ in range(2):
        store.write(lambda tx: tx.authorizations.drop_client(SPACE, "desk"))
    assert read(store, lambda seen: seen.authorizations.clients(SPACE)) == ()
    assert read(store, lambda seen: seen.authorizations.client(OTHER, "desk")) is not None
    put(store, client(shown="Another"))
    assert read(store, lambda seen: seen.authorizations.client(SPACE, "desk")) == client(shown="Another")


def asked(name: str = "ask_1", **changes: Any) -> ConsentRequest:
    request = AuthorizationRequest(
        client="desk",
        redirect=Redirect(text="https://desk.example/done?é=1", host="desk.example"),
        challenge="c" * 43,
        resource="https://gate.example/mcp/coder",
        scope=("task",),
        state='"s"',
        jkt="j" * 43,
        acr=("urn:x",),
        max_age=0,
    )
    plain: dict[str, Any] = {
        "namespace": SPACE,
        "id": name,
        "request": request,
        "shown": "Désk",
        "host": "",
        "agent": "coder",
        "browser": f"browser of {name}",
        "typed": f"typed of {name}",
        "asked": Instant(NOW),
    }
    return ConsentRequest(**plain | changes)


def admission(name: str = "adm_1", **changes: Any) -> Admission:
    plain: dict[str, Any] = {
        "namespace": SPACE,
        "id": name,
        "client": "desk",
        "agent": "coder",
        "task": "tsk_1",
        "person": "ann",
        "resource": "https://gate.example/mcp/coder",
        "scope": ("task",),
        "jkt": "",
        "begun": Instant(NOW),
        "until": Instant(NOW + 100),
    }
    return Admission(**plain | changes)


def admit(store: Store, *admissions: Admission) -> None:
    def work(tx: Transaction) -> None:
        for one in admissions:
            tx.authorizations.put_admission(one, expect=0)

    store.write(work)


def test_a_request_is_read_as_it_was_written_by_its_id_and_by_what_finds_it(store: Store) -> None:
    one = asked()
    coded = replace(
        one,
        state=ConsentState.CODED,
        person="ann",
        task="tsk_1",
        code="digest",
        coded=Instant(NOW + 1),
        admission="adm_1",
        version=2,
        signed=Signed(acr="urn:é", authenticated=Instant(NOW - 5), session="ses_1"),
    )
    other = asked(namespace=OTHER)
    store.write(lambda tx: tx.authorizations.put_asked(one, expect=0))
    store.write(lambda tx: tx.authorizations.put_asked(other, expect=0))
    assert read(store, lambda seen: seen.authorizations.asked_by(SPACE, code="")) is None
    store.write(lambda tx: tx.authorizations.put_asked(coded, expect=1))
    assert read(store, lambda seen: seen.authorizations.asked(SPACE, "ask_1")) == coded
    assert read(store, lambda seen: seen.authorizations.asked_by(SPACE, typed=one.typed)) == coded
    assert read(store, lambda seen: seen.authorizations.asked_by(SPACE, code="digest")) == coded
    assert read(store, lambda seen: seen.authorizations.asked_by(OTHER, code="digest")) is None
    assert read(store, lambda seen: seen.authorizations.asked(OTHER, "ask_1")) == other
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.authorizations.put_asked(coded, expect=0))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.authorizations.put_asked(coded, expect=1))


def test_requests_that_wait_are_counted_and_what_is_old_is_forgotten(store: Store) -> None:
    rows = (
        asked("a"),
        asked("b", asked=Instant(NOW + 1)),
        asked("c", asked=Instant(NOW + 2), state=ConsentState.DENIED),
        asked("d", asked=Instant(NOW + 2), namespace=OTHER),
    )

    def put_all(tx: Transaction) -> None:
        for one in rows:
            tx.authorizations.put_asked(one, expect=0)

    store.write(put_all)
    with store.read() as seen:
        counted = [seen.authorizations.count_asked(SPACE, Instant(NOW + at)) for at in (-1, 0, 1)]
    assert counted == [2, 1, 0]
    assert store.write(lambda tx: tx.authorizations.sweep_asked(Instant(NOW + 2), limit=1)) == 1
    assert read(store, lambda seen: seen.authorizations.asked(SPACE, "a")) is None
    assert store.write(lambda tx: tx.authorizations.sweep_asked(Instant(NOW + 2), limit=9)) == 1
    store.write(lambda tx: tx.authorizations.drop_asked_of(SPACE, "desk"))
    assert read(store, lambda seen: seen.authorizations.asked(SPACE, "c")) is None
    assert read(store, lambda seen: seen.authorizations.asked(OTHER, "d")) == rows[3]


def test_admissions_are_read_as_they_were_written_and_those_of_a_client_that_stand(store: Store) -> None:
    one = admission()
    two = admission("adm_2", jkt="j" * 43, scope=(), agent="", task="", session="ses_1")
    others = (admission("adm_3", client="other"), admission("adm_4", namespace=OTHER))
    admit(store, two, one, *others)
    assert read(store, lambda seen: seen.authorizations.admissions_of(SPACE, "desk")) == (one, two)
    names = ("adm_1", "adm_2", "adm_4", "adm_none")
    locked = store.write(lambda tx: tx.authorizations.lock_admissions(SPACE, names))
    assert locked == {"adm_1": one, "adm_2": two}
    ended = replace(one, turn=2, ended=Instant(NOW + 5), why="é", version=2)
    store.write(lambda tx: tx.authorizations.put_admission(ended, expect=1))
    assert read(store, lambda seen: seen.authorizations.admission(SPACE, "adm_1")) == ended
    assert read(store, lambda seen: seen.authorizations.admissions_of(SPACE, "desk")) == (two,)
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.authorizations.put_admission(ended, expect=1))


def test_admissions_are_listed_newest_first_by_client_and_task_and_page_by_page(store: Store) -> None:
    one, two, three = admission(), admission("adm_2", task="tsk_2"), admission("adm_3", client="other")
    ended = replace(two, ended=Instant(NOW), why="x")
    admit(store, three, one, ended, admission("adm_9", namespace=OTHER))

    def listed(**of: Any) -> tuple[str, ...]:
        found = read(store, lambda seen: seen.authorizations.admissions(SPACE, **of))
        return tuple(each.id for each in found)

    assert read(store, lambda seen: seen.authorizations.admissions(SPACE)) == (three, ended, one)
    assert listed(client="desk") == ("adm_2", "adm_1")
    assert listed(task="tsk_2") == ("adm_2",)
    assert listed(limit=2) == ("adm_3", "adm_2")
    assert listed(limit=2, before="adm_2") == ("adm_1",)
    assert listed(client="desk", task="tsk_3") == ()


def test_refresh_tokens_are_kept_until_what_they_are_of_is_over(store: Store) -> None:
    kept = Refresh(namespace=SPACE, digest="d1", admission="adm_1", turn=3)
    later = Refresh(namespace=OTHER, digest="d1", admission="adm_2", turn=1)
    admit(store, admission(), admission("adm_2", namespace=OTHER, until=Instant(NOW + 200)))
    store.write(lambda tx: tx.authorizations.put_refresh(kept))
    store.write(lambda tx: tx.authorizations.put_refresh(later))
    with pytest.raises(ConflictError):
        store.write(lambda tx: tx.authorizations.put_refresh(replace(kept, turn=4)))
    assert store.write(lambda tx: tx.authorizations.sweep_refreshes(Instant(NOW + 100), limit=9)) == 0
    assert read(store, lambda seen: seen.authorizations.refresh(SPACE, "d1")) == kept
    assert store.write(lambda tx: tx.authorizations.sweep_refreshes(Instant(NOW + 101), limit=9)) == 1
    assert read(store, lambda seen: seen.authorizations.refresh(SPACE, "d1")) is None
    assert read(store, lambda seen: seen.authorizations.refresh(OTHER, "d1")) == later
