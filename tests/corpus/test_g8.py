"""The part of G8 that a gate for a text answers is sound, and every row gets the one answer that it names.

What was used once, where `client_id` stands, and whose metadata it is: no gate for one text can say.
"""

from __future__ import annotations

import pytest

from tests.corpus.g8 import Case, answer, cases

CASES = cases()


def test_each_id_stands_once_and_each_number_has_rows() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert {case.id.partition(".")[0] for case in CASES} == {"A150", "A152", "A154"}


def test_each_refused_row_has_one_twin_that_is_ok_and_differs() -> None:
    by_id = {case.id: case for case in CASES}
    twins = [case for case in CASES if case.twin_of]
    assert sorted(one.twin_of for one in twins) == sorted(one.id for one in CASES if one.expect != "ok")
    for twin in twins:
        case = by_id[twin.twin_of]
        assert (twin.expect, twin.what) == ("ok", case.what), twin.id
        assert twin.fault() != case.fault(), twin.id


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_row_gets_the_one_answer_that_it_names(case: Case) -> None:
    assert answer(case) == case.expect, case.why
