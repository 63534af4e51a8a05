"""Every colour, size and font of the window: the one place the style sheet, the pictures and the plots read.

`current()` is the theme in use, `use(...)` changes it at run time and `changed` tells whoever paints by hand. Widgets
keep no colour of their own: they ask `current()` whenever they paint.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, lru_cache
from string import Template

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

from dgm_studio.core.resources import resource

SPACE = (4, 8, 12, 16, 24)
RADIUS_CONTROL = 6
RADIUS_CARD = 10
TYPE = {"caption": 11, "secondary": 12, "body": 13, "title": 17}
REGULAR, STRONG = 400, 600
TEXT_FAMILY = "Inter"
FIGURE_FAMILY = "JetBrains Mono"
FONT_FILES = ("Inter-Regular.otf", "Inter-SemiBold.otf", "JetBrainsMono-Regular.ttf")
WAITING_AFTER_MS = 150

# formulas take a serif of the system, the text's own font where there is none
FORMULA_FAMILIES = '"STIX Two Text", "Cambria", "Times New Roman", "Liberation Serif", "DejaVu Serif", "Inter"'


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours by use, as `#RRGGBB`; `paper` and `ink` are what grey pictures are printed with."""

    bg0: str
    bg1: str
    bg2: str
    bg3: str
    line: str
    text: str
    text2: str
    accent: str
    accentbg: str
    onaccent: str
    live: str
    good: str
    bad: str
    paper: str
    ink: str


DARK = Palette(
    bg0="#14161A",
    bg1="#1A1D22",
    bg2="#23272E",
    bg3="#2D323B",
    line="#2F353F",
    text="#E8EAEE",
    text2="#A3ABB8",
    accent="#6EA8FE",
    accentbg="#22324A",
    onaccent="#101318",
    live="#FFB454",
    good="#5CCB94",
    bad="#FF7B72",
    paper="#14161A",
    ink="#E8EAEE",
)
LIGHT = Palette(
    bg0="#EFF1F4",
    bg1="#FFFFFF",
    bg2="#F3F5F8",
    bg3="#E6E9EF",
    line="#D9DDE5",
    text="#1B1F24",
    text2="#59616E",
    accent="#1A5FCC",
    accentbg="#E3EDFD",
    onaccent="#FFFFFF",
    live="#9A5200",
    good="#17754A",
    bad="#C9302C",
    paper="#FFFFFF",
    ink="#1B1F24",
)
PALETTES = {"dark": DARK, "light": LIGHT}

# Ten hues and lightnesses chosen together so that every pair stays apart for the three common kinds of colour
# blindness (simulated after Machado, Oliveira and Fernandes 2009) and on both palettes; a test measures it.
CATEGORIES = (
    "#D65801",
    "#846DFB",
    "#0B9F70",
    "#F1BB10",
    "#1ED7FF",
    "#8E2D1C",
    "#BBC6C1",
    "#673A9F",
    "#08675F",
    "#96809B",
)


@dataclass(frozen=True, slots=True)
class Theme:
    """A palette at a type scale (1 at the desk, up to 3 in a lecture hall)."""

    name: str
    scale: float = 1.0

    @property
    def palette(self) -> Palette:
        """The colours."""
        return PALETTES[self.name]

    @property
    def dark(self) -> bool:
        """Whether ink is lighter than paper."""
        return self.name == "dark"

    def colour(self, token: str, alpha: float = 1.0) -> QColor:
        """The colour of a token, for painting by hand.

        Args:
            token: A field of `Palette`.
            alpha: Opacity in [0, 1].
        """
        shade = QColor(getattr(self.palette, token))
        shade.setAlphaF(alpha)
        return shade

    def font(self, role: str = "body", *, strong: bool = False) -> QFont:
        """The text font in one of the sizes of `TYPE`."""
        return _font(TEXT_FAMILY, self.px(TYPE[role]), STRONG if strong else REGULAR)

    def figures(self, role: str = "secondary") -> QFont:
        """The tabular font, for numbers that change in place."""
        return _font(FIGURE_FAMILY, self.px(TYPE[role]), REGULAR)

    def px(self, size: float) -> int:
        """A length that grows with the text, in logical pixels."""
        return round(size * self.scale)

    def ink_table(self) -> list[int]:
        """256 ARGB words from paper (0) to ink (255): the colour table of grey pictures."""
        return list(_ramp(self.palette.paper, self.palette.ink))


class _Notifier(QObject):
    changed = Signal()


_notifier = _Notifier()
_theme = Theme("dark")
changed = _notifier.changed


def current() -> Theme:
    """The theme in use."""
    return _theme


def use(name: str | None = None, scale: float | None = None) -> None:
    """Dress the running application; what is left out stays.

    Args:
        name: "dark" or "light".
        scale: Factor on every type size, in [0.75, 4].

    Raises:
        ValueError: An unknown name or a scale outside its range.
    """
    global _theme
    wanted = Theme(name or _theme.name, _theme.scale if scale is None else scale)
    if wanted.name not in PALETTES or not 0.75 <= wanted.scale <= 4:
        raise ValueError(f"no theme {wanted.name} at scale {wanted.scale:g}")
    _theme = wanted
    _dress(wanted)
    changed.emit()


def _dress(theme: Theme) -> None:
    application = QApplication.instance()
    if not isinstance(application, QApplication):
        return
    load_fonts()
    if application.style().objectName() != "fusion":
        application.setStyle("fusion")
    application.setFont(theme.font())
    application.setPalette(_qt_palette(theme))
    application.setStyleSheet(style_sheet(theme))


def style_sheet(theme: Theme) -> str:
    """The Qt style sheet of a theme, from the template in `resources/styles`."""
    from dgm_studio.gui import icons

    palette = theme.palette
    values: dict[str, object] = {f.name: getattr(palette, f.name) for f in fields(palette)}
    values |= {role: f"{theme.px(size)}px" for role, size in TYPE.items()}
    values |= {f"px{n}": f"{theme.px(n)}px" for n in (12, 14, 16, 20, 24, 28, 30, 32)}
    values |= {"family": TEXT_FAMILY, "figures": FIGURE_FAMILY, "serif": FORMULA_FAMILIES}
    values |= {"control": f"{RADIUS_CONTROL}px", "card": f"{RADIUS_CARD}px"}
    for name, shade in (("chevron-down", "text2"), ("chevron-up", "text2"), ("check", "onaccent")):
        values[name.replace("-", "_")] = icons.tinted_file(name, getattr(palette, shade))
    return Template(resource("styles", "studio.qss").read_text(encoding="utf-8")).substitute(values)


@cache
def load_fonts() -> tuple[str, ...]:
    """Register the bundled fonts with Qt; returns their families.

    Raises:
        FileNotFoundError: A font file is missing or unreadable.
    """
    families: list[str] = []
    for name in FONT_FILES:
        path = resource("styles", "fonts", name)
        number = QFontDatabase.addApplicationFont(str(path))
        if number < 0:
            raise FileNotFoundError(f"the font {name} cannot be read")
        families += QFontDatabase.applicationFontFamilies(number)
    return tuple(families)


@lru_cache(maxsize=64)
def _font(family: str, pixels: int, weight: int) -> QFont:
    font = QFont(family)
    font.setPixelSize(pixels)
    font.setWeight(QFont.Weight(weight))
    font.setStyleHint(QFont.StyleHint.Monospace if family == FIGURE_FAMILY else QFont.StyleHint.SansSerif)
    return font


def _qt_palette(theme: Theme) -> QPalette:
    role = QPalette.ColorRole
    chosen = {
        role.Window: "bg0",
        role.WindowText: "text",
        role.Base: "bg2",
        role.AlternateBase: "bg1",
        role.Text: "text",
        role.Button: "bg2",
        role.ButtonText: "text",
        role.PlaceholderText: "text2",
        role.Highlight: "accent",
        role.HighlightedText: "onaccent",
        role.ToolTipBase: "bg2",
        role.ToolTipText: "text",
        role.Link: "accent",
        role.Mid: "line",
        role.Light: "bg3",
        role.Dark: "bg0",
    }
    palette = QPalette()
    for which, token in chosen.items():
        palette.setColor(which, theme.colour(token))
    for which in (role.Text, role.ButtonText, role.WindowText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, theme.colour("text2", 0.6))
    return palette


def category(index: int) -> QColor:
    """The colour of a class; the same class has the same colour in every panel. Repeats after ten."""
    return QColor(CATEGORIES[index % len(CATEGORIES)])


@lru_cache(maxsize=256)
def _visible(shade: str, ground: str, least: float) -> str:
    lighter = luminance(ground) < 0.18
    colour = QColor(shade)
    for _ in range(40):
        if contrast(colour.name(), ground) >= least:
            break
        lightness = colour.lightnessF() + (0.02 if lighter else -0.02)
        colour = QColor.fromHslF(colour.hslHueF(), colour.hslSaturationF(), min(1.0, max(0.0, lightness)))
    return colour.name()


def line_colour(shade: str, least: float = 3.0) -> QColor:
    """A colour as a line or a dot shows it: moved until it stands out from a card, 3 to 1 (WCAG 2.1, 1.4.11)."""
    return QColor(_visible(shade, _theme.palette.bg1, least))


@cache
def _lookup(name: str) -> npt.NDArray[np.uint8]:
    import pyqtgraph as pg  # a third of a second that the window's first paint does not wait for

    table = np.asarray(pg.colormap.get(name).getLookupTable(nPts=256, alpha=False), dtype=np.uint8)
    table.setflags(write=False)
    return table


def sequential(name: str = "viridis") -> npt.NDArray[np.uint8]:
    """A perceptually uniform map as uint8 [256, 3]: "viridis" or "cividis" (both CC0), "magma"."""
    return _lookup(name)


def diverging() -> npt.NDArray[np.uint8]:
    """Blue through the theme's neutral to orange as uint8 [256, 3]; 127.5 is zero."""
    middle = _rgb(current().palette.bg3)
    low, high = _rgb("#3B7DD8"), _rgb("#E08A2C")
    position = np.linspace(-1, 1, 256)[:, None]
    ends = np.where(position < 0, low, high)
    return np.rint(middle + (ends - middle) * np.abs(position)).astype(np.uint8)


def colour_table(table: npt.NDArray[np.uint8]) -> list[int]:
    """A [256, 3] table as the ARGB words of `QImage.setColorTable`."""
    rgb = table.astype(np.uint32)
    words = 0xFF000000 | (rgb[:, 0] << 16) | (rgb[:, 1] << 8) | rgb[:, 2]
    return [int(w) for w in words]


@lru_cache(maxsize=8)
def _ramp(paper: str, ink: str) -> tuple[int, ...]:
    low, high = _rgb(paper), _rgb(ink)
    share = np.linspace(0, 1, 256)[:, None]
    return tuple(colour_table(np.rint(low + (high - low) * share).astype(np.uint8)))


def _rgb(shade: str) -> npt.NDArray[np.float64]:
    colour = QColor(shade)
    return np.array([colour.red(), colour.green(), colour.blue()], dtype=np.float64)


def luminance(shade: str) -> float:
    """Relative luminance of a colour in [0, 1] (WCAG 2.1, sRGB transfer of IEC 61966-2-1)."""
    channel = _rgb(shade) / 255
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1).

    >>> round(contrast("#000000", "#FFFFFF"))
    21
    """
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
