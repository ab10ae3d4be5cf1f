"""Each shell against a stale, foreign, altered, replayed and unapproved call: docs/adr/0080, *Each shell*."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.task import EndTask, PauseTask, ResumeTask
from taskbound.wire.token import RevokeToken
from tests.tokens import es256
from tests.wiring.guarding import NUMBERS
from tests.wiring.running import client, until
from tests.wiring.shells import (
    ALL,
    ALONE,
    FUNCTIONS,
    LIBRARIES,
    NOTHING,
    PROXIES,
    Call,
    Guarded,
    Reply,
    Shell,
    all_shells,
    at_once,
    claims_of,
    digest_of,
    hung,
    new_task,
)

INTROSPECTING = "asgi-introspecting"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with all_shells(tmp_path_factory.mktemp("shells")) as one:
        yield one


@pytest.fixture(params=ALL)
def shell(request: pytest.FixtureRequest, guarded: Guarded) -> Shell:
    return guarded.shells[request.param]


STATUS = {
    "body-not-shown": 403,
    "content-encoded": 415,
    "endpoint-unknown": 403,
    "other-action": 403,
    "other-content": 403,
    "other-content-type": 415,
    "other-request": 409,
    "other-tool": 403,
    "outcome-not-known": 409,
    "query-not-covered": 400,
    "revoked": 403,
    "status-unknown": 503,
}
"""Of HTTP, where it is not 401."""


def status_of(shell: Shell, code: str) -> int:
    """The status of a refusal as this shell tells it; 0 where it is none of HTTP."""
    if shell.kind in {*FUNCTIONS, *LIBRARIES}:
        return 0
    inactive = 401 if shell.kind == ALONE else 403
    plain = inactive if code == "token-inactive" else STATUS.get(code, 401)
    if shell.kind == "nginx-auth-request" and plain not in {401, 403}:
        return 403
    return 403 if shell.kind == "envoy" and plain >= 500 else plain


def require_refused(
    shell: Shell, replies: Mapping[str, Reply], wanted: Mapping[str, tuple[str, str]]
) -> None:
    """Each was refused by this code, with this missing, by the status and with the challenge that say so."""
    assert {name: (one.done, one.code, one.missing) for name, one in replies.items()} == {
        name: (False, *wanted[name]) for name in replies
    }
    for name, one in replies.items():
        assert one.status == status_of(shell, one.code), name
        if shell.kind in FUNCTIONS:
            continue  # it raises, and has no challenge
        told = f'Taskbound error="{one.code}", missing="{one.missing}", domain="corp.example"'
        tools = {told} if one.code == "endpoint-unknown" else {f'{told}, tool="{tool}"' for tool in TOOLS}
        assert one.challenge in tools, name


TOOLS = ("echo__say", "ledger__book", "bank__refund")
THIS = "token-for-this-request"
NOWHERE = ("endpoint-unknown", "declared-endpoint")
ISSUER_ALONE = ("token-inactive", "valid-token")
"""What a service without a library of ours is told of every token that is worth nothing to it."""


def require_passes(shell: Shell, call: Call, runs: int) -> None:
    """Nothing ran until now, and nothing of what was refused has used the permit up."""
    assert shell.runs() == runs
    assert shell.ask(call).done
    assert shell.runs() == runs + 1


def test_a_token_that_is_over_or_not_yet_in_time_runs_nothing(guarded: Guarded, shell: Shell) -> None:
    runs, call, now = shell.runs(), guarded.permitted(shell), int(time.time())
    (token,) = call.tokens
    times = {
        "over by a second": (now - 31, now - 1),
        "long over": (now - 86_400, now - 86_370),
        "not yet": (now + 600, now + 630),
    }
    told = {
        name: shell.ask(replace(call, tokens=(guarded.signed(token, iat=begins, exp=ends),)))
        for name, (begins, ends) in times.items()
    }
    wanted = {
        "over by a second": ("token-expired", "fresh-token"),
        "long over": ("token-expired", "fresh-token"),
        "not yet": ("token-not-yet", "fresh-token"),
    }
    require_refused(shell, told, dict.fromkeys(told, ISSUER_ALONE) if shell.kind == ALONE else wanted)
    require_passes(shell, call, runs)


def test_what_was_paused_ended_or_revoked_runs_nothing_and_what_goes_on_runs_once(
    guarded: Guarded, shell: Shell
) -> None:
    world = guarded.world
    probe, call = guarded.permitted(shell), guarded.permitted(shell)
    over = {
        ALONE: ISSUER_ALONE,
        INTROSPECTING: ("token-inactive", "standing-authority"),
    }.get(shell.kind, ("revoked", "standing-authority"))
    with client(world.one.socket) as person:
        person.ask(PauseTask(task=world.one.task), Done)
        until(lambda: shell.ask(probe).code == over[0], "it is heard")  # which may have run before that
        runs = shell.runs()
        require_refused(shell, {"paused": shell.ask(call)}, {"paused": over})
        person.ask(ResumeTask(task=world.one.task), Done)
    until(lambda: shell.ask(call).done, "that it is back is heard")
    assert shell.runs() == runs + 1
    probe, call = guarded.permitted(shell), guarded.permitted(shell)
    with client(world.one.socket) as person:
        for one in (call, probe):  # the feed tells ends in their order
            person.ask(RevokeToken(token=claims_of(one.tokens[0])["jti"]), Done)
        until(lambda: shell.ask(probe).code == over[0], "it is heard")
        runs = shell.runs()
        require_refused(shell, {"revoked": shell.ask(call)}, {"revoked": over})
    probe, call = guarded.permitted(shell), guarded.permitted(shell)
    ended, world.one.task = world.one.task, new_task(world)
    with client(world.one.socket) as person:
        person.ask(EndTask(task=ended, how="cancelled", reason="enough"), Done)
        until(lambda: shell.ask(probe).code == over[0], "it is heard")
        runs = shell.runs()
        require_refused(shell, {"ended": shell.ask(call)}, {"ended": over})
    require_passes(shell, guarded.permitted(shell), runs)


def test_a_token_that_is_of_somebody_else_or_for_somebody_else_runs_nothing(
    guarded: Guarded, shell: Shell
) -> None:
    runs, call = shell.runs(), guarded.permitted(shell)
    (token,) = call.tokens
    head, payload, _ = token.split(".")
    own = guarded.key_of(token).kid
    strange = guarded.signed(token, key=es256(own, seed=77))
    acme: dict[str, Any] = {
        "tctx_namespace": "acme",
        "req_wl": "agent:acme/helper",
        "act": {"sub": "agent:acme/helper"},
    }
    booked = guarded.world.permit(
        "",
        tool="ledger__book",
        arguments={"text": "x"},
        content_digest=NOTHING if not call.body else digest_of(call.body),
    )
    assert booked["status"] == 200, booked
    tokens = {
        "by a key that nobody published": guarded.signed(token, key=es256("stranger", seed=77)),
        "by another key under the issuer's name": strange,
        "with another's signature": f"{head}.{payload}.{strange.split('.')[2]}",
        "for another trust domain": guarded.signed(token, aud="other.example"),
        "for a domain beneath": guarded.signed(token, aud="a.corp.example"),
        "for several domains": guarded.signed(token, aud=["corp.example", "other.example"]),
        "of another issuer": guarded.signed(token, iss="https://other.example"),
        "of another namespace": guarded.signed(token, sub="person:acme/alice", **acme),
        "for another service's tool": str(booked["token"]),
        "for our issuer": guarded.world.one.token(),
    }
    wanted = {
        "by a key that nobody published": ("token-key", "valid-token"),
        "by another key under the issuer's name": ("token-unproven", "valid-token"),
        "with another's signature": ("token-unproven", "valid-token"),
        "for another trust domain": ("token-audience", "token-for-the-trust-domain"),
        "for a domain beneath": ("token-audience", "token-for-the-trust-domain"),
        "for several domains": ("token-claims", "valid-token"),
        "of another issuer": ("token-issuer", "token-of-the-issuer"),
        "of another namespace": ("other-namespace", "token-of-the-namespace"),
        "for another service's tool": ("other-tool", "token-for-this-tool"),
        "for our issuer": ("token-kind", "valid-token"),
    }
    told = {name: shell.ask(replace(call, tokens=(one,))) for name, one in tokens.items()}
    require_refused(shell, told, dict.fromkeys(told, ISSUER_ALONE) if shell.kind == ALONE else wanted)
    if shell.places[2]:
        elsewhere = {"at another tool": shell.ask(replace(call, place=shell.places[2]))}
        require_refused(shell, elsewhere, {"at another tool": ("other-tool", "token-for-this-tool")})
    require_passes(shell, call, runs)


def test_a_call_that_is_not_the_one_that_was_permitted_runs_nothing(guarded: Guarded, shell: Shell) -> None:
    runs, call = shell.runs(), guarded.permitted(shell)
    asked = altered(guarded, shell, call)
    told = {name: shell.ask(one) for name, (one, *_) in asked.items()}
    require_refused(shell, told, {name: wanted for name, (_, wanted) in asked.items()})
    require_passes(shell, call, runs)


def altered(guarded: Guarded, shell: Shell, call: Call) -> dict[str, tuple[Call, tuple[str, str]]]:
    """What is made of a call that was permitted, and how it is refused."""
    other = guarded.permitted(shell)
    parts = call.tokens[0].split(".")
    mixed = ".".join((*parts[:2], other.tokens[0].split(".")[2]))
    unproven = ISSUER_ALONE if shell.kind == ALONE else ("token-unproven", "valid-token")
    found = {"with the signature of another permit": (replace(call, tokens=(mixed,)), unproven)}
    if shell.kind in {*FUNCTIONS, *LIBRARIES}:
        changed = {"text": f"{call.arguments['text']}!"}
        found["other arguments"] = (replace(call, arguments=changed), ("other-action", THIS))
        found["of another permit"] = (replace(call, tokens=other.tokens), ("other-action", THIS))
        if shell.kind in LIBRARIES:
            more = {**call.arguments, "loud": True}
            found |= {
                "an argument more": (
                    replace(call, arguments=more),
                    ("argument-changed", "arguments-as-decided"),
                ),
                "none": (replace(call, arguments={}), ("argument-undecided", "decided-arguments")),
                "another name": (replace(call, place="shout"), NOWHERE),
            }
        return found
    return found | altered_request(guarded, shell, call)


def altered_request(guarded: Guarded, shell: Shell, call: Call) -> dict[str, tuple[Call, tuple[str, str]]]:
    """The same of a request of HTTP."""
    method, path = call.place.split()
    typed = ("other-content-type", "declared-content-type")
    without = shell.kind == ALONE
    found = {
        "another method": (replace(call, place=f"PUT {path}"), NOWHERE),
        "another path": (replace(call, place=f"{method} {path}/"), NOWHERE),
        "a query": (
            replace(call, place=f"{call.place}?text=bye"),
            NOWHERE if without else ("query-not-covered", "everything-in-the-body"),
        ),
        "another type": (replace(call, head=("Content-Type: text/plain",)), typed),
        "encoded": (
            replace(call, head=("Content-Encoding: gzip",)),
            typed if without else ("content-encoded", "plain-content"),
        ),
    }
    if not call.body:
        said = guarded.world.permit(f"loud {next(NUMBERS)}", content_digest=NOTHING)
        found["of other arguments"] = (replace(call, tokens=(str(said["token"]),)), ("other-action", THIS))
        found["with a body"] = (replace(call, body=b'{"text":"x"}'), ("body-not-shown", THIS))
        return found
    decided = b'{"text":"what nobody decided on %d"}' % next(NUMBERS)
    named = guarded.world.permit("", arguments=call.arguments, content_digest=digest_of(decided))
    return found | {
        "a letter": (replace(call, body=call.body.replace(b"hello", b"hallo")), ("other-content", THIS)),
        "a member more": (replace(call, body=call.body[:-1] + b',"loud":true}'), ("other-content", THIS)),
        "a byte more": (replace(call, body=call.body + b" "), ("other-content", THIS)),
        "a byte less": (replace(call, body=call.body[:-1]), ("other-content", THIS)),
        "what the agent named beside what was decided": (
            replace(call, body=decided, tokens=(str(named["token"]),)),
            ("other-action", THIS),
        ),
    }


def test_a_token_that_was_used_runs_nothing_again_neither_the_same_nor_another_call(
    guarded: Guarded, shell: Shell
) -> None:
    runs, call = shell.runs(), guarded.permitted(shell)
    first = at_once([lambda: shell.ask(call)] * 4)
    assert shell.runs() == runs + 1
    # Who is told so is told what was answered, or that it is being done; a proxy does not know the answer.
    unknown = {"outcome-not-known", "still-at-it"} if shell.kind in PROXIES else {"still-at-it"}
    assert {one.code for one in first if not one.done} <= unknown
    assert any(one.done for one in first)
    again = shell.ask(call)
    if shell.kind in PROXIES:
        require_refused(shell, {"again": again}, {"again": ("outcome-not-known", "known-outcome")})
    else:
        assert (again.done, again.recorded) == (True, shell.kind not in FUNCTIONS)
    asked = {name: one for name, one in altered(guarded, shell, call).items() if one[1][1] == THIS}
    if shell.kind not in {*FUNCTIONS, *LIBRARIES}:
        elsewhere = replace(call, place=shell.places[1])
        asked["elsewhere"] = (elsewhere, ("other-request", "unused-token"))
    told = {name: shell.ask(one) for name, (one, _) in asked.items()}
    require_refused(shell, told, {name: wanted for name, (_, wanted) in asked.items()})
    assert len(asked) >= 2
    assert shell.runs() == runs + 1


def test_what_was_not_permitted_runs_nothing_with_no_token_with_two_or_with_that_of_another_permit(
    guarded: Guarded, shell: Shell
) -> None:
    world, runs, call = guarded.world, shell.runs(), guarded.permitted(shell)
    refused = world.permit("", arguments={"loud": True}, content_digest=NOTHING)
    assert (refused["status"], "token" in refused) == (403, False)
    waiting = guarded.asking(shell, "large")
    held = world.permit("", arguments={"text": "large sum"} | dict(waiting.arguments))
    assert (held["status"], held["code"], "token" in held) == (409, "held", False)
    (token,) = call.tokens
    told = {
        "without a token": shell.ask(replace(call, tokens=())),
        "held, without a token": shell.ask(waiting),
        "with two": shell.ask(replace(call, tokens=(token, token))),
        "with two in one": shell.ask(replace(call, tokens=(f"{token},{token}",))),
    }
    absent, several = ("txn-token-absent", "txn-token"), ("txn-token-count", "one-txn-token")
    wanted = dict(zip(told, (absent, absent, several, several), strict=True))
    if waiting.arguments:  # behind `auth_request` a request says nothing that could be another's
        told["held, by another permit"] = shell.ask(replace(waiting, tokens=(token,)))
        by_action = shell.kind in {*FUNCTIONS, *LIBRARIES}
        wanted["held, by another permit"] = ("other-action" if by_action else "other-content", THIS)
    require_refused(shell, told, wanted)
    require_passes(shell, call, runs)


def test_where_nobody_says_what_ended_no_shell_runs_anything(guarded: Guarded) -> None:
    shells = guarded.shells.values()
    asked = [(one, guarded.permitted(one), guarded.permitted(one)) for one in shells]

    def story(told: tuple[Shell, Call, Call]) -> tuple[Shell, int, Reply]:
        shell, probe, call = told
        until(lambda: shell.ask(probe).code == "status-unknown", f"{shell.kind}: what was heard is too old")
        runs = shell.runs()
        return shell, runs, shell.ask(call)

    with hung(guarded.world), ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(story, asked))
    for shell, runs, reply in found:
        require_refused(shell, {"stale": reply}, {"stale": ("status-unknown", "fresh-status")})
        assert shell.runs() == runs, shell.kind
    for shell, _, _ in found:
        call = guarded.permitted(shell)
        until(lambda: shell.ask(call).done, "it is heard again")  # noqa: B023 - asked at once
