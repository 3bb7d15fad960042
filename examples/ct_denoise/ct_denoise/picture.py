"""Images side by side as one labelled PNG."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CAPTION_PIXELS = 44
GAP_PIXELS = 8
FONT_PIXELS = 15


@dataclass(frozen=True, slots=True)
class Panel:
    """An image (height, width) shown between two values, black to white, under a caption of up to two lines."""

    caption: str
    image: NDArray[np.floating]
    low: float
    high: float

    def grey(self) -> NDArray[np.uint8]:
        """The image in 256 greys."""
        return (np.clip((self.image - self.low) / (self.high - self.low), 0, 1) * 255).round().astype(np.uint8)


def side_by_side(panels: list[Panel], path: Path, width: int = 384) -> None:
    """Write the panels next to each other, each about ``width`` pixels wide, magnified by whole numbers."""
    factor = max(1, round(width / panels[0].image.shape[1]))
    height, across = (factor * n for n in panels[0].image.shape)
    sheet = Image.new("L", ((across + GAP_PIXELS) * len(panels) - GAP_PIXELS, height + CAPTION_PIXELS), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PIXELS)
    for number, panel in enumerate(panels):
        left = number * (across + GAP_PIXELS)
        tile = Image.fromarray(panel.grey()).resize((across, height), Image.Resampling.NEAREST)
        sheet.paste(tile, (left, CAPTION_PIXELS))
        draw.multiline_text((left + 2, 3), panel.caption, fill=0, font=font, spacing=3)
    sheet.save(path)
