from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action import (
    ACTION_VERSION,
    LIMITS,
    Action,
    LoneSurrogateError,
    NumberRangeError,
    TooDeepError,
    TooLargeError,
    TooManyPartsError,
    canonical,
    flag_text,
    make_action,
    parse_object,
)
from tests.core.action.values import json_objects, tricky_text, whole_text

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue

NAMES = ("namespace", "task", "agent", "tool", "server", "definition")
OF_THE_ACT = ("namespace", "agent", "server", "tool")

actions = st.builds(make_action, **dict.fromkeys(NAMES, whole_text), arguments=json_objects)


def one(**names: str) -> Action:
    return doing({"to": "Ada", "amount": 10}, **names)


def doing(arguments: dict[str, JsonValue], **names: str) -> Action:
    parts = {
        "namespace": "default",
        "task": "tsk_1",
        "agent": "claude",
        "tool": "pay__transfer",
        "server": "5" * 64,
        "definition": "d" * 64,
    }
    return make_action(**(parts | names), arguments=arguments)


@settings(max_examples=300, deadline=None)
@given(actions)
def test_the_digest_is_that_of_the_canonical_object_of_all_parts(action: Action) -> None:
    whole: JsonValue = {
        "version": ACTION_VERSION,
        "kind": "action",
        "arguments": parse_object(action.arguments),
        **{name: getattr(action, name) for name in NAMES},
    }
    assert action.digest == sha256(canonical(whole)).hexdigest()


@settings(max_examples=300, deadline=None)
@given(actions)
def test_the_act_key_is_that_of_the_canonical_object_of_the_act(action: Action) -> None:
    whole: JsonValue = {
        "kind": "act",
        "arguments": parse_object(action.arguments),
        **{name: getattr(action, name) for name in OF_THE_ACT},
    }
    assert action.act_key == sha256(canonical(whole)).hexdigest()


def test_the_digest_of_an_action_never_changes_between_releases() -> None:
    action = one()
    assert action.arguments == b'{"amount":10,"to":"Ada"}'
    assert action.digest == "0f42d01f319bb9fea727687773873bd9d5005c47d4a1e455b8e6ea898bc90a7d"
    assert action.act_key == "fe05608c99354a93648e5058962c855a2bb248427db208d1388a4aae3a283b6a"


@pytest.mark.parametrize("name", NAMES)
def test_i28_changing_any_one_part_changes_the_digest(name: str) -> None:
    before = one()
    after = one(**{name: getattr(before, name) + "x"})
    assert after.digest != before.digest
    assert (after.act_key != before.act_key) == (name in OF_THE_ACT)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"to": "Ada", "amount": 11},
        {"to": "Ada", "amount": "10"},
        {"to": "Ada", "amount": [10]},
        {"to": "Ada ", "amount": 10},
        {"to": "ada", "amount": 10},
        {"To": "Ada", "amount": 10},
        {"to": "Ada", "amount": 10, "note": None},
        {"to": "Ada", "amount": True},
        {"to": "A\u0430da", "amount": 10},
    ],
)
def test_i28_changing_any_argument_changes_both_digests(arguments: dict[str, JsonValue]) -> None:
    assert doing(arguments).digest != one().digest
    assert doing(arguments).act_key != one().act_key


@settings(max_examples=300, deadline=None)
@given(st.lists(whole_text, min_size=6, max_size=6), st.lists(whole_text, min_size=6, max_size=6))
def test_i28_two_actions_share_a_digest_only_when_all_parts_are_equal(
    left: list[str], right: list[str]
) -> None:
    first, second = (one(**dict(zip(NAMES, parts, strict=True))) for parts in (left, right))
    assert (first.digest == second.digest) == (left == right)


@pytest.mark.parametrize(
    ("left", "right"), [("namespace", "task"), ("agent", "tool"), ("server", "definition")]
)
def test_i28_text_moved_from_one_part_to_another_changes_the_digest(left: str, right: str) -> None:
    assert one(**{left: "ab", right: "c"}).digest != one(**{left: "a", right: "bc"}).digest
    assert one(**{left: 'a","x":"', right: "b"}).digest != one(**{left: "a", right: 'x":"b'}).digest


def test_the_digest_and_the_act_key_are_never_the_same_digest() -> None:
    assert one().digest != one().act_key


@pytest.mark.parametrize("spelling", [b"1", b"1.0", b"1e0", b"10e-1", b"0.1E+1"])
def test_a010_each_spelling_of_a_number_is_the_same_action(spelling: bytes) -> None:
    arguments = parse_object(b'{"amount":' + spelling + b"}")
    assert doing(arguments).digest == doing({"amount": 1}).digest


@pytest.mark.parametrize("spelling", [b"0", b"-0", b"-0.0", b"0e9"])
def test_a009_each_spelling_of_zero_is_the_same_action(spelling: bytes) -> None:
    arguments = parse_object(b'{"amount":' + spelling + b"}")
    assert doing(arguments).digest == doing({"amount": 0}).digest


def test_a026_whitespace_and_the_order_of_keys_are_the_same_action() -> None:
    left = parse_object(b'{"a":{"x":1,"y":[1,2]},"b":"z"}')
    right = parse_object(b' { "b" : "\\u007a", "a" : { "y" : [1, 2], "x" : 1 } } ')
    assert doing(left).digest == doing(right).digest


def test_a026_the_order_of_a_list_is_another_action() -> None:
    assert doing({"a": [1, 2]}).digest != doing({"a": [2, 1]}).digest


def test_a004_keys_that_only_look_alike_are_other_actions() -> None:
    keys = ["key", "Key", "k\u0435y", "key\u200b", "key\x00", "\u00e9", "e\u0301"]
    assert len({doing({key: 1}).digest for key in keys}) == len(keys)


def test_an_action_can_not_be_changed_and_a_changed_copy_has_its_own_digest() -> None:
    action = one()
    with pytest.raises(FrozenInstanceError):
        action.frame = one(task="tsk_2").frame  # type: ignore[misc]  # the point of the test
    elsewhere = replace(action, frame=replace(action.frame, task="tsk_2"))
    assert elsewhere == one(task="tsk_2")
    assert elsewhere.digest != action.digest


def test_nobody_can_pass_a_digest_of_their_own() -> None:
    assert [field.name for field in fields(Action) if not field.init] == ["digest", "act_key"]


def test_a016_half_a_surrogate_pair_in_a_name_is_refused() -> None:
    for name in NAMES:
        with pytest.raises(LoneSurrogateError):
            one(**{name: "a\ud800"})


def test_arguments_that_could_not_be_read_back_make_no_action() -> None:
    deep: dict[str, JsonValue] = {}
    for _ in range(LIMITS.depth):
        deep = {"a": deep}
    with pytest.raises(TooDeepError):
        doing(deep)
    with pytest.raises(TooLargeError):
        doing({"a": "x" * LIMITS.size})
    with pytest.raises(TooManyPartsError):
        doing({"a": [[]] * LIMITS.parts})
    with pytest.raises(NumberRangeError):
        doing({"a": 2**53})


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(tricky_text, tricky_text | st.lists(tricky_text, max_size=3), max_size=3))
def test_an_action_flags_what_its_arguments_hold(arguments: dict[str, JsonValue]) -> None:
    try:
        action = doing(arguments)
    except LoneSurrogateError:
        return
    assert action.flags() == flag_text(arguments)


@pytest.mark.parametrize(
    "text", [" a", "a ", "a" + " " * 40 + "b", "a\nb", "\x7f", "\x1b[2J", "\u200b", "\u0430"]
)
def test_an_action_flags_what_is_hidden_even_in_ascii(text: str) -> None:
    assert doing({"a": text}).flags() == flag_text({"a": text}) != ()
    assert doing({text: 1}).flags() == flag_text({text: 1}) != ()


@pytest.mark.parametrize("text", ["a b", 'say "hi" now', "C:\\new\\temp", "{}[]:,", "~/x", ""])
def test_an_action_flags_nothing_in_plain_text(text: str) -> None:
    assert doing({"a": text}).flags() == ()
