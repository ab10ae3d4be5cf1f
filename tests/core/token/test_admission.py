from __future__ import annotations

import pytest

from taskbound.core.clock import Instant
from taskbound.core.token.authorization.errors import AdmissionEndedError
from taskbound.core.token.authorization.request import is_admission, require_standing_admission


def test_what_names_an_admission_that_is_not_there_stands_no_more_than_one_that_has_ended() -> None:
    assert is_admission("adm_1")
    assert not is_admission("tok_1")
    assert not is_admission("")
    with pytest.raises(AdmissionEndedError):
        require_standing_admission(None, Instant(1))
