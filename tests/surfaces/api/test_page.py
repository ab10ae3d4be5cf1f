from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import AnswerKind, parse_statement
from taskbound.core.approval.sheet import parse_sheet
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import people as wire
from taskbound.wire.approval import AnswerApproval, ApprovalSaid, OpenApproval
from taskbound.wire.jose.compact import encode_base64url
from tests.peers.passkey import Browser, Passkeys
from tests.surfaces.api.test_operations import station
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path


from tests.surfaces.api.visitor import Visitor, asked, raw, statement_of

SIGNATURE = {
    "sitting": "",
    "choice": "confirm",
    "client": "AA",
    "credential": "AA",
    "device": "AA",
    "signature": "AA",
}


def test_a_passkey_is_enrolled_signs_an_answer_and_lifts_its_action(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            assert (place.key.state.value, place.key.label, place.key.counter) == ("enrolled", "phone", 1)
            visitor = await place.visit()
            shown = await visitor.begin()
            assert [one["name"] for one in shown["choices"]] == ["confirm", "deny"]
            status, said = await visitor.sign(place.device, "confirm", statement_of(shown, "confirm"))
            assert (status, said["words"].endswith("is approved")) == (200, True)
            (answered,) = place.world.events("approval-answered")
            assert answered["proof"] == f"passkey {place.key.fingerprint}"
            assert code_of(place.world.ask(place.task)) == "permit"
            with pytest.raises(OSError, match=r".*"):
                await raw(visitor.port, b"")  # it is over

    asyncio.run(story())


def test_a_denial_on_the_page_is_final(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            shown = await visitor.begin()
            status, _ = await visitor.sign(place.device, "deny", statement_of(shown, "deny"))
            assert (status, place.state(place.action)) == (200, ("refused", "denied"))

    asyncio.run(story())


def test_the_page_shows_the_sheet_and_the_statement_of_the_command_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            shown = await (await place.visit()).begin()
            question = place.approval(place.action).question
            sheet = parse_sheet(shown["text"])
            assert (sheet.digest, sheet.action_digest) == (question.digest, question.act)
            said = parse_statement(statement_of(shown, "confirm").encode())
            named = (said.kind, said.question, said.digest, said.person, said.key)
            assert named == (AnswerKind.CONFIRM, question.id, question.digest, "ann", place.key.id)

    asyncio.run(story())


SIGNED: dict[str, tuple[str, dict[str, Any]]] = {
    "another port": ("passkey-origin", {"origin": "http://localhost:1"}),
    "the address": ("passkey-origin", {"origin": "http://127.0.0.1:PORT"}),
    "made instead of used": ("passkey-type", {"kind": "webauthn.create"}),
    "another statement": ("passkey-challenge", {"challenge": b"c" * 32}),
    "a frame": ("passkey-framed", {"crossed": True}),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_that_another_page_asked_for_is_refused_by_its_own_name(
    name: str, tmp_path: Path
) -> None:
    code, wrong = SIGNED[name]

    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            origin = str(wrong.get("origin", visitor.origin)).replace("PORT", str(visitor.port))
            browser = Browser(**(wrong | {"origin": origin}))
            status, said = await visitor.sign(place.device, "confirm", statement, browser)
            assert (status, said["code"]) == (403, code)
            assert place.state(place.action) == ("held", "pending")
            status, _ = await visitor.sign(place.device, "confirm", statement)
            assert status == 200

    asyncio.run(story())


def test_a_signature_answers_one_question_once_and_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            other = id_of(place.world.ask(place.task, arguments={"to": "eve", "amount": 10}))
            first, second = await place.visit(), await place.visit(other)
            shown, shown_too = await first.begin(), await second.begin()
            statement = statement_of(shown, "confirm")
            status, said = await second.sign(
                place.device, "confirm", statement, Browser(origin=second.origin)
            )
            assert (status, said["code"]) == (403, "passkey-challenge")  # another question's statement
            status, said = await first.sign(place.device, "deny", statement)
            assert (status, said["code"]) == (403, "passkey-challenge")  # an approval is no denial
            signed = place.device.assertion(statement.encode(), Browser(origin=first.origin))
            names = {"client": signed.client_data, "credential": signed.credential}
            names |= {"device": signed.device_data, "signature": signed.signature}
            what = {name: encode_base64url(one) for name, one in names.items()} | {"choice": "confirm"}
            status, _ = await first.post("/sign", what | {"sitting": first.sitting})
            assert status == 200
            again = await place.visit(other)
            await again.begin()
            for visitor in (second, again):
                status, said = await visitor.post("/sign", what | {"sitting": visitor.sitting})
                assert (status, said["code"]) == (403, "passkey-challenge")
            assert place.state(other) == ("held", "pending")
            status, _ = await second.sign(place.device, "confirm", statement_of(shown_too, "confirm"))
            assert status == 200

    asyncio.run(story())


def test_a_device_that_counts_back_answers_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            copy = place.device.changed(counter=0)
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            status, said = await visitor.sign(copy, "confirm", statement)
            assert (status, said["code"]) == (403, "counts-back")
            assert place.state(place.action) == ("held", "pending")

    asyncio.run(story())


def test_a_passkey_answers_on_its_page_and_is_taken_from_nowhere_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            signature = place.device.sign(
                statement.encode(), Browser(origin=visitor.origin), origin=visitor.origin
            ).decode()
            for ask in (
                AnswerApproval(statement=statement, signature=signature),
                wire.ProvePersonKey(key=place.key.id, signature=signature),
                wire.VouchPersonKey(key=place.key.id, voucher=place.key.id, signature=f" {signature}"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await place.client.ask(ask, ApprovalSaid)
                assert refused.value.fault.code == "passkey-elsewhere"
            assert place.state(place.action) == ("held", "pending")

    asyncio.run(story())


def test_a_page_is_opened_once_and_who_comes_second_sees_nothing_and_says_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            status, said = await visitor.post("/begin", {"token": "x" * 43})
            assert (status, said["code"]) == (410, "page-over")
            statement = statement_of(await visitor.begin(), "confirm")
            second = Visitor(f"{visitor.origin}/#{visitor.token}")
            status, said = await second.post("/begin", {"token": second.token})
            assert (status, said["code"]) == (410, "page-over")
            for secret in ("", visitor.token, visitor.sitting[:-1]):
                second.sitting = secret
                status, said = await second.sign(place.device, "confirm", statement)
                assert (status, said["code"]) == (410, "page-over")
            assert place.state(place.action) == ("held", "pending")

    asyncio.run(story())


def test_nothing_is_brought_before_the_page_has_begun(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            status, said = await visitor.post("/sign", SIGNATURE)
            assert (status, said["code"]) == (410, "page-over")

    asyncio.run(story())


def test_a_page_has_so_many_tries(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            codes = [(await visitor.sign(Passkeys(), "confirm", statement))[1]["code"] for _ in range(9)]
            assert codes == ["bad-signature"] * 8 + ["page-over"]

    asyncio.run(story())


def test_another_persons_passkey_and_a_page_for_another_person_are_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            client = await place.client()
            for ask, code in (
                (wire.OpenEnrollment(person="bob"), "not-key-holder"),
                (OpenApproval(approval="apr_none"), "no-passkey"),
                (wire.OpenVouching(key="key_none"), "unknown-key"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, wire.PageOpened)
                assert refused.value.fault.code == code

    asyncio.run(story())
