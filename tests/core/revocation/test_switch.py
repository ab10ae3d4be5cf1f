from __future__ import annotations

import pytest

from taskbound.core.revocation import KillSwitch, StoppedError, require_not_stopped, throw


def test_nothing_is_permitted_while_the_switch_is_on() -> None:
    require_not_stopped(KillSwitch())
    with pytest.raises(StoppedError, match="fire"):
        require_not_stopped(KillSwitch(stopped=True, epoch=1, reason="fire"))


def test_each_throw_and_each_lift_raises_the_epoch_and_the_same_again_does_not() -> None:
    on = throw(KillSwitch(), stopped=True, reason="a")
    assert (on.stopped, on.epoch) == (True, 1)
    assert throw(on, stopped=True, reason="b") == on
    off = throw(on, stopped=False, reason="c")
    assert (off.stopped, off.epoch) == (False, 2)
    assert throw(KillSwitch(), stopped=False, reason="d") == KillSwitch()
