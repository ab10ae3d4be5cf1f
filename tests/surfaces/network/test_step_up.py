from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.clock import Instant, seconds
from taskbound.wire.token import Stop
from tests.surfaces.api.test_authority import code
from tests.surfaces.api.test_operations import station
from tests.surfaces.network.holding import STRANGER, Holding, binding, held
from tests.surfaces.network.serving import Answer

STOP = "/v1/revocation/stop"
BODY = b'{"stopped":false,"reason":"on"}'


def rule(lifter: str) -> str:
    head = 'principal, action == Taskbound::Action::"revocation:stop", resource'
    return f'{base_bundle()}@id("house:fresh") @reason("Sign in.") @hold("{lifter}") forbid ({head});'


def asked(one: Holding, token: str) -> Answer:
    return one.ask("POST", STOP, token, BODY)


def signed_in(one: Holding, acr: str, ago: int) -> str:
    at = Instant(one.world.clock.now() - seconds(ago))
    return one.person(acr=acr, authenticated=at)


def refused(answer: Answer, *said: str) -> None:
    assert (answer.status, answer.code) == (401, "step-up"), answer.body
    told = answer.headers["www-authenticate"]
    assert told.startswith("DPoP ")
    for one in ('error="insufficient_user_authentication"', *said):
        assert one in told, told


@pytest.mark.parametrize(
    ("lifter", "acr", "ago", "said"),
    [
        ("step-up:mfa@300", "pwd", 10, ('acr_values="mfa"', 'max_age="300"')),
        ("step-up:mfa@300", "mfa", 301, ('acr_values="mfa"', 'max_age="300"')),
        ("step-up:@60", "mfa", 61, ('max_age="60"',)),
        ("step-up:urn:example:loa:2", "mfa", 1, ('acr_values="urn:example:loa:2"',)),
    ],
)
def test_a_person_is_told_how_to_sign_in_for_what_asks_for_it_and_may_then(
    lifter: str, acr: str, ago: int, said: tuple[str, ...], tmp_path: Path
) -> None:
    with held(tmp_path, policy=rule(lifter)) as one:
        assert one.ask("GET", "/v1/tasks", one.person()).status == 200  # nothing else asks for it
        refused(asked(one, signed_in(one, acr, ago)), *said)
        assert len(one.world.events("operation-refused")) == 1
        assert one.world.events("operation-refused")[0]["code"] == "step-up"
        meant = lifter.removeprefix("step-up:").partition("@")[0] or acr
        assert asked(one, signed_in(one, meant, 1)).status == 200


def test_a_person_whose_sign_in_nobody_knows_of_is_asked_to_sign_in(tmp_path: Path) -> None:
    with held(tmp_path, policy=rule("step-up:mfa")) as one:
        refused(asked(one, one.person()), 'acr_values="mfa"')


def test_a_sign_in_grows_old_while_its_token_lives(tmp_path: Path) -> None:
    with held(tmp_path, policy=rule("step-up:@60")) as one:
        token = signed_in(one, "mfa", 0)
        assert asked(one, token).status == 200
        one.world.clock.advance(61)
        refused(asked(one, token), 'max_age="60"')


def test_who_signs_in_again_and_again_without_meeting_it_is_told_no(tmp_path: Path) -> None:
    with held(tmp_path, policy=rule("step-up:mfa")) as one:
        first = signed_in(one, "pwd", 5)
        refused(asked(one, first))
        refused(asked(one, first))  # the same token says nothing new
        other = one.person(acr="pwd", binding=binding(STRANGER))
        shown = one.shown("POST", STOP, other, signer=STRANGER)
        refused(one.there.ask("POST", STOP, BODY, **{"Host": "as.example", **shown}))  # another program's
        again = asked(one, signed_in(one, "pwd", 0))
        assert (again.status, again.code) == (403, "operation-forbidden")
        refused(asked(one, signed_in(one, "pwd", 0)))  # somebody may want to try once more


def test_another_lifter_beside_it_and_a_person_of_this_machine_are_refused_as_before(tmp_path: Path) -> None:
    both = rule("step-up:mfa") + (
        '@id("house:no") forbid (principal, action == Taskbound::Action::"revocation:stop", resource);'
    )
    with held(tmp_path, policy=both) as one:
        answer = asked(one, signed_in(one, "mfa", 0))
        assert (answer.status, answer.code) == (403, "operation-forbidden")

    async def story() -> None:
        async with station(tmp_path / "near", policy=rule("step-up:mfa")) as place:
            stop = Stop(stopped=False, reason="on")
            assert await code(await place.client(), stop) == "operation-forbidden"

    (tmp_path / "near").mkdir()
    asyncio.run(story())
