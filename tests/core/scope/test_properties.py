from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import assume, event, given
from hypothesis import strategies as st

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.clock import Instant
from taskbound.core.scope import (
    Covered,
    Exhausted,
    NotCovered,
    Paid,
    cover,
    describe,
    initial_limits,
    parse_scope,
    pay,
)
from taskbound.core.scope.cover import judge
from taskbound.core.scope.values import Mismatch, is_certain, read_amount, same
from tests.core.scope import model
from tests.core.scope.strategies import calls, grant_lists, json_values, readable, schemas, values

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope

Json = dict[str, "JsonValue"]


def scope_of(written: list[Json]) -> Scope:
    return parse_scope({"grants": list(written)})


def covering(written: list[Json], call: tuple[str, Json], schema: Json | None) -> set[bytes]:
    scope = scope_of(written)
    by_id = {grant.id: canonical(grant.value()) for grant in scope.grants}
    match cover(scope, *call, schema):
        case Covered() as covered:
            event("covered")
            return {by_id[payer.grant] for payer in covered.payers}
        case NotCovered():
            event("missed")
            return set()


@given(grant_lists, calls, schemas)
def test_cover_agrees_with_the_rules_written_a_second_time(
    written: list[Json], call: tuple[str, Json], schema: Json | None
) -> None:
    expected = [place for place, one in enumerate(written) if model.covers(one, *call, schema)]
    match cover(scope_of(written), *call, schema):
        case Covered() as covered:
            assert [payer.grant for payer in covered.payers] == [f"g{place}" for place in expected]
            for payer in covered.payers:
                totals = model.members(written[int(payer.grant[1:])].get("total", {}))
                assert {
                    charge.limit: charge.amount
                    for charge in payer.charges
                    if not charge.limit.endswith("/uses")
                } == {
                    f"{payer.grant}/total/{name}": model.amount(
                        call[1][name], model.members(about)["exponent"]
                    )
                    for name, about in totals.items()
                }
        case NotCovered():
            assert expected == []


@given(grant_lists, readable, st.integers(0, 4), calls, schemas)
def test_adding_a_grant_never_refuses_what_was_permitted(
    written: list[Json], extra: Json, place: int, call: tuple[str, Json], schema: Json | None
) -> None:
    longer = [*written[:place], extra, *written[place:]]
    assume(len({canonical(one.coverage()) for w in longer for one in scope_of([w]).grants}) == len(longer))
    assert covering(written, call, schema) <= covering(longer, call, schema)


@given(grant_lists, st.integers(0, 3), calls, schemas)
def test_removing_a_grant_never_permits_what_was_refused(
    written: list[Json], place: int, call: tuple[str, Json], schema: Json | None
) -> None:
    shorter = [one for at, one in enumerate(written) if at != place % len(written)]
    assume(shorter)
    assert covering(shorter, call, schema) <= covering(written, call, schema)


@given(grant_lists.flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))), calls, schemas)
def test_the_covered_set_does_not_depend_on_the_order_of_the_grants(
    orders: tuple[list[Json], list[Json]], call: tuple[str, Json], schema: Json | None
) -> None:
    one, other = orders
    assert covering(one, call, schema) == covering(other, call, schema)


@given(grant_lists, calls, schemas)
def test_dropping_an_argument_that_no_grant_of_the_tool_names_never_refuses(
    written: list[Json], call: tuple[str, Json], schema: Json | None
) -> None:
    tool, arguments = call
    named = {name for one in scope_of(written).by_tool.get(tool, ()) for name in one.named}
    fewer = {name: value for name, value in arguments.items() if name in named}
    assert covering(written, call, schema) <= covering(written, (tool, fewer), schema)


@given(grant_lists, calls, schemas)
def test_a_grant_pays_if_and_only_if_no_argument_of_it_missed(
    written: list[Json], call: tuple[str, Json], schema: Json | None
) -> None:
    scope = scope_of(written)
    tool, arguments = call
    answer = cover(scope, tool, arguments, schema)
    payers = {payer.grant for payer in answer.payers} if isinstance(answer, Covered) else set()
    for grant in scope.by_tool.get(tool, ()):
        missed = [one for one in judge(grant, arguments, schema) if isinstance(one.verdict, Mismatch)]
        assert (grant.id in payers) is (missed == [])


@given(grant_lists, calls, schemas)
def test_a_miss_names_the_grant_with_the_most_accepted_arguments_and_says_the_same_every_time(
    written: list[Json], call: tuple[str, Json], schema: Json | None
) -> None:
    scope = scope_of(written)
    answer = cover(scope, *call, schema)
    if not isinstance(answer, NotCovered):
        return
    assert cover(scope_of(written), *call, schema) == answer
    assert answer.sentence
    accepted = {
        grant.id: sum(not isinstance(one.verdict, Mismatch) for one in judge(grant, call[1], schema))
        for grant in scope.by_tool.get(call[0], ())
    }
    assert (answer.grant is None) is (accepted == {})
    if answer.grant is not None:
        assert accepted[answer.grant] == max(accepted.values())
        assert answer.misses


@given(grant_lists, st.lists(calls, min_size=1, max_size=3), st.lists(st.integers(0, 2), max_size=20))
def test_law_3_paying_never_takes_a_limit_below_zero_and_never_more_than_was_granted(
    written: list[Json], pool: list[tuple[str, Json]], history: list[int]
) -> None:
    scope = scope_of(written)
    left = initial_limits(scope)
    spent = dict.fromkeys(left, 0)
    for which in history:
        answer = cover(scope, *pool[which % len(pool)], None)
        if isinstance(answer, NotCovered):
            continue
        match pay(answer, left, Instant(0)):
            case Paid() as paid:
                event("paid")
                for charge in paid.charges:
                    left[charge.limit] -= charge.amount
                    spent[charge.limit] += charge.amount
            case Exhausted() as exhausted:
                event("exhausted")
                short = exhausted.shortfalls
                assert {one.grant for one in short} == {payer.grant for payer in answer.payers}
                assert all(one.left == left[one.limit] < one.asked for one in short)
        assert all(amount >= 0 for amount in left.values())
    assert all(spent[limit] <= amount for limit, amount in initial_limits(scope).items())


@given(st.integers(1, 100_000), st.integers(0, 3), st.lists(st.integers(0, 60_000), min_size=1, max_size=8))
def test_law_3_splitting_an_amount_into_payments_never_exceeds_the_total(
    limit: int, exponent: int, parts: list[int]
) -> None:
    scope = scope_of(
        [
            {
                "tool": "pay__send",
                "arguments": {"amount": {"any": True}},
                "total": {"amount": {"limit": limit, "exponent": exponent}},
            }
        ]
    )
    left = initial_limits(scope)
    paid = 0
    for part in parts:
        raw = str(Decimal(part).scaleb(-exponent)).encode()
        answer = cover(scope, "pay__send", {"amount": parse_document(raw)}, None)
        assert isinstance(answer, Covered)
        if isinstance(found := pay(answer, left, Instant(0)), Paid):
            left["g0/total/amount"] -= found.charges[0].amount
            paid += part
    assert paid <= limit
    assert left["g0/total/amount"] == limit - paid
    assert paid == sum(parts) or sum(parts) > limit


@given(st.integers(0, 2**53 - 1), st.integers(0, 9), st.integers(0, 9))
def test_an_amount_is_read_exactly_or_refused_for_its_precision(
    units: int, places: int, exponent: int
) -> None:
    text = str(Decimal(units).scaleb(-places))
    value = parse_document(text.encode())
    exact = Decimal(canonical(value).decode())
    scaled = exact * 10**exponent
    expected = int(scaled) if scaled == int(scaled) else "excess-precision"
    found = read_amount(value, exponent)
    if isinstance(expected, int) and expected >= 2**63:
        expected = "amount-overflow"
    assert (found.code if isinstance(found, Mismatch) else found) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 9))
def test_any_finite_number_is_read_as_the_decimal_of_its_shortest_text(value: float, exponent: int) -> None:
    scaled = Decimal(repr(value)).as_tuple()
    assert isinstance(scaled.exponent, int)
    shift = scaled.exponent + exponent
    digits = int("".join(map(str, scaled.digits)))
    found = read_amount(value, exponent)
    if scaled.sign and digits:
        assert isinstance(found, Mismatch)
        assert found.code == "negative-amount"
    elif shift < 0 and digits % 10**-shift:
        assert isinstance(found, Mismatch)
        assert found.code == "excess-precision"
    else:
        units = digits * 10**shift if shift >= 0 else digits // 10**-shift
        assert found == units or (
            isinstance(found, Mismatch) and found.code == "amount-overflow" and units >= 2**63
        )


@given(json_values, json_values)
def test_two_values_are_the_same_if_and_only_if_their_canonical_bytes_are(
    left: JsonValue, right: JsonValue
) -> None:
    for other in (right, left, twisted(left)):
        assert same(left, other) is (canonical(left) == canonical(other))
        if is_certain(left):
            assert (left == other) is same(left, other)


def twisted(value: JsonValue) -> JsonValue:
    """The value with true for 1, false for 0, and the other way round: the same to Python."""
    match value:
        case dict():
            return {name: twisted(one) for name, one in value.items()}
        case list():
            return [twisted(one) for one in value]
        case bool():
            return int(value)
        case 0 | 1:
            return bool(value)
        case _:
            return value


@given(values)
def test_a_value_is_the_same_as_itself_read_again(value: JsonValue) -> None:
    assert same(value, parse_document(canonical(value)))


@given(grant_lists)
def test_a_scope_read_from_its_own_canonical_form_is_the_same_scope(written: list[Json]) -> None:
    scope = scope_of(written)
    again = parse_scope(scope.canonical)
    assert again.digest == scope.digest
    assert again.canonical == scope.canonical
    assert again.grants == scope.grants
    assert parse_scope(scope.value()) == scope
    assert initial_limits(again) == initial_limits(scope)


@given(grant_lists)
def test_a_scope_is_described_in_one_line_for_each_grant(written: list[Json]) -> None:
    lines = describe(scope_of(written))
    assert len(lines) == len(written)
    assert all("\n" not in line for line in lines)
