from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.policy.cedar import base_bundle, rights
from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.policy import BadBundleError, PolicyBundle, pack
from taskbound.core.policy.operations import OPERATIONS
from taskbound.flows.policy import Examined, examine
from taskbound.flows.policy.life import require_loads
from taskbound.flows.policy.operations import OperationCall, authorize
from taskbound.wire.task import StepTask
from tests.stories.test_bundles import CALL, NEVER, in_force, put_in_force, with_base
from tests.world import ANN, World, code_of

if TYPE_CHECKING:
    from taskbound.core.policy.operation import OperationVerdict
    from taskbound.ports.store import Store

CALLS_ALONE = base_bundle().removesuffix(rights())
"""A base from before operations were policy's."""
UNNAMED = '@id("mine") forbid (principal, action, resource) when { context.effect == "destructive" };'
NAMED = UNNAMED.replace("action,", f"{CALL},")


def test_a_bundle_from_before_operations_gets_the_base_of_now_where_its_policies_name_their_action(
    store: Store,
) -> None:
    older = World(store=store, policy=CALLS_ALONE)
    task = older.settle_in()
    put_in_force(older, NAMED)
    newer = with_base(store, older, base_bundle())
    assert newer.bundles.rebase("taskbound 9") == ()
    assert newer.adapters.policy.at("default", in_force(newer)).operations.known
    assert code_of(newer.ask(task)) == "forbidden"


def test_a_policy_that_named_no_action_never_comes_to_be_about_operations_by_an_upgrade_or_a_rollback(
    store: Store,
) -> None:
    older = World(store=store, policy=CALLS_ALONE)
    task = older.settle_in()
    digest = kept_as_before(older, UNNAMED)
    newer = with_base(store, older, base_bundle())
    ((_, why),) = newer.bundles.rebase("taskbound 9")
    assert "names no action" in why
    assert in_force(newer).digest == digest
    assert code_of(newer.ask(task)) == "forbidden"
    assert stepped(newer).policies == ("base:operations-person",)
    put_in_force(newer, NEVER)
    newer.bundles.roll_back("default", digest, "", ANN)
    assert in_force(newer).digest == digest
    engine = newer.adapters.policy.at("default", in_force(newer))
    assert (engine.operations.known, code_of(newer.ask(task))) == (False, "forbidden")


@pytest.mark.parametrize(
    "text", [UNNAMED, '@id("mine") @hold("confirm") forbid (principal, action, resource);']
)
def test_nothing_is_proposed_that_would_refuse_operations_that_nobody_meant(text: str, world: World) -> None:
    world.settle_in()
    seen = examine(world.adapters, "default", {"mine.cedar": text}, {})
    assert ["must not" in one.words for one in seen.problems] == [True]


def test_what_would_refuse_operations_that_nobody_meant_is_given_no_other_base(world: World) -> None:
    bundle = PolicyBundle(files={"base.cedar": base_bundle(), "mine.cedar": UNNAMED})
    with pytest.raises(BadBundleError, match="must not"):
        require_loads(world.adapters, bundle, "0" * 64)


def stepped(world: World) -> OperationVerdict:
    """What is said to Ann who enters a step of a task."""
    proof = PeerProof(uid=1000, pid=1, started=1)
    ann = Principal(kind=PrincipalKind.PERSON, namespace="default", name="ann", proof=proof)
    asked = OperationCall(principal=ann, operation=OPERATIONS["task:step"], message=StepTask(task="tsk_1"))
    verdict, _ = authorize(world.adapters, asked)
    return verdict


def kept_as_before(world: World, text: str) -> str:
    """Put in force what was in order before operations were policy's."""
    bundle = PolicyBundle(files={"base.cedar": world.policy, "mine.cedar": text})
    seen = Examined(bundle=bundle, archive=pack(bundle), problems=())
    digest = world.bundles.propose("default", seen, "", ANN).digest
    world.bundles.activate("default", seen, ANN)
    return digest
