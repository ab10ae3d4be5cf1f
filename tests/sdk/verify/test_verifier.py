from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.revocation import About, FeedEvent, Thing
from taskbound.core.token.shared import Repeated
from taskbound.sdk.feed import FeedReader
from taskbound.sdk.verify import Asking, Body, Endpoint, Verifier
from taskbound.sdk.verify.errors import OtherNamespaceError
from tests.sdk.verify.world import (
    BODY,
    DEFINITION,
    DOMAIN,
    ISSUER,
    TOOL,
    Feed,
    Place,
    Places,
    StaleError,
    answer,
)
from tests.tokens import NOW, ed25519, es256

BY_ARGUMENTS = Endpoint(tool=TOOL, body=Body.ARGUMENTS, definition=DEFINITION)
ELSEWHERE: dict[str, Any] = {
    "sub": "person:acme/ann",
    "req_wl": "agent:acme/coder",
    "act": {"sub": "agent:acme/coder"},
}


@pytest.fixture
def place(tmp_path: Path, places: Places) -> Place:
    return places(tmp_path)


def test_a_request_that_was_permitted_is_accepted_with_what_the_token_says(place: Place) -> None:
    token = place.token(
        tctx_ancestors=["tsk_0"],
        tctx_approval="apr_1",
        tctx_approver=["person:bob"],
        act={"sub": "agent:coder", "act": {"sub": "agent:planner"}},
    )
    said = place.accepted(token).said
    assert (said.txn, said.tool, said.agent, said.agents) == ("act_1", TOOL, "coder", ("coder", "planner"))
    assert (said.task, said.ancestors, said.namespace) == ("tsk_1", ("tsk_0",), "default")
    assert (said.approval, said.approvers, said.key, said.token) == (
        "apr_1",
        ("person:bob",),
        "key-1",
        "tok_1",
    )


def test_what_comes_out_can_not_be_used_as_a_condition(place: Place) -> None:
    for one in (place.accepted(place.token()), place.outcome(), place.opened(place.token())):
        with pytest.raises(TypeError):
            bool(one)


HEADS: list[tuple[str, list[str], tuple[int, str, str]]] = [
    ("none", [], (401, "txn-token-absent", "txn-token")),
    ("two", ["T", "T"], (401, "txn-token-count", "one-txn-token")),
    ("two in one line", ["T, T"], (401, "txn-token-count", "one-txn-token")),
    ("a comma behind", ["T,"], (401, "txn-token-count", "one-txn-token")),
    ("empty", [""], (401, "token-segments", "valid-token")),
    ("a space before", [" T"], (401, "token-encoding", "valid-token")),
    ("a space behind", ["T "], (401, "token-encoding", "valid-token")),
    ("folded", ["T\r\n x"], (401, "token-encoding", "valid-token")),
    ("a tab within", ["\tT"], (401, "token-encoding", "valid-token")),
    ("not ASCII", ["Té"], (401, "token-size", "valid-token")),
    ("fullwidth letters", ["\uff21.T"], (401, "token-size", "valid-token")),
    ("a scheme before", ["Bearer T"], (401, "token-encoding", "valid-token")),
    ("too long", ["T" * 40], (401, "token-size", "valid-token")),
    ("padding", ["T="], (401, "token-encoding", "valid-token")),
    ("half", ["T.T"], (401, "token-segments", "valid-token")),
]


@pytest.mark.parametrize(("values", "wanted"), [one[1:] for one in HEADS], ids=[one[0] for one in HEADS])
def test_a_head_without_one_token_that_can_be_read_is_refused(
    place: Place, values: list[str], wanted: tuple[int, str, str]
) -> None:
    token = place.token()
    assert place.why(*[one.replace("T", token) for one in values]) == wanted


CLAIMS: list[tuple[str, dict[str, Any], tuple[int, str, str]]] = [
    ("another issuer", {"iss": "https://other.example"}, (401, "token-issuer", "token-of-the-issuer")),
    ("an issuer's beginning", {"iss": ISSUER + "/"}, (401, "token-issuer", "token-of-the-issuer")),
    ("another domain", {"aud": "other.example"}, (401, "token-audience", "token-for-the-trust-domain")),
    ("a longer domain", {"aud": DOMAIN + ".evil.example"},
     (401, "token-audience", "token-for-the-trust-domain")),
    ("a shorter domain", {"aud": "corp"}, (401, "token-audience", "token-for-the-trust-domain")),
    ("a domain in capitals", {"aud": "CORP.example"}, (401, "token-audience", "token-for-the-trust-domain")),
    ("two domains", {"aud": [DOMAIN, "other.example"]}, (401, "token-claims", "valid-token")),
    ("no domain", {"aud": ...}, (401, "token-claims", "valid-token")),
    ("the issuer as domain", {"aud": ISSUER}, (401, "token-audience", "token-for-the-trust-domain")),
    ("over", {"iat": NOW - 60, "exp": NOW}, (401, "token-expired", "fresh-token")),
    ("not yet", {"iat": NOW + 31, "exp": NOW + 60}, (401, "token-not-yet", "fresh-token")),
    ("too long a life", {"exp": NOW + 301}, (401, "token-lifetime", "valid-token")),
    ("no end", {"exp": ...}, (401, "token-claims", "valid-token")),
    ("another kind", {"header": {"typ": "at+jwt"}}, (401, "token-kind", "valid-token")),
    ("a key in the head", {"header": {"jwk": "x"}}, (401, "token-header", "valid-token")),
    ("an address of keys", {"header": {"jku": "https://evil.example"}}, (401, "token-header", "valid-token")),
    ("no signature", {"header": {"alg": "none"}}, (401, "token-algorithm", "valid-token")),
    ("a shared secret", {"header": {"alg": "HS256"}}, (401, "token-algorithm", "valid-token")),
    ("a key of nobody", {"header": {"kid": "key-2"}}, (401, "token-key", "valid-token")),
    ("a path for a key", {"header": {"kid": "../key-1"}}, (401, "token-header", "valid-token")),
    ("a claim that it can't have", {"may_act": {"sub": "agent:x"}}, (401, "token-claims", "valid-token")),
    ("a key without a thumbprint", {"cnf": {"jkt": "x"}}, (401, "bad-token-context", "valid-token")),
    ("a thumbprint that is no text", {"cnf": {"jkt": 7}}, (401, "bad-token-context", "valid-token")),
    ("a key that is there itself", {"cnf": {"jwk": "A" * 43}}, (401, "bad-token-context", "valid-token")),
    ("no key", {"cnf": {}}, (401, "bad-token-context", "valid-token")),
    ("two keys", {"cnf": {"jkt": "A" * 43, "x5t#S256": "A" * 43}},
     (401, "bad-token-context", "valid-token")),
    ("a key that is a text", {"cnf": "jkt"}, (401, "token-claims", "valid-token")),
    ("another action within", {"tctx_action": "act_2"}, (401, "bad-token-context", "valid-token")),
    ("another tool within", {"tctx_tool": "bank__refund"}, (401, "bad-token-context", "valid-token")),
    ("another tool", {"scope": "bank__refund", "tctx_tool": "bank__refund"},
     (403, "other-tool", "token-for-this-tool")),
    ("no task", {"tctx_task": ...}, (401, "bad-token-context", "valid-token")),
    ("a task that is no text", {"tctx_task": 7}, (401, "bad-token-context", "valid-token")),
    ("no context", {"tctx": []}, (401, "token-claims", "valid-token")),
    ("an agent of elsewhere", {"req_wl": "agent:acme/coder"}, (401, "bad-token-context", "valid-token")),
    ("no agent", {"req_wl": "person:ann"}, (401, "bad-token-context", "valid-token")),
    ("somebody else acts", {"act": {"sub": "agent:other"}}, (401, "bad-token-context", "valid-token")),
    ("no line of tasks above", {"tctx_ancestors": ...}, (401, "bad-token-context", "valid-token")),
    ("ancestors that are a text", {"tctx_ancestors": "tsk_0"}, (401, "bad-token-context", "valid-token")),
    ("no request", {"tctx_content_digest": ...}, (403, "digest-missing", "content-digest-in-token")),
]  # fmt: skip  # a table reads better as one


@pytest.mark.parametrize(("claims", "wanted"), [one[1:] for one in CLAIMS], ids=[one[0] for one in CLAIMS])
def test_a_token_that_says_something_else_is_refused(
    place: Place, claims: dict[str, Any], wanted: tuple[int, str, str]
) -> None:
    assert place.why(place.token(**claims)) == wanted


def test_another_key_under_the_name_of_the_issuers_is_refused(place: Place) -> None:
    for stranger in (es256("key-1", seed=9), ed25519("key-1")):
        found = place.why(place.token(signer=stranger))
        assert found[0] == 401
        assert found[1] in {"token-unproven", "token-algorithm"}


def test_a_token_of_which_any_character_was_changed_is_refused(place: Place) -> None:
    token = place.token()
    for at, one in enumerate(token):
        other = "A" if one != "A" else "B"
        assert place.why(f"{token[:at]}{other}{token[at + 1 :]}")[0] == 401, at
    assert place.accepted(token).said.txn == "act_1"


def test_a_body_of_which_a_byte_was_changed_is_refused(place: Place) -> None:
    token = place.token()
    others = [BODY[:at] + b"!" + BODY[at + 1 :] for at in range(len(BODY))]
    for body in (*others, BODY + b"\n", BODY[:-1], b""):
        assert place.why(token, body=body) == (403, "other-content", "token-for-this-request")


def test_a_digest_in_the_head_has_to_be_of_the_body_too(place: Place) -> None:
    token = place.token()
    wrong = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
    assert place.why(token, digests=[wrong]) == (400, "content-digest", "right-content-digest")


@pytest.mark.parametrize(
    ("thing", "turn"),
    [
        (Thing(namespace="default", about=About.NAMESPACE, id=""), FeedEvent.STOPPED),
        (Thing(namespace="default", about=About.TASK, id="tsk_1"), FeedEvent.OVER),
        (Thing(namespace="default", about=About.TASK, id="tsk_0"), FeedEvent.STOPPED),
        (Thing(namespace="default", about=About.AGENT, id="coder"), FeedEvent.STOPPED),
        (Thing(namespace="default", about=About.AGENT, id="planner"), FeedEvent.STOPPED),
        (Thing(namespace="default", about=About.PERSON, id="ann"), FeedEvent.STOPPED),
        (Thing(namespace="default", about=About.ADMISSION, id="adm_1"), FeedEvent.OVER),
        (Thing(namespace="default", about=About.SESSION, id="ses_1"), FeedEvent.OVER),
        (Thing(namespace="default", about=About.TOKEN, id="tok_1"), FeedEvent.OVER),
        (Thing(namespace="", about=About.KEY, id="key-1"), FeedEvent.OVER),
    ],
    ids=[
        "everything",
        "task",
        "above",
        "agent",
        "above it",
        "person",
        "admission",
        "session",
        "token",
        "key",
    ],
)
def test_what_ended_that_a_token_rests_on_refuses_it(place: Place, thing: Thing, turn: FeedEvent) -> None:
    token = place.token(
        tctx_ancestors=["tsk_0"],
        tctx_admission="adm_1",
        tctx_session="ses_1",
        act={"sub": "agent:coder", "act": {"sub": "agent:planner"}},
    )
    place.feed.say(thing, turn)
    assert place.why(token) == (403, "test-ended", "standing-authority")


def test_what_ended_elsewhere_refuses_nothing_here(place: Place) -> None:
    for space, name in (("acme", "tsk_1"), ("default", "tsk_2")):
        place.feed.say(Thing(namespace=space, about=About.TASK, id=name), FeedEvent.OVER)
    assert place.accepted(place.token()).said.task == "tsk_1"


def test_a_token_of_a_namespace_of_which_no_end_is_heard_is_refused(place: Place) -> None:
    token = place.token(tctx_namespace="acme", **ELSEWHERE)
    assert place.why(token) == (401, "other-namespace", "token-of-the-namespace")


def test_a_service_does_not_start_with_what_is_heard_of_another_namespace(place: Place) -> None:
    with pytest.raises(OtherNamespaceError):
        place.verifying(status=Feed("acme"))
    with pytest.raises(OtherNamespaceError):
        place.verifying(status=FeedReader("acme"))
    assert place.verifying(status=FeedReader("default")).service.namespace == "default"


def test_a_token_of_another_namespace_rests_on_what_is_there(tmp_path: Path, places: Places) -> None:
    place = places(tmp_path, namespace="acme")
    place.feed.say(Thing(namespace="acme", about=About.PERSON, id="ann"), FeedEvent.STOPPED)
    token = place.token(tctx_namespace="acme", **ELSEWHERE)
    assert place.why(token) == (403, "test-ended", "standing-authority")


def test_what_is_not_fresh_refuses_where_nobody_is_asked(place: Place) -> None:
    place.feed.fresh = False
    assert place.why(place.token()) == (503, "test-stale", "fresh-status")


def asked(place: Place, answer: Any) -> Verifier:
    """The same service, which asks where the feed is stale."""

    def ask(text: str) -> bytes:
        assert text.count(".") == 2
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    return place.verifying(status=place.feed, asking=Asking(ask))


UNKNOWN = (503, "status-unknown", "fresh-status")
ANSWERS: list[tuple[str, Any, tuple[int, str, str] | None]] = [
    ("active", {"active": True, "jti": "tok_1", "txn": "act_1"}, None),
    ("not active", {"active": False}, (403, "token-inactive", "standing-authority")),
    ("active as a text", {"active": "true", "jti": "tok_1", "txn": "act_1"}, UNKNOWN),
    ("active as a number", {"active": 1, "jti": "tok_1", "txn": "act_1"}, UNKNOWN),
    ("of another token", {"active": True, "jti": "tok_2", "txn": "act_1"}, UNKNOWN),
    ("of another action", {"active": True, "jti": "tok_1", "txn": "act_2"}, UNKNOWN),
    ("of nothing", {"active": True}, UNKNOWN),
    ("empty", b"", UNKNOWN),
    ("twice", b'{"active":false,"active":true,"jti":"tok_1","txn":"act_1"}', UNKNOWN),
    ("a list", b"[true]", UNKNOWN),
    ("unreachable", ConnectionResetError(), UNKNOWN),
    ("late", TimeoutError(), UNKNOWN),
    ("silent", StaleError("the issuer does not answer"), UNKNOWN),
]  # fmt: skip  # a table reads better as one


@pytest.mark.parametrize(("told", "wanted"), [one[1:] for one in ANSWERS], ids=[one[0] for one in ANSWERS])
def test_where_the_feed_is_stale_the_issuers_word_is_needed(
    place: Place, told: Any, wanted: tuple[int, str, str] | None
) -> None:
    place.feed.fresh = False
    place.verifier = asked(place, told)
    if wanted is None:
        assert place.accepted(place.token()).said.txn == "act_1"
    else:
        assert place.why(place.token()) == wanted


def test_the_issuer_is_not_asked_while_the_feed_is_fresh(place: Place) -> None:
    place.verifier = asked(place, ConnectionResetError())
    assert place.accepted(place.token()).said.txn == "act_1"


def test_the_issuers_word_does_not_lift_what_the_feed_has_heard(place: Place) -> None:
    place.verifier = asked(place, {"active": True, "jti": "tok_1", "txn": "act_1"})
    place.feed.say(Thing(namespace="default", about=About.TASK, id="tsk_1"), FeedEvent.OVER)
    assert place.why(place.token()) == (403, "test-ended", "standing-authority")


def test_without_a_feed_and_without_asking_nothing_is_done(place: Place) -> None:
    place.verifier = place.verifying()
    assert place.why(place.token()) == UNKNOWN


def test_the_same_request_again_gets_the_answer_that_was_given(place: Place) -> None:
    token = place.token()
    first = place.accepted(token)
    assert place.why(token) == (409, "still-at-it", "patience")
    place.verifier.answer(first, answer())
    again = place.outcome(token)
    assert isinstance(again, Repeated)
    assert (again.answer.status, again.answer.body) == (200, b"paid")


def test_a_fresh_token_of_the_same_permit_does_nothing_a_second_time(place: Place) -> None:
    place.verifier.answer(place.accepted(place.token()), answer())
    place.later(10)
    assert isinstance(place.outcome(place.token(jti="tok_2")), Repeated)


def test_another_request_with_the_same_permit_is_refused(place: Place) -> None:
    other = b'{"cents": 300, "account": "7"}'  # the same arguments in another spelling
    place.verifier.answer(place.accepted(place.token()), answer())
    refund = Endpoint(tool=TOOL)
    assert place.why(place.token(other, jti="tok_2"), body=other) == (409, "other-request", "unused-token")
    assert place.why(place.token(), endpoint=refund, path="/refund") == (409, "other-request", "unused-token")
    assert place.why(place.token(), method="PUT") == (409, "other-request", "unused-token")


def test_another_service_does_its_own_part_of_the_same_transaction(
    place: Place, tmp_path: Path, places: Places
) -> None:
    other = places(tmp_path, name="ledger")
    token = place.token()
    assert place.accepted(token).serving.txn == other.accepted(token).serving.txn


def test_nobody_knows_what_came_of_a_request_that_was_lost(place: Place) -> None:
    token = place.token()
    place.verifier.lose(place.accepted(token))
    assert place.why(token) == (409, "outcome-not-known", "known-outcome")


def test_a_refused_request_uses_no_permit_up(place: Place) -> None:
    token = place.token()
    assert place.why(token, body=b"{}")[1] == "other-content"
    place.feed.fresh = False
    assert place.why(token)[1] == "test-stale"
    place.feed.fresh = True
    assert place.accepted(token).said.txn == "act_1"


def test_a_body_that_came_after_the_tokens_end_is_refused(place: Place) -> None:
    opened = place.opened(place.token())
    place.later(30)
    found = place.verifier.take(opened, BODY)  # type: ignore[arg-type]  # it was opened, as the next line says
    assert (found.status, found.error.code) == (401, "token-expired")  # type: ignore[union-attr]  # it was refused then


def test_a_signature_that_was_right_once_passes_no_other_time_and_no_revoked_key(place: Place) -> None:
    token = place.token()
    place.verifier.lose(place.accepted(token))
    place.published = [es256("key-9", seed=9)]
    place.later(10)
    place.why(place.token(header={"kid": "nobody"}))  # the keys are read anew
    assert place.why(token) == (401, "token-key", "valid-token")
    place.published = [place.signer]
    place.later(20)
    assert place.why(token) == (401, "token-expired", "fresh-token")


def test_a_signature_that_was_right_by_one_key_is_looked_at_anew_by_another_of_its_name(place: Place) -> None:
    token = place.token()
    place.verifier.lose(place.accepted(token))
    place.published = [es256("key-1", seed=9)]
    place.later(10)
    place.why(place.token(header={"kid": "nobody"}))  # the keys are read anew
    assert place.why(token) == (401, "token-unproven", "valid-token")


def test_arguments_make_the_action_where_the_token_names_no_request(place: Place) -> None:
    token = place.token(tctx_content_digest=...)
    assert place.accepted(token, endpoint=BY_ARGUMENTS).said.action_digest


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"account":"7","cents":301}', "other-action"),
        (b'{"account":"7"}', "other-action"),
        (b'{"account":"7","cents":300,"loud":true}', "other-action"),
        (b'{"cents":300,"account":"7"}', "arguments-rewritten"),
        (b'{"account":"7", "cents":300}', "arguments-rewritten"),
        (b'{"account":"7","cents":300.0}', "arguments-rewritten"),
        (b'{"account":"7","cents":3e2}', "arguments-rewritten"),
        (b'{"account":"\\u0037","cents":300}', "arguments-rewritten"),
        (b'{"account":"7","account":"7","cents":300}', "duplicate-key"),
        (b'\xef\xbb\xbf{"account":"7","cents":300}', "byte-order-mark"),
        (b'[{"account":"7","cents":300}]', "not-an-object"),
        (b"", "empty-document"),
    ],
)
def test_arguments_that_are_not_those_that_were_decided_are_refused(
    place: Place, body: bytes, code: str
) -> None:
    assert place.why(place.token(), body=body, endpoint=BY_ARGUMENTS)[1] == code


@pytest.mark.parametrize(
    "claims",
    [
        {"tctx_task": "tsk_2"},
        {"tctx_target": "f" * 64},
        {"req_wl": "agent:other", "act": {"sub": "agent:other"}},
    ],
    ids=["task", "server", "agent"],
)
def test_an_action_digest_of_other_circumstances_is_refused(place: Place, claims: dict[str, Any]) -> None:
    assert place.why(place.token(**claims), endpoint=BY_ARGUMENTS)[1] == "other-action"


def test_a_definition_has_to_be_known_and_to_be_the_one_that_was_decided_on(place: Place) -> None:
    unknown = Endpoint(tool=TOOL, body=Body.ARGUMENTS)
    silent = place.token(tctx_definition=...)
    for one in (unknown, Endpoint(tool=TOOL)):
        assert place.why(silent, endpoint=one) == (403, "digest-missing", "content-digest-in-token")
    other = Endpoint(tool=TOOL, body=Body.ARGUMENTS, definition="c" * 64)
    assert place.why(silent, endpoint=other)[1] == "other-action"
    assert place.why(place.token(), endpoint=other)[1] == "digest-missing"
    said = place.accepted(place.token(), endpoint=unknown).said
    assert said.definition == DEFINITION
