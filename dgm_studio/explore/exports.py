"""Files made of what a request shows: pictures, films and arrays, each with its recipe inside."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dgm_studio.core import atomic, pictures, recipes, requests
from dgm_studio.core.recipes import Recipe
from dgm_studio.core.requests import Export
from dgm_studio.core.updates import Frame, Problem, Progress, Result, Update
from dgm_studio.explore import sheets
from dgm_studio.explore.answers import answers

if TYPE_CHECKING:
    from dgm_studio.explore.workbench import Workbench

Bytes = npt.NDArray[np.uint8]
ENDINGS = (".png", ".gif", ".webp", ".mp4", ".npz")
LARGEST_SCALE = 64
# They show nothing that a file could hold.
WORK = (requests.Train, requests.Evaluate, requests.Export, requests.ExportMetrics)
LEAST_SECONDS, MOST_SECONDS = 0.1, 600.0
CRF = 16  # of H.264; visually lossless


@answers(Export, grad=True)
def export(bench: Workbench, asked: Export) -> Iterator[Update]:
    """Answer the request, lay its Frames out and write them; nothing is left behind when it is stopped."""
    path = Path(asked.path).expanduser()
    inner = _checked(asked, path)
    frames: dict[str, dict[str, Any]] = {}
    for update in bench.answer(inner):
        if isinstance(update, Frame):
            frames[update.topic] = update.data
            yield Progress(0, 0, "Making the pictures")
        elif isinstance(update, Progress):
            yield update
    recipe = _recipe(bench, asked, inner)
    yield Progress(1, 2, f"Writing {path.name}")
    temporary = atomic.temporary_for(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield from _write(temporary, path.suffix.lower(), frames, asked, recipe)
            atomic.settle(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise Problem(f"{path} cannot be written ({error.strerror or error}).", "Choose another place.") from error
    yield Result(str(path))


def _checked(asked: Export, path: Path) -> Any:
    """The request inside, after everything that can be refused before any work was refused."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise Problem(f"Files ending in {ending or 'nothing'} cannot be written.", f"Choose {', '.join(ENDINGS)}.")
    if ending == ".mp4":
        _video()
    if asked.theme not in pictures.PAPER:
        raise Problem(f"There is no theme {asked.theme!r}.", f"Choose {' or '.join(sorted(pictures.PAPER))}.")
    if not 1 <= asked.scale <= LARGEST_SCALE:
        raise Problem(f"Pictures cannot be enlarged {asked.scale} times.", f"Choose 1 to {LARGEST_SCALE}.")
    if not LEAST_SECONDS <= asked.seconds <= MOST_SECONDS:
        raise Problem(f"A loop cannot last {asked.seconds:g} s.", f"Choose {LEAST_SECONDS:g} to {MOST_SECONDS:g}.")
    inner = requests.from_json(asked.ask)
    if isinstance(inner, WORK):
        raise Problem("This request works and shows no picture.", "Export what a panel shows.")
    return inner


def _recipe(bench: Workbench, asked: Export, inner: Any) -> Recipe:
    key = getattr(inner, "model", "")
    return recipes.recipe_of(
        inner,
        bench.card(key) if key else None,
        theme=asked.theme,
        scale=asked.scale,
        seconds=asked.seconds,
        panel=asked.panel,
        state=asked.state,
    )


def _write(
    path: Path, ending: str, frames: dict[str, dict[str, Any]], asked: Export, recipe: Recipe
) -> Generator[Progress, None, None]:
    if ending == ".npz":
        with path.open("wb") as file:
            # Stored, not deflated: the recipe is found by looking for its first bytes.
            np.savez(file, **sheets.arrays(frames), recipe=np.bytes_(recipes.to_text(recipe)))  # type: ignore[arg-type]
    elif ending == ".png":
        path.write_bytes(png(sheets.still(frames, asked.theme, asked.scale), recipe))
    else:
        shots = sheets.film(frames, asked.theme, asked.scale)
        yield Progress(1, 2, f"{len(shots)} pictures")
        if ending == ".mp4":
            yield from _write_mp4(path, shots, asked, recipe)
        else:
            write = gif if ending == ".gif" else webp
            path.write_bytes(write(shots, asked.seconds, recipe))


def png(picture: Bytes, recipe: Recipe) -> bytes:
    """A picture [H, W, 3] as PNG with its recipe."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return recipes.embed(out.getvalue(), ".png", recipe)


def gif(shots: Bytes, seconds: float, recipe: Recipe) -> bytes:
    """Pictures [T, H, W, 3] as a looping GIF; exact when they have at most 256 colours together, as grey ones do."""
    frames = _with_palette(shots)
    out = io.BytesIO()
    hundredths = max(2, round(100 * seconds / len(shots)))  # viewers slow down what is shorter
    frames[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=10 * hundredths,
        loop=0,
        optimize=False,
        disposal=1,
    )
    return recipes.embed(out.getvalue(), ".gif", recipe)


def _with_palette(shots: Bytes) -> list[Image.Image]:
    packed = shots.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return [Image.fromarray(shot).quantize(256) for shot in shots]
    table = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8)
    frames = []
    for shot in index.reshape(packed.shape).astype(np.uint8):
        frame = Image.frombytes("P", (shot.shape[1], shot.shape[0]), shot.tobytes())
        frame.putpalette(table.tobytes())
        frames.append(frame)
    return frames


def webp(shots: Bytes, seconds: float, recipe: Recipe) -> bytes:
    """Pictures [T, H, W, 3] as a looping lossless WebP."""
    frames = [Image.fromarray(shot) for shot in shots]
    out = io.BytesIO()
    duration = max(1, round(1000 * seconds / len(shots)))
    frames[0].save(
        out,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=duration,
        loop=0,
        lossless=True,
        method=2,
        xmp=recipes.xmp(recipe),
    )
    return out.getvalue()


def _write_mp4(path: Path, shots: Bytes, asked: Export, recipe: Recipe) -> Generator[Progress, None, None]:
    """Pictures [T, H, W, 3] as H.264, padded with paper to even sides; a frame between two yields."""
    av = _video()
    shots = np.pad(shots, ((0, 0), (0, shots.shape[1] % 2), (0, shots.shape[2] % 2), (0, 0)), mode="edge")
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["comment"] = recipes.to_text(recipe)
        rate = Fraction(len(shots) / asked.seconds).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(CRF)})
        stream.height, stream.width = shots.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for done, shot in enumerate(shots):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(shot), format="rgb24")))
            yield Progress(done + 1, len(shots), "Writing the film")
        container.mux(stream.encode())


def _video() -> Any:
    """The library that writes films.

    Raises:
        Problem: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise Problem(
            "MP4 films need an extra that is not installed.",
            'Install it with: pip install "dgm-studio[video]". GIF and WebP work without.',
        ) from error
    return av
