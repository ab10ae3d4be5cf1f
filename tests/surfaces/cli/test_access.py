from __future__ import annotations

import pytest

from taskbound.surfaces.cli.access import Way, require_way
from taskbound.surfaces.cli.reading import BadInputError


@pytest.mark.parametrize(
    "way",
    [Way(), Way(user="root"), Way(user="root", piped=True), Way(fresh=True), Way(fresh=True, piped=True)],
)
def test_an_openbao_is_reached_by_a_token_from_standard_input_alone(way: Way) -> None:
    with pytest.raises(BadInputError, match="token") as refused:
        require_way("openbao", way)
    assert "--admin-stdin" in refused.value.advice


def test_a_token_is_read_from_standard_input() -> None:
    require_way("openbao", Way(piped=True))
