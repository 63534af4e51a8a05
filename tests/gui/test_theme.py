"""Colours that can be read and told apart, fonts that come with the program, one switch for everything."""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from PySide6.QtGui import QColor, QFontInfo, QFontMetrics
from PySide6.QtWidgets import QApplication, QWidget

from dgm_studio.gui import icons, theme
from dgm_studio.gui.widgets.iconbutton import IconButton
from dgm_studio.gui.widgets.labels import label

Colours = npt.NDArray[np.float64]

# Severity 1.0 of Machado, Oliveira and Fernandes (2009), table 1, on linear RGB
SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


@pytest.fixture(autouse=True)
def desk(qapp: QApplication) -> Iterator[None]:
    theme.use("dark", 1.0)
    yield
    theme.use("dark", 1.0)


def linear(shade: str) -> Colours:
    channel = np.array([int(shade[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)


def lab(rgb: Colours) -> Colours:
    xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    t = (xyz @ np.clip(rgb, 0, 1)) / xyz.sum(axis=1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(one: Colours, other: Colours) -> float:
    """Sharma, Wu and Dalal (2005)."""
    (l1, a1, b1), (l2, a2, b2) = one.tolist(), other.tolist()
    mean_c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    dh = (h2 - h1 + 180) % 360 - 180
    big_dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    mean_l, c, h = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + dh / 2) % 360
    t = 1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h))
    t += 0.32 * np.cos(np.radians(3 * h + 6)) - 0.2 * np.cos(np.radians(4 * h - 63))
    sl = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    turn = -2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2))))
    dl, dc = (l2 - l1) / sl, (c2 - c1) / sc
    return float(np.sqrt(dl**2 + dc**2 + (big_dh / sh) ** 2 + turn * dc * big_dh / sh))


def test_the_colour_difference_agrees_with_published_pairs() -> None:
    """Two rows of table 1 of Sharma, Wu and Dalal (2005), so that the test below measures what it says."""
    assert ciede2000(np.array([50, 2.6772, -79.7751]), np.array([50, 0, -82.7485])) == pytest.approx(2.0425, abs=1e-4)
    assert ciede2000(np.array([50, 2.5, 0]), np.array([73, 25, -18])) == pytest.approx(27.1492, abs=1e-4)


@pytest.mark.parametrize("name", theme.PALETTES)
def test_every_text_colour_is_readable_on_every_surface_it_stands_on(name: str) -> None:
    shades = theme.PALETTES[name]
    for ink in (shades.text, shades.text2):
        for surface in (shades.bg0, shades.bg1, shades.bg2):
            assert theme.contrast(ink, surface) >= 4.5, (ink, surface)
    for ink in (shades.accent, shades.live, shades.good, shades.bad):
        assert theme.contrast(ink, shades.bg1) >= 4.5, ink
    assert theme.contrast(shades.onaccent, shades.accent) >= 4.5
    assert theme.contrast(shades.text, shades.accentbg) >= 4.5


def test_the_ten_classes_can_be_told_apart_with_every_kind_of_sight() -> None:
    colours = [linear(shade) for shade in theme.CATEGORIES]
    assert len(set(theme.CATEGORIES)) == 10
    for sight, matrix in SIGHT.items():
        seen = [lab(matrix @ rgb) for rgb in colours]
        closest = min(ciede2000(a, b) for a, b in combinations(seen, 2))
        assert closest >= 15, (sight, closest)


def test_class_colours_stand_out_from_both_papers() -> None:
    for shade in theme.CATEGORIES:
        for palette in theme.PALETTES.values():
            assert theme.contrast(shade, palette.paper) >= 1.6, shade


def test_sequential_maps_rise_in_lightness_at_every_step() -> None:
    for name in ("viridis", "cividis"):
        table = theme.sequential(name)
        lightness = [lab(linear(f"#{r:02X}{g:02X}{b:02X}"))[0] for r, g, b in table.tolist()]
        smooth = np.convolve(lightness, np.ones(9) / 9, "valid")
        assert table.shape == (256, 3) and np.all(np.diff(smooth) > 0)
    assert theme.sequential("viridis")[0].tolist() == [68, 1, 84]
    assert theme.sequential("viridis")[-1].tolist() == [253, 231, 36] or theme.sequential("viridis")[-1].tolist() == [
        253,
        231,
        37,
    ]


def test_grey_pictures_run_from_paper_to_ink() -> None:
    for name, palette in theme.PALETTES.items():
        theme.use(name)
        table = theme.current().ink_table()
        assert len(table) == 256
        assert QColor(table[0]) == QColor(palette.paper) and QColor(table[255]) == QColor(palette.ink)


def test_text_and_figures_are_set_in_the_bundled_fonts_and_figures_do_not_jump() -> None:
    assert {"Inter", "JetBrains Mono"} <= set(theme.load_fonts())
    look = theme.current()
    assert QFontInfo(look.font()).family() == "Inter"
    assert QFontInfo(look.figures()).family() == "JetBrains Mono"
    metrics = QFontMetrics(look.figures())
    assert len({metrics.horizontalAdvance(figure * 4) for figure in "0123456789"}) == 1
    strong = QFontMetrics(look.font(strong=True)).horizontalAdvance("Latent space")
    assert strong > QFontMetrics(look.font()).horizontalAdvance("Latent space")


def test_a_new_theme_reaches_labels_buttons_and_whoever_listens(adopt: Callable[[QWidget], QWidget]) -> None:
    window = adopt(QWidget())
    words, button = label("10 nats", "figures", window), IconButton("play", "Play", window)
    window.show()
    heard: list[str] = []

    def listen() -> None:
        heard.append(theme.current().name)

    theme.changed.connect(listen)
    before, height = words.palette().color(words.foregroundRole()), words.sizeHint().height()
    old_icon = button.icon().pixmap(32).toImage()
    theme.use("light", 3.0)
    theme.changed.disconnect(listen)
    assert heard == ["light"]
    assert words.palette().color(words.foregroundRole()) != before
    assert words.sizeHint().height() >= 2.5 * height
    assert button.icon().pixmap(32).toImage() != old_icon
    assert button.iconSize().width() == 48


def test_a_theme_that_does_not_exist_is_refused_and_changes_nothing() -> None:
    for wrong in ({"name": "sepia"}, {"scale": 9.0}, {"scale": float("nan")}):
        with pytest.raises(ValueError):
            theme.use(**wrong)  # type: ignore[arg-type]
    assert theme.current() == theme.Theme("dark", 1.0)


def test_every_icon_draws_something_inside_its_grid_in_the_colour_asked_for() -> None:
    names = icons.names()
    assert len(names) >= 50
    for name in names:
        image = icons.pixmap(name, "#FF0000", 64).toImage()
        alpha = np.array([[image.pixelColor(x, y).alpha() for x in range(64)] for y in range(64)])
        assert alpha.max() > 200, name
        assert alpha[0].max() < 40 and alpha[-1].max() < 40 and alpha[:, 0].max() < 40 and alpha[:, -1].max() < 40, name
        y, x = np.unravel_index(alpha.argmax(), alpha.shape)
        assert image.pixelColor(int(x), int(y)).red() > 200, name


def test_the_style_sheet_has_no_word_left_unfilled_and_no_colour_of_its_own() -> None:
    for name, palette in theme.PALETTES.items():
        sheet = theme.style_sheet(theme.Theme(name, 1.5))
        assert "$" not in sheet
        assert palette.accent in sheet and palette.bg0 in sheet
    raw = (theme.resource("styles", "studio.qss")).read_text(encoding="utf-8").split("*/", 1)[1]
    assert "rgb(" not in raw and not any(
        len(part) >= 6 and part[:6].isalnum() and part[:6].isupper() for part in raw.split("#")[1:]
    )


def test_fonts_carry_their_licences() -> None:
    folder = theme.resource("styles", "fonts")
    for family in ("Inter", "JetBrainsMono"):
        assert "SIL OPEN FONT LICENSE" in (folder / f"{family}-OFL.txt").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000


def test_exported_pictures_have_the_ink_and_paper_of_the_window() -> None:
    from dgm_studio.core import pictures

    for name, palette in theme.PALETTES.items():
        for word, table in (("paper", pictures.PAPER), ("ink", pictures.INK)):
            assert getattr(palette, word).upper() == "#{:02X}{:02X}{:02X}".format(*table[name])
