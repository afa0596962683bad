"""Pictures: the one place where they are drawn and encoded, with few colours and below a size.

A picture never carries alone what it shows: its numbers stand in the answer beside it, and inside the file as its
description, and the answer names the resource that holds the whole of it (`addresses`).
"""

from __future__ import annotations

import csv
import io
import math
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ToolFailure, require
from .legible import inert

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

# What a model is shown: base64 makes a third more of it, and some hosts count it as text. A resource may be larger.
SMALL, WHOLE = 36_000, 1_000_000
DPI = 100
SMALLEST_SIDE = 64
COLOURS = (64, 32, 16)
# A file of few bytes may claim to be a picture that fills the memory.
MOST_PIXELS = 50_000_000
# No more are tried than a byte may stand for, or than a screen shows.
PIXELS_A_BYTE, SCREEN = 30, 4_000_000
DESCRIPTION = "Description"
LABEL = 30
# Names come from outside: a dollar in one starts no formula.
STYLE: Mapping[Any, bool] = {"text.parse_math": False, "text.usetex": False}


@dataclass(frozen=True)
class Picture:
    """An encoded picture; `kind` is what stands behind `image/` in its media type."""

    data: bytes
    kind: str = "png"


def require_drawing() -> None:
    """Raises NotInstalled where matplotlib, which brings Pillow, is missing."""
    require("matplotlib")


def label(name: object, most: int = LABEL) -> str:
    """A name as it is drawn: in one line, without what has no glyph, and cut in its middle."""
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in str(name)).split())
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The numbers of a picture as CSV, to six digits, with no cell that a spreadsheet would calculate."""
    written = io.StringIO()
    sheet = csv.writer(written, lineterminator="\n")
    sheet.writerow(map(inert, names))
    sheet.writerows(map(_cell, row) for row in rows)
    return written.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return inert(value) if isinstance(value, str) else value


def drawn(draw: Callable[[Figure], None], shows: str, most: int = SMALL) -> Picture:
    """A PNG of what `draw` puts on a figure, whose size is for it to set.

    Args:
        shows: the numbers of the picture, which are its description in the file; left out where they would take more
            than half of it.
        most: its bytes; only a picture of `SMALLEST_SIDE` pixels may have more.

    Raises:
        NotInstalled: matplotlib is missing.
    """
    require_drawing()
    import matplotlib.pyplot as plt

    with plt.rc_context(dict(STYLE)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks, and layouts that do not fit
        figure = plt.figure()
        try:
            draw(figure)
            return Picture(_fitted(lambda scale: _rendered(figure, scale), most, shows))
        finally:
            plt.close(figure)


def shown(data: bytes, most: int = SMALL) -> Picture:
    """An image from elsewhere: as it is if it is small enough, else as a PNG that is.

    Raises:
        ToolFailure: it is no image, a broken one, or one of too many pixels.
    """
    image = _opened(data)
    kind = str(image.format).lower()
    if len(data) <= most and kind in ("png", "jpeg", "gif", "webp"):
        return Picture(data, kind)
    return Picture(_shrunk(image, most))


def whole(data: bytes) -> bytes:
    """An image from elsewhere as a PNG, in full as far as `WHOLE` bytes allow. Raises ToolFailure as `shown` does."""
    image = _opened(data)
    return data if image.format == "PNG" and len(data) <= WHOLE else _shrunk(image, WHOLE)


def _shrunk(image: Image, most: int) -> bytes:
    pixels = min(most * PIXELS_A_BYTE, SCREEN)
    scale = min(1.0, math.sqrt(pixels / (image.width * image.height)))
    return _fitted(lambda size: _scaled(image, size), most, _about(image), scale)


def described(data: bytes) -> str:
    """What the description of an image says, which for the pictures of this module are its numbers."""
    return _about(_opened(data))


def _about(image: Image) -> str:
    return str(image.info.get(DESCRIPTION, ""))


def _opened(data: bytes) -> Image:
    require_drawing()
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
        image.load()
    # SyntaxError: how Pillow says that a PNG is broken
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        why = "it is no image" if isinstance(error, UnidentifiedImageError) else str(error)[:200]
        raise ToolFailure(f"the file cannot be shown: {why}", "Log a PNG, JPEG, GIF or WebP.") from error
    return image


def _rendered(figure: Figure, scale: float) -> Image:
    from PIL import Image

    rough = io.BytesIO()
    figure.savefig(rough, format="png", dpi=DPI * scale, bbox_inches="tight", pil_kwargs={"compress_level": 0})
    return Image.open(rough).convert("RGB")


def _scaled(image: Image, scale: float) -> Image:
    from PIL import Image

    solid = image.convert("RGBA")
    ground = Image.new("RGBA", solid.size, "white")
    ground.alpha_composite(solid)
    size = tuple(max(1, round(side * scale)) for side in solid.size)
    return ground.convert("RGB").resize((size[0], size[1]))


def _fitted(render: Callable[[float], Image], most: int, shows: str, scale: float = 1.0) -> bytes:
    """The largest rendering that fits, as an estimate from one to the next says, and with fewer colours first."""
    if 2 * len(zlib.compress(shows.encode())) > most:
        shows = ""
    while True:
        image = render(scale)
        encoded = _encoded(image, COLOURS[0], shows)
        for colours in COLOURS[1:]:
            if most < len(encoded) <= 2 * most:
                encoded = _encoded(image, colours, shows)
        if len(encoded) <= most or min(image.size) <= SMALLEST_SIDE:
            return encoded
        scale *= max(0.4, 0.95 * math.sqrt(most / len(encoded)))


def _encoded(image: Image, colours: int, shows: str) -> bytes:
    from PIL.Image import Dither
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    if shows:
        about.add_itxt(DESCRIPTION, shows, zip=True)
    encoded = io.BytesIO()
    image.quantize(colours, dither=Dither.NONE).save(encoded, format="PNG", optimize=True, pnginfo=about)
    return encoded.getvalue()
