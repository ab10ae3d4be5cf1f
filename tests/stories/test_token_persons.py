"""Clients that people let act as themselves: by a code, for one token, with a key (G8: A146, A148, A155)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import Binding, BindingKind, Principal, PrincipalKind, TokenProof
from taskbound.core.identity.sign_in import Session
from taskbound.core.token import (
    ForeignTokenError,
    TokenForm,
    UnboundTokenError,
)
from taskbound.core.token.authorization.asked import UNSIGNED, Exchange, Signed
from taskbound.core.token.authorization.errors import (
    AdmissionEndedError,
    AnsweredError,
    BadClientRequestError,
    NotAskedError,
    RedirectedError,
    ReusedCodeError,
    SignInDemandedError,
)
from taskbound.core.token.authorization.request import ClientId, parse_client_document
from taskbound.flows.approval.proof.kept import lasts, signed_in_by
from taskbound.flows.identity import register_person
from taskbound.flows.identity.leaving import People
from taskbound.flows.token import (
    ClientTokens,
    PersonTokenOrder,
    add_client,
    drop_client,
    end_admission,
)
from taskbound.wire.jose.errors import TokenExpiredError
from tests.client_world import CALLBACK, EVE, RESOURCE, SPACE, VERIFIER, Desk, refused
from tests.token_world import ISSUER, KEY, OTHER_KEY, TokenWorld, claims_in
from tests.world import ANN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from taskbound.flows.token import ClientToken, StartedRequest
    from taskbound.ports.store import Store


class Office:
    """A client that asks to act as Ann, whoever issues tokens, and Eve."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.tokens = TokenWorld(store, folder)
        self.adapters = self.tokens.adapters
        task = self.tokens.settle_in()
        register_person(self.adapters, SPACE, "eve", uid=1001, actor=ANN)
        add_client(self.adapters, SPACE, "desk", shown="Desk", redirects=(CALLBACK,), actor=ANN, owns=True)
        self.desk = Desk(self.tokens.world, task, issuer=ISSUER, signs_in=True)
        self.clients = ClientTokens(self.adapters, self.tokens.tokens)

    @property
    def now(self) -> Instant:
        return self.adapters.clock.now()

    def begin(self, **changes: str) -> StartedRequest:
        return self.desk.begin(**{"resource": ISSUER, "scope": "operations", **changes})

    def sign_in(self, *, lasts: int = 3600, ago: int = 5) -> Signed:
        session = Session(
            namespace=SPACE,
            id="ses_1",
            secret="digest",
            person="ann",
            issuer="corp",
            subject="s-ann",
            authenticated=Instant(self.now - seconds(ago)),
            acr="mfa",
            began=self.now,
            until=Instant(self.now + seconds(lasts)),
        )
        self.adapters.store.write(lambda tx: tx.accounts.put_session(session))
        return Signed(acr="mfa", authenticated=session.authenticated, session="ses_1")

    def code(self, signed: Signed = UNSIGNED, **changes: str) -> str:
        begun = self.begin(**changes)
        self.desk.askings.let_act_here(begun.asked, ANN, signed)
        return self.desk.collect(begun)["code"]

    def bring(self, code: str, jkt: str = KEY.thumbprint) -> ClientToken:
        brought = Exchange(client="desk", redirect=CALLBACK, verifier=VERIFIER, resource=ISSUER, jkt=jkt)
        return self.clients.by_code(SPACE, code, brought)

    def verify(self, given: ClientToken) -> None:
        self.tokens.verify(given.issued.text, audience=ISSUER)


@pytest.fixture
def office(store: Store, tmp_path: Path) -> Iterator[Office]:
    one = Office(store, tmp_path)
    yield one
    one.tokens.close()


def test_a_client_that_acts_as_a_person_gets_one_token_that_says_how_they_signed_in(office: Office) -> None:
    signed = office.sign_in()
    given = office.bring(office.code(signed))
    office.verify(given)
    row, admission = given.issued.token, given.admission
    assert (row.form, row.subject, row.binding, row.parent) == (
        TokenForm.PERSON,
        "person:ann",
        KEY,
        admission.id,
    )
    assert (admission.agent, admission.task, admission.person) == ("", "", "ann")
    assert (admission.session, admission.until - admission.begun) == ("ses_1", seconds(300))
    assert row.expires <= admission.until
    claims = claims_in(given.issued.text)
    assert (claims["scope"], claims["aud"], claims["acr"]) == ("operations", ISSUER, "mfa")
    assert claims["auth_time"] == signed.authenticated // seconds(1)
    assert given.refresh == ""
    (consented,) = office.desk.told("client-consented")
    assert (consented.agent, consented.task, consented.resource, consented.by) == ("", "", ISSUER, "ann")


def test_who_typed_a_code_in_a_terminal_signed_in_in_no_way_that_is_known(office: Office) -> None:
    begun = office.begin()
    office.desk.askings.let_act(SPACE, begun.typed, ANN)
    given = office.bring(office.desk.collect(begun)["code"])
    office.verify(given)
    assert {"acr", "auth_time"} & claims_in(given.issued.text).keys() == set()
    refused(SignInDemandedError, lambda: office.code(max_age="300"))


def test_a_client_without_a_key_acts_as_nobody(office: Office) -> None:
    code = office.code()
    refused(UnboundTokenError, lambda: office.bring(code, jkt=""))
    refused(ReusedCodeError, lambda: office.bring(code))
    named = office.code(dpop_jkt=OTHER_KEY.thumbprint)
    refused(TaskboundError, lambda: office.bring(named))
    assert office.desk.told("client-admitted") == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "task"}, "invalid_scope"),
        ({"scope": "operations task"}, "invalid_scope"),
        ({"resource": RESOURCE}, "invalid_scope"),
        ({"resource": f"{ISSUER}/"}, "invalid_target"),
        ({"resource": ""}, "invalid_target"),
    ],
)
def test_to_act_as_a_person_is_asked_for_at_our_issuer_by_its_own_scope_and_nothing_else(
    office: Office, changes: dict[str, str], error: str
) -> None:
    with pytest.raises(RedirectedError) as caught:
        office.begin(**changes)
    assert caught.value.error == error


def test_a_client_that_a_document_describes_acts_as_nobody_and_its_document_is_not_fetched(
    office: Office,
) -> None:
    said = ClientId(text="https://app.example/client", host="app.example")
    document = b'{"client_id":"https://app.example/client","redirect_uris":["http://127.0.0.1/callback"]}'
    told = {
        "response_type": "code",
        "client_id": said.text,
        "redirect_uri": CALLBACK,
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
        "resource": ISSUER,
        "scope": "operations",
    }
    with pytest.raises(RedirectedError) as caught:
        office.desk.askings.begin(
            SPACE,
            list(told.items()),
            client=parse_client_document(document, said),
            base=office.desk.base,
            issuer=ISSUER,
        )
    assert caught.value.error == "unauthorized_client"
    worth = office.desk.askings.require_worth_describing
    refused(BadClientRequestError, lambda: worth(SPACE, told, said, base=office.desk.base))


def test_a148_to_act_as_a_person_and_in_a_task_are_answers_that_never_stand_for_each_other(
    office: Office,
) -> None:
    mine, agents = office.begin(), office.desk.begin()
    askings, task = office.desk.askings, office.desk.task.id
    refused(NotAskedError, lambda: askings.consent(SPACE, mine.typed, ANN, task=task))
    refused(NotAskedError, lambda: askings.let_act(SPACE, agents.typed, ANN))
    askings.let_act(SPACE, mine.typed, ANN)
    refused(AnsweredError, lambda: askings.let_act(SPACE, mine.typed, EVE))
    refused(NotAskedError, lambda: askings.let_act("acme", agents.typed, ANN))
    assert office.desk.collect(agents) == {}


def _left(office: Office, _given: ClientToken, _code: str) -> None:
    world = office.tokens.world
    People(world.adapters, world.views).leave(SPACE, "ann", ANN, owns=True, reason="")


def _signed_out(office: Office, _given: ClientToken, _code: str) -> None:
    office.adapters.store.write(lambda tx: tx.accounts.drop_session(SPACE, "ses_1"))


def _removed(office: Office, _given: ClientToken, _code: str) -> None:
    drop_client(office.adapters, SPACE, "desk", actor=ANN, owns=True)


def _ended(office: Office, given: ClientToken, _code: str) -> None:
    end_admission(office.adapters, SPACE, given.admission.id, ANN, owns=False, why="enough")


def _again(office: Office, _given: ClientToken, code: str) -> None:
    refused(ReusedCodeError, lambda: office.bring(code))


@pytest.mark.parametrize("how", [_left, _signed_out, _removed, _ended, _again])
def test_a149_what_a_client_gets_as_a_person_ends_with_all_that_it_rests_on_and_the_signer_sees_it(
    office: Office, how: Callable[[Office, ClientToken, str], Any]
) -> None:
    code = office.code(office.sign_in())
    given = office.bring(code)
    office.verify(given)
    how(office, given, code)
    refused(TaskboundError, lambda: office.verify(given))
    refused(TaskboundError, lambda: office.tokens.signer.sign_token(SPACE, given.issued.token.id))
    assert len(office.desk.told("token-issued")) == 1


def test_a_token_ends_with_the_time_of_the_sign_in_and_no_later_than_its_own(office: Office) -> None:
    given = office.bring(office.code(office.sign_in(lasts=60)))
    office.tokens.world.clock.advance(55)
    office.verify(given)
    office.tokens.world.clock.advance(5)
    refused(AdmissionEndedError, lambda: office.verify(given))
    other = office.bring(office.code())
    office.tokens.world.clock.advance(300)
    refused(TokenExpiredError, lambda: office.verify(other))


@pytest.mark.parametrize("how", [_left, _signed_out])
def test_a_code_whose_person_or_sign_in_is_gone_brings_nothing(
    office: Office, how: Callable[[Office, Any, str], Any]
) -> None:
    code = office.code(office.sign_in())
    how(office, None, code)
    refused(TaskboundError, lambda: office.bring(code))
    assert office.desk.told("client-admitted", "token-issued") == []
    assert len(office.desk.told("code-refused")) == 1


def test_only_who_is_acted_as_and_who_owns_the_data_directory_end_it(office: Office) -> None:
    given = office.bring(office.code())
    name = given.admission.id
    refused(
        ForeignTokenError,
        lambda: end_admission(office.adapters, SPACE, name, EVE, owns=False, why="mine"),
    )
    office.verify(given)
    end_admission(office.adapters, SPACE, name, EVE, owns=True, why="lost")
    refused(AdmissionEndedError, lambda: office.verify(given))


@pytest.mark.parametrize(
    "changes",
    [
        {"person": "eve"},
        {"binding": OTHER_KEY},
        {"binding": Binding(kind=BindingKind.MTLS, thumbprint="o" * 43)},
        {"parent": "adm_none"},
    ],
)
def test_the_signer_signs_no_token_of_another_person_or_key_than_was_let_in(
    office: Office, changes: dict[str, Any]
) -> None:
    given = office.bring(office.code())
    plain: dict[str, Any] = {
        "namespace": SPACE,
        "person": "ann",
        "audience": ISSUER,
        "binding": KEY,
        "parent": given.admission.id,
    }
    order = PersonTokenOrder(**plain | changes)
    refused(AdmissionEndedError, lambda: office.tokens.tokens.issue_person_token(order, ANN))


def test_no_task_s_token_rests_on_what_lets_a_client_act_as_a_person(office: Office) -> None:
    given = office.bring(office.code())
    refused(
        AdmissionEndedError,
        lambda: office.tokens.issue(office.desk.task, parent=given.admission.id),
    )


@pytest.mark.parametrize("what", ["admission", "session"])
def test_a_token_of_a_client_lends_its_sign_in_until_somebody_ends_what_it_rests_on(
    what: str, office: Office
) -> None:
    given = office.bring(office.code(office.sign_in()))
    proof = TokenProof(token=given.issued.token.id, binding=KEY)
    ann = Principal(kind=PrincipalKind.PERSON, namespace=SPACE, name="ann", proof=proof)
    signed = signed_in_by(office.adapters, ann, "ann")
    assert signed is not None
    assert (signed.acr, signed.token, signed.session) == ("mfa", proof.token, "ses_1")
    office.tokens.world.clock.advance(1800)  # its own five minutes are over
    with office.adapters.store.read() as snapshot:
        assert lasts(snapshot, SPACE, "ann", signed, office.now)
        assert not lasts(snapshot, SPACE, "eve", signed, office.now)
        assert not lasts(snapshot, SPACE, "eve", signed, office.now)
    if what == "admission":
        end_admission(office.adapters, SPACE, given.admission.id, ANN, owns=False, why="over")
    else:
        office.adapters.store.write(lambda tx: tx.accounts.drop_session(SPACE, "ses_1"))
    with office.adapters.store.read() as snapshot:
        assert not lasts(snapshot, SPACE, "ann", signed, office.now)
