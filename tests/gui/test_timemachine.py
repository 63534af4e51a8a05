"""The strip that moves the whole window through a run's training."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.gui.timemachine import TimeMachine


def test_the_newest_state_is_a_place_of_its_own_after_the_last_snapshot(
    qapp: QApplication, adopt: Callable[[QWidget], QWidget]
) -> None:
    strip = TimeMachine()
    adopt(strip)
    told: list[int] = []
    forks: list[int] = []
    strip.scrubbed.connect(told.append)
    strip.fork_wanted.connect(forks.append)
    strip.show_snapshots((0, 8, 16), 20, None)
    assert strip.scrubber.step() == 20 and not strip._newest.isEnabled()
    strip.scrubber.step_changed.emit(8)
    assert told == [8] and strip._newest.isEnabled()
    strip.scrubber.step_changed.emit(20)
    assert told == [8, -1]
    strip.show_snapshots((0, 8, 16), 20, 8)
    assert strip.scrubber.step() == 8
    strip._newest.click()
    assert told == [8, -1, -1] and strip.scrubber.step() == 20
    strip._fork.click()
    assert forks == [16]  # what a fork can begin from
    strip.show_snapshots((), 20, None)
    assert not strip.isVisible()
