from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.approval import AnswerKind, parse_statement
from taskbound.core.clock import Instant
from taskbound.core.identity.person_key import PersonKeyKind, PersonKeyState
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire import identity as wire
from taskbound.wire.approval import AnswerApproval, ApprovalSaid, OpenApproval, WithdrawApproval
from taskbound.wire.connection import Done
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.page import parse_part
from tests.peers.passkey import Browser, Passkeys
from tests.sheet_oracle import parse_sheet
from tests.surfaces.api.test_operations import station
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.ports.store import Transaction


from tests.surfaces.api.visitor import Visitor, asked, fingerprint_of, raw, statement_of

DAY = 24 * 3600 * 1_000_000
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
            assert [one["name"] for one in shown["choices"]] == ["confirm"]
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
            visitor = await place.visit(deny=True)
            shown = await visitor.begin()
            assert [one["name"] for one in shown["choices"]] == ["deny"]
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
            assert (status, said["code"]) == (403, "passkey-unreadable")  # what was opened to approve
            denying = await place.visit(deny=True)
            await denying.begin()
            status, said = await denying.sign(place.device, "deny", statement)
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


def test_of_all_who_begin_or_bring_at_the_same_time_one_is_heard(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            first, second = await place.visit(), await place.visit()
            begun = await asyncio.gather(*(first.post("/begin", {"token": first.token}) for _ in range(6)))
            assert sorted(status for status, _ in begun) == [200, *[410] * 5]
            [shown] = [said for status, said in begun if status == 200]
            first.sitting = shown["sitting"]
            shown_too = await second.begin()
            brought = await asyncio.gather(
                *(
                    visitor.sign(place.device, "confirm", statement_of(one, "confirm"))
                    for visitor, one in ((first, shown), (second, shown_too)) * 3
                )
            )
            assert [status for status, _ in brought].count(200) == 1, brought
            (answered,) = place.world.events("approval-answered")
            assert answered["person"] == "ann"
            assert place.state(place.action) == ("held", "approved")

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


def test_a198_a_page_is_opened_for_the_question_that_was_seen(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            ask = OpenApproval(approval=place.action, digest="0" * 64)
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.client.ask(ask, wire.PageOpened)
            assert refused.value.fault.code == "other-question"

    asyncio.run(story())


def test_who_has_stolen_the_address_of_an_enrollment_has_no_key_of_the_persons(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client, thief = await place.client(), Passkeys()
            opened = await client.ask(wire.OpenEnrollment(person="ann"), wire.PageOpened)
            visitor = Visitor(opened.address)
            shown = await visitor.begin()
            _, shown = await visitor.make(thief, parse_part(shown["make"]["challenge"]))
            statement = statement_of(shown, "enroll")
            status, said = await visitor.sign(Passkeys(), "enroll", statement)
            assert (status, said["code"]) == (403, "bad-signature")
            status, said = await visitor.sign(thief, "enroll", statement)
            assert status == 200
            (row,) = (await client.ask(wire.ListPersonKeys(), wire.PersonKeyRows)).rows
            assert (row.state, row.counts) == ("proposed", False)
            seen = fingerprint_of(statement)
            for key, fingerprint in ((row.key, "SHA256:what-ann-saw"), (row.key, ""), ("key_none", seen)):
                ask = wire.ConfirmPersonKey(key=key, fingerprint=fingerprint)
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, wire.PersonKeyDetail)
                assert refused.value.fault.code in {"no-passkey", "unknown-key"}
            ask = wire.ConfirmPersonKey(key=row.key, fingerprint=seen)
            assert (
                await client.ask(ask, wire.PersonKeyDetail)
            ).row.state == "enrolled"  # who says so all the same

    asyncio.run(story())


def test_a_passkey_that_has_not_signed_is_not_confirmed(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            client = await place.client()
            opened = await client.ask(wire.OpenEnrollment(person="ann"), wire.PageOpened)
            visitor = Visitor(opened.address)
            shown = await visitor.begin()
            _, shown = await visitor.make(Passkeys(), parse_part(shown["make"]["challenge"]))
            (row,) = (await client.ask(wire.ListPersonKeys(), wire.PersonKeyRows)).rows
            ask = wire.ConfirmPersonKey(key=row.key, fingerprint=row.fingerprint)
            with pytest.raises(RefusedByDaemonError) as refused:
                await client.ask(ask, wire.PersonKeyDetail)
            assert refused.value.fault.code == "no-passkey"

    asyncio.run(story())


def test_a_question_that_is_over_is_not_shown_and_no_page_is_opened_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            early = await place.visit()
            name = place.approval(place.action).question.id
            await place.client.ask(WithdrawApproval(approval=name), Done)
            status, said = await early.post("/begin", {"token": early.token})
            assert (status, said["code"]) == (403, "approval-over")
            with pytest.raises(RefusedByDaemonError) as refused:
                await place.visit()
            assert refused.value.fault.code == "approval-over"

    asyncio.run(story())


def test_a_question_that_ends_while_it_is_shown_takes_no_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            name = place.approval(place.action).question.id
            await place.client.ask(WithdrawApproval(approval=name), Done)
            status, said = await visitor.sign(place.device, "confirm", statement)
            assert (status, said["code"]) == (403, "approval-over")

    asyncio.run(story())


def test_only_ones_own_passkey_that_counts_now_gets_a_page(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            now = place.world.clock.now()
            fresh = replace(place.key, version=1)
            keys = (
                replace(fresh, id="key_bob", fingerprint="SHA256:b", person="bob"),
                replace(fresh, id="key_new", fingerprint="SHA256:n", usable_from=Instant(now + DAY)),
                replace(fresh, id="key_half", fingerprint="SHA256:h", state=PersonKeyState.PROVEN),
                replace(fresh, id="key_ssh", fingerprint="SHA256:s", kind=PersonKeyKind.OPENSSH),
            )

            def write(tx: Transaction) -> None:
                for one in keys:
                    tx.identities.put_person_key(one, expect=0)

            place.world.store.write(write)
            digest = place.approval(place.action).question.digest

            def ask(key: str) -> OpenApproval:
                return OpenApproval(approval=place.action, digest=digest, key=key)

            codes = {}
            for one in (*keys, replace(place.key, id="key_none")):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await place.client.ask(ask(one.id), wire.PageOpened)
                codes[one.id] = refused.value.fault.code
            assert codes.pop("key_new") == "key-not-standing"
            assert set(codes.values()) == {"no-passkey"}
            await place.client.ask(ask(place.key.id), wire.PageOpened)

    asyncio.run(story())


def test_a_passkey_that_is_withdrawn_while_its_page_is_open_answers_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            await place.client.ask(wire.WithdrawPersonKey(key=place.key.id, reason="lost"), Done)
            status, said = await visitor.sign(place.device, "confirm", statement)
            assert (status, said["code"]) == (403, "key-not-standing")
            assert place.state(place.action) == ("held", "pending")

    asyncio.run(story())


def test_a_page_takes_what_it_asks_for_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with asked(tmp_path) as place:
            visitor = await place.visit()
            statement = statement_of(await visitor.begin(), "confirm")
            for choice in ("approve", "deny", "enroll", ""):
                status, said = await visitor.sign(place.device, choice, statement)
                assert (status, said["code"]) == (403, "passkey-unreadable")
            status, said = await visitor.make(Passkeys(), b"c" * 32)
            assert (status, said["code"]) == (403, "passkey-unreadable")
            ask = wire.OpenEnrollment(person="ann")
            making = Visitor((await place.client.ask(ask, wire.PageOpened)).address)
            shown = await making.begin()
            status, said = await making.sign(place.device, "enroll", statement)
            assert (status, said["code"]) == (403, "passkey-unreadable")
            status, said = await making.make(Passkeys(), b"another challenge" * 2)
            assert (status, said["code"]) == (403, "passkey-challenge")
            status, said = await making.make(place.device, parse_part(shown["make"]["challenge"]))
            assert (status, said["code"]) == (403, "identity-exists")
            assert shown["make"]["without"] == [encode_base64url(place.device.credential)]

    asyncio.run(story())


def test_another_persons_passkey_and_a_page_for_another_person_are_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            client = await place.client()
            for ask, code in (
                (wire.OpenEnrollment(person="bob"), "not-key-holder"),
                (OpenApproval(approval="apr_none", digest=""), "no-passkey"),
                (wire.OpenVouching(key="key_none"), "unknown-key"),
            ):
                with pytest.raises(RefusedByDaemonError) as refused:
                    await client.ask(ask, wire.PageOpened)
                assert refused.value.fault.code == code

    asyncio.run(story())
