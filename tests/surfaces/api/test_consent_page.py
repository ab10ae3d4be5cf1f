"""Answers on the page of consent, and what happens to whoever gives them meanwhile (G8: A148, A155)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant, hours
from taskbound.core.identity.issuer import Account, IdentityIssuer, IssuerUse
from taskbound.core.identity.sign_in import Session, secret_digest
from taskbound.flows.identity import register_person
from taskbound.surfaces.api.server.place import DEFAULT_ISSUER
from taskbound.wire.authorization import AnswerInPage, Asking, Choosing, LookInPage
from taskbound.wire.connection import Done, Fault
from taskbound.wire.network import Shown
from tests.surfaces.api.test_consent import begin, running, save_template
from tests.surfaces.api.test_operations import Station, station
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.wire.envelope import Answer

SECRET = "s" * 43
SHOWN = Shown(method="POST", uri="http://127.0.0.1:8700/oauth/authorize/ask_1", browser=f"default.{SECRET}")


def sign_in(place: Station, person: str = "ann", session: str = "ses_1", *, space: str = "default") -> None:
    """Sign a person in with the browser, by an issuer that is believed."""
    now = place.world.clock.now()
    issuer = IdentityIssuer(
        namespace=space,
        name="corp",
        issuer="https://idp.example",
        audience="us",
        use=IssuerUse.PEOPLE,
    )
    account = Account(
        namespace=space, issuer="corp", subject=f"s-{person}", person=person, linked=now, by="ann"
    )
    found = Session(
        namespace=space,
        id=session,
        secret=secret_digest(SECRET),
        person=person,
        issuer="corp",
        subject=f"s-{person}",
        authenticated=now,
        acr="",
        began=now,
        until=Instant(now + hours(8)),
    )

    def work(tx: Any) -> None:
        if not tx.workloads.identity_issuers(space):
            tx.workloads.put_identity_issuer(issuer)
        if tx.accounts.account(space, "corp", account.subject) is None:
            tx.accounts.put_account(account)
        tx.accounts.put_session(found)

    place.world.store.write(work)


def sign_out(place: Station, session: str = "ses_1") -> None:
    place.world.store.write(lambda tx: tx.accounts.drop_session("default", session))


class Sitting:
    """A browser at the page of a request."""

    def __init__(self, place: Station, asking: Asking) -> None:
        self.place, self.asking = place, asking
        self.secret = asking.browser.partition(".")[0]
        self.form = ""

    async def look(self, shown: Shown = SHOWN) -> Choosing:
        api = await self.place.client("api")
        ask = LookInPage(asked=self.asking.asked, browser=self.secret)
        found = await api.ask_any(ask, shown=shown)
        assert isinstance(found, Choosing)
        self.form = found.form
        return found

    async def answer(self, shown: Shown | None = SHOWN, /, **changes: Any) -> Answer:
        api = await self.place.client("api")
        plain: dict[str, Any] = {
            "asked": self.asking.asked,
            "browser": self.secret,
            "form": self.form,
            "answer": "consent",
        }
        return await api.ask_any(AnswerInPage(**plain | changes), shown=shown)


def code(found: Answer) -> str:
    assert isinstance(found, Fault)
    return found.code


@pytest.mark.parametrize("told", [{"answer": "consent", "template": "daily"}, {"answer": "deny"}])
@pytest.mark.parametrize("how", ["ended", "another"])
def test_a155_whoever_is_signed_in_no_more_when_it_takes_effect_answers_nothing(
    tmp_path: Path, how: str, told: dict[str, Any]
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            save_template(place)
            sign_in(place)
            sitting = Sitting(place, await begin(place))
            await sitting.look()
            before, first = running(place), place.daemon.first

            async def late(work: Callable[[], Any]) -> Any:
                place.daemon.first = first  # type: ignore[method-assign]  # as it was
                sign_out(place)
                if how == "another":
                    sign_in(place, session="ses_2")
                return await first(work)

            place.daemon.first = late  # type: ignore[method-assign]  # in between
            assert code(await sitting.answer(**told)) == "not-signed-in"
            assert running(place) == before
            assert place.world.events("client-consented") + place.world.events("client-denied") == []

    asyncio.run(story())


def test_nobody_consents_on_the_page_without_being_signed_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            save_template(place)
            sitting = Sitting(place, await begin(place))
            assert (await sitting.look()).person == ""
            assert code(await sitting.answer(template="daily")) == "not-signed-in"
            assert code(await sitting.answer(answer="deny")) == "not-signed-in"
            assert code(await sitting.answer(None, answer="deny")) == "unproven"
            shown = Shown(method="POST", uri=SHOWN.uri, authorization="Bearer x")
            assert code(await sitting.answer(shown, answer="deny")) == "unproven"

    asyncio.run(story())


def test_who_is_signed_in_in_another_namespace_is_nobody_here(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            sign_in(place)
            register_person(place.world.adapters, "acme", "eve", uid=os.geteuid() + 1001, actor=ANN)
            sign_in(place, "eve", space="acme")
            sitting = Sitting(place, await begin(place))
            elsewhere = Shown(method="POST", uri=SHOWN.uri, browser=f"acme.{SECRET}")
            assert (await sitting.look(elsewhere)).person == ""
            assert (await sitting.look()).person == "ann"

    asyncio.run(story())


def test_a_person_in_charge_of_no_task_is_offered_none_and_chooses_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            register_person(place.world.adapters, "default", "eve", uid=os.geteuid() + 1001, actor=ANN)
            sign_in(place, "eve")
            (task,) = running(place)
            sitting = Sitting(place, await begin(place))
            seen = await sitting.look()
            assert (seen.person, seen.tasks) == ("eve", ())
            assert code(await sitting.answer(task=task)) == "not-in-charge"
            assert place.world.events("client-consented") == []

    asyncio.run(story())


def test_a_form_about_a_person_is_no_answer_about_a_task_nor_the_other_way_round(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            sign_in(place)
            (task,) = running(place)
            sitting = Sitting(place, await begin(place, resource=DEFAULT_ISSUER, scope="operations"))
            assert (await sitting.look()).tasks == ()
            for wrong in (
                {},
                {"task": task},
                {"task": task, "person": True},
                {"template": "x", "person": True},
            ):
                assert code(await sitting.answer(**wrong)) == "not-asked"
            assert isinstance(await sitting.answer(person=True), Done)
            assert place.world.events("client-consented")[0]["task"] == ""
            other = Sitting(place, await begin(place))
            await other.look()
            assert code(await other.answer(person=True, task=task)) == "not-asked"
            assert code(await other.answer(person=True)) == "not-asked"

    asyncio.run(story())
