from __future__ import annotations

import pytest

from taskbound.core.task import (
    BadBearerError,
    bearer_digest,
    bearer_of,
    require_same_bearer,
    task_of_bearer,
)

TASK = f"tsk_{'a' * 35}"
SECRET = "A-_z" * 10 + "abc"


def test_a_bearer_names_its_task() -> None:
    assert task_of_bearer(bearer_of(TASK, SECRET)) == TASK


@pytest.mark.parametrize(
    "text",
    [
        "",
        TASK,
        SECRET,
        f"{TASK}.",
        f"{TASK}.{SECRET}=",
        f"{TASK}.{SECRET[1:]}",
        f" {TASK}.{SECRET}",
        f"{TASK}.{SECRET}\n",
        f"act_{'a' * 35}.{SECRET}",
        f"{TASK}.{SECRET[1:]}\u0430",
        f"{TASK}.{SECRET}.{SECRET}",
        f"{TASK[:-1]}\ud800.{SECRET}",
    ],
)
def test_what_is_no_bearer_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadBearerError) as caught:
        task_of_bearer(text)
    assert SECRET[5:20] not in str(caught.value)


def test_a_bearer_is_the_same_as_itself_and_as_no_other_and_none_is_like_none() -> None:
    kept = bearer_digest(bearer_of(TASK, SECRET))
    require_same_bearer(kept, bearer_digest(bearer_of(TASK, SECRET)))
    for one, other in (
        (kept, bearer_digest(bearer_of(TASK, SECRET[::-1]))),
        ("", ""),
        ("", kept),
        (kept, ""),
    ):
        with pytest.raises(BadBearerError):
            require_same_bearer(one, other)
