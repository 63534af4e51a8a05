"""Forms give back what they were given, refuse what is out of range, and every widget has a name."""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QLineEdit, QWidget

from dgm_studio.core.cards import Symbol
from dgm_studio.core.forms import FormError, build, fields_of, option
from dgm_studio.gui import theme, widgets
from dgm_studio.gui.form import Form
from dgm_studio.gui.widgets.card import Card
from dgm_studio.gui.widgets.chip import Chip
from dgm_studio.gui.widgets.curvecontrols import CurveControls
from dgm_studio.gui.widgets.curves import Curves
from dgm_studio.gui.widgets.drawcanvas import DrawCanvas
from dgm_studio.gui.widgets.filmstrip import FilmStrip
from dgm_studio.gui.widgets.fold import Fold
from dgm_studio.gui.widgets.headsup import HeadsUp
from dgm_studio.gui.widgets.heatmap import HeatMap
from dgm_studio.gui.widgets.iconbutton import Button
from dgm_studio.gui.widgets.jobrow import JobRow
from dgm_studio.gui.widgets.labels import ElidedLabel
from dgm_studio.gui.widgets.latentslider import LatentSlider
from dgm_studio.gui.widgets.mathview import MathView
from dgm_studio.gui.widgets.picturegrid import PictureGrid
from dgm_studio.gui.widgets.pictureview import PictureView
from dgm_studio.gui.widgets.plane import PlaneView
from dgm_studio.gui.widgets.runtree import RunNode, RunTree
from dgm_studio.gui.widgets.scrubber import Scrubber
from dgm_studio.gui.widgets.searchfield import SearchField
from dgm_studio.gui.widgets.segmented import SegmentedControl
from dgm_studio.gui.widgets.stateframe import StateFrame
from dgm_studio.gui.widgets.toast import Toast
from dgm_studio.gui.widgets.transport import Transport
from dgm_studio.gui.widgets.valueslider import ValueSlider

Adopt = Callable[[QWidget], QWidget]


@dataclass(frozen=True)
class Config:
    latent: int = option(16, "Size of z", low=1, high=512)
    beta: float = option(1.0, "Weight of the KL term", low=0.0, high=100.0)
    rate: float = option(3e-4, "Step size", low=1e-6, high=1.0, log=True)
    prior: str = option("normal", "Prior over z", choices=("normal", "mixture", "vamp"))
    binarise: bool = option(True, "Draw pixels anew")
    hidden: tuple[int, ...] = option((256, 128), "Widths", low=1, high=4096)
    note: str = option("", "A word of your own", group="More")


@pytest.fixture(autouse=True)
def desk(qapp: QApplication) -> Iterator[None]:
    theme.use("dark", 1.0)
    yield
    theme.use("dark", 1.0)


@pytest.fixture
def form(adopt: Adopt) -> Form:
    made = Form(fields_of(Config))
    adopt(made)
    made.show()
    return made


def test_a_form_gives_back_the_defaults_and_whatever_it_is_given(form: Form) -> None:
    assert build(Config, form.values()) == Config() and form.changed_values() == {}
    wanted = Config(latent=3, beta=0.1 + 0.2, rate=1e-5, prior="vamp", binarise=False, hidden=(7,), note="x = 1")
    told: list[None] = []
    form.changed.connect(lambda: told.append(None))
    form.set_values({name: getattr(wanted, name) for name in form.names()})
    assert build(Config, form.values()) == wanted and told == []
    assert set(form.changed_values()) == set(form.names())
    form.reset()
    assert build(Config, form.values()) == Config() and len(told) == 1


def test_typing_out_of_range_is_refused_under_the_field_and_typing_on_heals_it(form: Form) -> None:
    field = form.editor("latent")
    assert isinstance(field, QLineEdit)
    field.selectAll()
    QTest.keyClicks(field, "9999")
    assert list(form.refusals()) == ["latent"] and "512" in form.refusals()["latent"]
    with pytest.raises(FormError):
        form.values()
    field.selectAll()
    QTest.keyClicks(field, "99")
    assert form.refusals() == {} and form.values()["latent"] == 99
    for name, wrong in (("beta", "nan"), ("rate", "0"), ("hidden", "64, -2"), ("latent", "1.5"), ("beta", "many")):
        line = form.editor(name)
        assert isinstance(line, QLineEdit)
        line.selectAll()
        QTest.keyClicks(line, wrong)
        assert name in form.refusals(), (name, wrong)
        form.reset()
        assert form.refusals() == {}


def test_each_kind_of_field_has_its_widget_its_help_and_its_range(form: Form) -> None:
    assert isinstance(form.editor("prior"), QComboBox) and isinstance(form.editor("binarise"), QCheckBox)
    assert "Size of z" in form.editor("latent").toolTip() and "from 1 to 512" in form.editor("latent").toolTip()
    told: list[None] = []
    form.changed.connect(lambda: told.append(None))
    QTest.keyClick(form.editor("binarise"), Qt.Key.Key_Space)
    assert form.values()["binarise"] is False and len(told) == 1


def one_of_each(window: QWidget) -> list[QWidget]:
    plot = Curves("Loss", parent=window)
    plot.append("train", [0, 1], [1.0, 0.5])
    heat = HeatMap("KL", window, unit="nats")
    heat.set_numbers(np.ones((2, 3)), ["a", "b"], [0, 1, 2])
    tree = RunTree(parent=window)
    tree.set_nodes([RunNode("a", "run 1", "", 0, 5, "live", "1.0 nats")])
    maths = MathView(window)
    maths.set_objective("x<sub>1</sub>", [Symbol("x", "a thing", "metric:x")])
    frame = StateFrame(PictureView("Framed"), window)
    frame.show_error("It failed.", "Try again", "why")
    job, ups, strip = JobRow("run 14", window), HeadsUp(window), FilmStrip("Frames", window)
    job.set_progress(1, 2, "41 steps/s", 127)
    ups.set_figures({"queue": "0"})
    strip.set_frames(np.zeros((5, 4, 4), np.uint8))
    toast = Toast(window)
    toast.say("Bookmark deleted.", "Undo")
    rest = [
        Card("Title", window),
        Chip("vae", window, closable=True),
        DrawCanvas("Digit", parent=window),
        Fold("More", window),
        Button("Fork here", window, icon="fork"),
        ElidedLabel("words", "", window),
        LatentSlider("z00", window),
        ValueSlider("Rate", 0, 1, 0.5, window),
        PictureGrid("Samples", window),
        PictureView("Picture", window, clickable=True),
        PlaneView("Map", window),
        Scrubber(parent=window),
        SearchField("Search", window, shortcut="Ctrl+K"),
        SegmentedControl(("a", "b"), "Axes", window),
        Transport(window),
        CurveControls(plot, parent=window),
        Form(fields_of(Config), window),
    ]
    return [plot, heat, tree, maths, frame, job, ups, strip, toast, *rest]


def test_every_widget_that_takes_the_focus_has_a_name_and_most_draw_a_ring(adopt: Adopt) -> None:
    window = adopt(QWidget())
    one_of_each(window)
    inner = ("qt_spinbox_lineedit", "qt_scrollarea_viewport")
    nameless = [
        f"{type(widget).__name__} in {type(widget.parent()).__name__}"
        for widget in window.findChildren(QWidget)
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and not widget.accessibleName()
        and widget.objectName() not in inner
        and type(widget.parent()).__name__ != "QComboBoxPrivateContainer"
    ]
    assert nameless == [], nameless


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_every_widget_paints_in_both_themes_also_when_it_is_tiny_or_switched_live(adopt: Adopt, scale: float) -> None:
    window = adopt(QWidget())
    window.resize(900, 700)
    all_of_them = one_of_each(window)
    window.show()
    for name in ("dark", "light"):
        theme.use(name, scale)
        for widget in all_of_them:
            for width, height in ((1, 1), (40, 20), (300, 200)):
                widget.resize(width, height)
                assert not widget.grab().isNull()
    QTest.qWait(60)


def test_the_focus_is_seen_on_every_hand_painted_control(adopt: Adopt) -> None:
    window = adopt(QWidget())
    controls = [
        SegmentedControl(("a", "b"), "Axes", window),
        Chip("vae", window),
        PictureGrid("Samples", window),
        FilmStrip("Frames", window),
        DrawCanvas("Digit", parent=window),
        HeatMap("KL", window),
        PlaneView("Map", window),
        RunTree(parent=window),
        PictureView("Picture", window, clickable=True),
    ]
    other = QLineEdit(window)
    window.show()
    window.activateWindow()
    QTest.qWaitForWindowActive(window)
    for control in controls:
        control.resize(120, 120)
        other.setFocus()
        plain = control.grab().toImage()
        control.setFocus()
        assert control.hasFocus() and control.grab().toImage() != plain, type(control).__name__


def test_text_that_does_not_fit_is_elided_and_told_in_full(adopt: Adopt) -> None:
    window = adopt(QWidget())
    words = "a run with a name that goes on and on"
    label, button = ElidedLabel(words, "", window), Button(words, window)
    window.show()
    for widget in (label, button):
        widget.resize(2000, 30)
        assert widget.toolTip() == ""
        widget.resize(80, 30)
        assert widget.toolTip() == words
    assert label.shown().endswith("\N{HORIZONTAL ELLIPSIS}")


def test_a_search_tells_once_after_a_pause_and_a_toast_can_be_undone(adopt: Adopt) -> None:
    window = adopt(QWidget())
    field, toast = SearchField("Search", window), Toast(window)
    window.resize(400, 200)
    window.show()
    told: list[str] = []
    field.searched.connect(told.append)
    QTest.keyClicks(field, " vae ")
    QTest.qWait(200)
    assert told == ["vae"]
    QTest.keyClick(field, Qt.Key.Key_Escape)
    QTest.qWait(200)
    assert told == ["vae", ""]
    undone: list[None] = []
    toast.acted.connect(lambda: undone.append(None))
    toast.say("Bookmark deleted.", "Undo")
    assert toast.isVisible() and window.rect().contains(toast.geometry())
    QTest.mouseClick(toast._button, Qt.MouseButton.LeftButton)
    assert undone == [None] and not toast.isVisible()


def test_a_job_row_asks_for_what_its_state_allows(adopt: Adopt) -> None:
    row = JobRow("run 14")
    adopt(row)
    row.show()
    row.set_progress(8200, 13400, "41 steps/s", 127)
    assert row._figures.text() == "8,200 / 13,400 · 41 steps/s · 2 min 07 s left"
    story: list[str] = []
    row.paused.connect(lambda: story.append("pause"))
    row.resumed.connect(lambda: story.append("go on"))
    row.retried.connect(lambda: story.append("again"))
    row.stopped.connect(lambda: story.append("stop"))
    for state in ("running", "paused", "failed"):
        row.set_state(state)
        QTest.mouseClick(row._pause, Qt.MouseButton.LeftButton)
    QTest.mouseClick(row._stop, Qt.MouseButton.LeftButton)
    assert story == ["pause", "go on", "again", "stop"]


def test_no_widget_module_needs_torch_or_is_longer_than_500_lines() -> None:
    for entry in pkgutil.iter_modules(widgets.__path__):
        source = inspect.getsource(import_module(f"{widgets.__name__}.{entry.name}"))
        assert source.count("\n") <= 500, entry.name
        assert "import torch" not in source
