from __future__ import annotations

import msgspec

from taskbound.wire.action import Duplicate, Outcome
from taskbound.wire.envelope import Reply, Said, ask_decoder, said_decoder
from taskbound.wire.frame import HEADER, encode_frame
from taskbound.wire.task import StartTask

ANSWER = b'{ "content":[1e2 , "\\u0061"], "x":1.50}'


def test_an_answer_travels_to_the_daemon_byte_for_byte() -> None:
    sent = Said(id=1, ask=Outcome(action="act_1", outcome="succeeded", answer=msgspec.Raw(ANSWER)))
    got = ask_decoder.decode(encode_frame(sent)[HEADER:]).ask
    assert isinstance(got, Outcome)
    assert isinstance(got.answer, msgspec.Raw)
    assert bytes(got.answer) == ANSWER


def test_a_stored_answer_travels_back_byte_for_byte() -> None:
    sent = Reply(id=1, answer=Duplicate(action="a", task="t", state="succeeded", answer=msgspec.Raw(ANSWER)))
    got = said_decoder.decode(encode_frame(sent)[HEADER:]).answer
    assert isinstance(got, Duplicate)
    assert isinstance(got.answer, msgspec.Raw)
    assert bytes(got.answer) == ANSWER


def test_a_member_that_is_absent_stays_absent() -> None:
    for ask in (Outcome(action="act_1", outcome="unknown"), StartTask(agent="a", purpose="p", seconds=1)):
        frame = encode_frame(Said(id=1, ask=ask))
        assert b"answer" not in frame
        assert b"scope" not in frame
        assert ask_decoder.decode(frame[HEADER:]).ask == ask
