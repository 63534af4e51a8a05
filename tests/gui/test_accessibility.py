"""Every panel and the whole window for people who read, who tab and who enlarge: names, order, room, contrast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QTabBar,
    QWidget,
)

from dgm_studio.core import requests
from dgm_studio.core.updates import Result, Update
from dgm_studio.gui import theme
from dgm_studio.gui.shots import pass_time
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.window import StudioWindow
from tests.gui import cross_toy, latent_toy, window_fakes
from tests.gui.window_fakes import SYSTEM, model, studio_window

TOY = latent_toy.card()
CROSS = cross_toy.card(cross_toy.SIX)
RUN = model("run:/tmp/none/run 14", value=118.9, snapshots=(0, 64, 128, 256), step=256, steps=256)
PANELS = {
    "training": RUN.key,
    "latent": TOY.key,
    "cross": CROSS.key,
    "samples": "zoo:vae-digits",
    "reconstruct": "zoo:vae-digits",
    "compare": "zoo:vae-digits",
}
LATENT = frozenset(name.removeprefix("_") for name in vars(latent_toy.Toy) if name[1:2].isupper())


def history() -> dict[str, Any]:
    """A short run with everything a run can have."""
    steps = list(range(0, 257, 8))
    names = ("train/elbo", "valid/elbo", "train/kl", "valid/kl", "train/reconstruction", "valid/reconstruction")
    more = ("learning_rate", "gradient_norm", "examples_per_second", "beta")
    series = {
        name: {"step": steps, "value": [-200.0 + 0.3 * s for s in steps], "time": [0.1 * s for s in steps]}
        for name in (*names, *more)
    }
    sentence = "The latents are ignored: the KL is 0.097 nats. Lower beta, or warm it up."
    return {
        "run": {"training": {"batch": 128}},
        "series": series,
        "flags": [{"flag": "edit", "step": 64, "changes": {"beta": 4.0}}],
        "kl": {"step": steps, "rows": [[0.1 * k + 0.01 * s for k in range(16)] for s in steps]},
        "health": [{"level": level, "name": "posterior collapse", "sentence": sentence} for level in ("bad", "good")],
    }


def answer(asked: Any, known: Callable[[Any], Iterator[Update]]) -> Iterator[Update]:
    """The fakes' answers, those of the latent toy, and a run that was trained."""
    kind = type(asked).__name__
    if isinstance(asked, requests.ReadRun):
        yield Result(history())
    elif isinstance(asked, requests.ReadFamily):
        about = {"parent": "", "start": 0, "state": "done", "figure": "118.9 nats", "change": ""}
        yield Result([{"key": RUN.key, "name": "run 14", "end": 256, **about}])
    elif isinstance(asked, requests.ListSystems):
        yield Result((SYSTEM,))
    elif hasattr(cross_toy.Toy, f"_{kind}"):
        yield from cross_toy.Toy(cross_toy.SIX).updates("", asked)
    elif kind in LATENT and kind != "SamplePrior":
        yield from latent_toy.Toy().updates("", asked)
    else:
        yield from known(asked)


@pytest.fixture
def window(
    qapp: QApplication, adopt: Callable[[QWidget], QWidget], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StudioWindow]:
    known = window_fakes.answer
    monkeypatch.setattr(window_fakes, "answer", lambda asked: answer(asked, known))
    theme.use("dark", 1.0)
    made = studio_window(tmp_path, runs=(RUN, TOY, CROSS))
    adopt(made)
    made.show()
    yield made
    made.close()
    theme.use("dark", 1.0)


def look_at(window: StudioWindow, panel: str) -> None:
    """Open a panel and let the worker answer everything."""
    window.open(PANELS[panel], panel)
    for _ in range(8):
        pass_time(10)
        window.bridge.engine.pump()
    pass_time(30)
    shown = window.centre.current()
    assert shown is not None and shown.name == panel


def described(widget: QWidget) -> str:
    words = widget.property("text") or widget.accessibleName() or widget.objectName()
    return f"{type(widget).__name__} {words!r} in {type(widget.parentWidget()).__name__}"


def inside_another(widget: QWidget) -> bool:
    """The line of a spin box or a list is part of it, and so is what has a proxy."""
    parent = widget.parentWidget()
    return isinstance(parent, QAbstractSpinBox | QComboBox) or "Container" in type(parent).__name__


def focusable(window: QWidget, policy: Qt.FocusPolicy) -> list[QWidget]:
    return [
        widget
        for widget in window.findChildren(QWidget)
        if widget.isVisible()
        and widget.isEnabled()
        and widget.window() is window
        and (widget.focusPolicy() & policy) == policy
        and not inside_another(widget)
    ]


@pytest.mark.parametrize("panel", PANELS)
def test_whatever_takes_the_focus_says_what_it_is(window: StudioWindow, panel: str) -> None:
    window.toggle_inspector()
    look_at(window, panel)
    nameless = [
        described(widget)
        for widget in focusable(window, Qt.FocusPolicy.TabFocus) + focusable(window, Qt.FocusPolicy.ClickFocus)
        if not widget.accessibleName() and not (isinstance(widget, QAbstractButton) and widget.text())
    ]
    assert nameless == []


@pytest.mark.parametrize("panel", PANELS)
def test_tab_goes_round_everything_that_can_be_worked(window: StudioWindow, panel: str) -> None:
    window.resize(1440, 900)
    look_at(window, panel)
    window.activateWindow()
    wanted = {w for w in focusable(window, Qt.FocusPolicy.TabFocus) if w.focusProxy() is None}
    reached: set[QWidget] = set()
    window.setFocus()
    for _ in range(2 * len(wanted) + 20):
        window.focusNextChild()
        widget = window.focusWidget()
        if widget is not None:
            reached.add(widget)
    assert len(wanted) > 10
    assert sorted(map(described, wanted - reached)) == []


def cut(widget: QWidget) -> bool:
    """Whether words of a widget are not seen and not told in a tooltip either."""
    told = widget.toolTip()
    if isinstance(widget, ElidedLabel):
        return widget.shown() != widget.text() and widget.text() not in told
    if isinstance(widget, QLabel):
        if not widget.text() or widget.textFormat() == Qt.TextFormat.RichText:
            return False
        if widget.wordWrap():
            return widget.heightForWidth(widget.width()) > widget.height() + 1 if widget.hasHeightForWidth() else False
        return widget.sizeHint().width() > widget.width() + 1 or widget.sizeHint().height() > widget.height() + 1
    if isinstance(widget, QPushButton | QCheckBox):
        return bool(widget.text()) and widget.sizeHint().width() > widget.width() + 1 and not told
    if isinstance(widget, QTabBar):
        metrics = widget.fontMetrics()
        return any(
            metrics.horizontalAdvance(widget.tabText(i)) > widget.tabRect(i).width() and not widget.tabToolTip(i)
            for i in range(widget.count())
        )
    return False


@pytest.mark.parametrize("panel", PANELS)
def test_no_words_are_clipped_at_any_scale_or_width(window: StudioWindow, panel: str) -> None:
    window.toggle_inspector()
    clipped = []
    for scale, width, height in ((1.0, 1100, 700), (1.0, 1440, 900), (1.5, 1440, 900), (2.0, 1920, 1080)):
        theme.use("light", scale)
        window.resize(width, height)
        look_at(window, panel)
        clipped += [
            f"{scale} {width}: {described(widget)} {widget.width()} < {widget.sizeHint().width()}"
            for widget in window.findChildren(QWidget)
            if widget.isVisible() and widget.width() > 1 and cut(widget)
        ]
    assert clipped == []


@pytest.mark.parametrize("name", theme.PALETTES)
def test_all_text_can_be_read_on_whatever_it_stands_on(name: str) -> None:
    shades = theme.PALETTES[name]
    grounds = [getattr(shades, ground) for ground in ("bg0", "bg1", "bg2", "accentbg")]
    for token in ("text", "text2", "accent", "live", "good", "bad"):
        for ground in grounds:
            assert theme.contrast(getattr(shades, token), ground) >= 4.5, (token, ground)
    assert theme.contrast(shades.onaccent, shades.accent) >= 4.5
    assert theme.contrast(shades.text, shades.bg3) >= 4.5  # a button under the mouse


@pytest.mark.parametrize("name", theme.PALETTES)
def test_lines_of_every_category_stand_out_from_a_card(qapp: QApplication, name: str) -> None:
    theme.use(name)
    for shade in theme.CATEGORIES:
        assert theme.contrast(theme.line_colour(shade).name(), theme.current().palette.bg1) >= 3.0
    theme.use("dark")


def test_the_form_of_a_new_run_shows_its_help_and_can_be_tabbed_through(window: StudioWindow) -> None:
    window.new_run()
    pass_time(50)
    form = next(w for w in QApplication.topLevelWidgets() if type(w).__name__ == "NewRun" and w.isVisible())
    words = [w.text() for w in form.findChildren(QLabel) if w.isVisible()]
    assert "Size of z" in words and "Optimizer steps" in words
    wanted = {w for w in focusable(form, Qt.FocusPolicy.TabFocus) if w.focusProxy() is None}
    reached = set()
    for _ in range(2 * len(wanted)):
        form.focusNextChild()
        reached.add(form.focusWidget())
    assert sorted(map(described, wanted - reached)) == []
    assert [described(w) for w in form.findChildren(QWidget) if w.isVisible() and cut(w)] == []
    assert any(isinstance(w, QLineEdit) for w in wanted)
    form.close()
