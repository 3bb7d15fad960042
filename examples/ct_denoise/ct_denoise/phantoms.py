"""Random phantoms in Hounsfield units to train on: chests, abdomens, ellipses, Shepp-Logan heads, photographs.

Every phantom is drawn from formulas and a random generator, or is a public-domain photograph of scikit-image read as
densities, so what is trained on them owes nothing to any patient. ``Canvas`` coordinates run from -1 to 1 over the
body, whatever part of it is in view.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage import data
from skimage.color import rgb2gray
from skimage.util import img_as_float

Image = NDArray[np.float64]
BODY_MM = 380.0
"""What the coordinates from -1 to 1 span."""


def smooth_field(random: np.random.Generator, size: int, roughness: float) -> Image:
    """A Gaussian random field of mean 0 and deviation 1; its spectrum falls with frequency^-roughness."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal((size, size))) * frequency**-roughness
    field = np.fft.irfft2(spectrum, s=(size, size))
    return field / field.std()


def grain(random: np.random.Generator, size: int, cutoff: float) -> Image:
    """Noise as filtered back projection leaves it: power rises with frequency, then a kernel cuts it off.

    Mean 0, deviation 1; ``cutoff`` in cycles per pixel.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    response = np.sqrt(frequency) * np.exp(-((frequency / cutoff) ** 2))
    field = np.fft.irfft2(np.fft.rfft2(random.standard_normal((size, size))) * response, s=(size, size))
    return field / field.std()


@dataclass(slots=True)
class Canvas:
    """A square view on a body: pixel coordinates, gently warped, and the Hounsfield units painted so far."""

    random: np.random.Generator
    x: Image
    y: Image
    hu: Image
    pixel: float

    @classmethod
    def blank(cls, random: np.random.Generator, size: int, zoom: float) -> "Canvas":
        """Air, seen in a window of half-width ``zoom`` somewhere in the body."""
        centre = random.uniform(-0.9, 0.9, 2) * max(0.0, 0.8 - zoom)
        axis = np.linspace(-zoom, zoom, size)
        bend = random.uniform(0.0, 0.06)
        x = centre[0] + axis[None, :] + bend * smooth_field(random, size, 3.0)
        y = centre[1] + axis[:, None] + bend * smooth_field(random, size, 3.0)
        return cls(random, x, y, np.full((size, size), -1000.0), 2 * zoom / size)

    def between(self, low: float, high: float) -> float:
        """A uniform random number."""
        return float(self.random.uniform(low, high))

    def texture(self, mean: float, deviation: float) -> Image:
        """A tissue: random variation around a mean, from fine-grained to cloudy."""
        return mean + deviation * smooth_field(self.random, len(self.hu), self.between(0.7, 2.2))

    def ellipse(self, x: float, y: float, width: float, height: float, degrees: float = 0.0) -> Image:
        """The coverage of each pixel, 0 to 1, by an ellipse with half-axes ``width`` and ``height``."""
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        u = ((self.x - x) * cos + (self.y - y) * sin) / width
        v = ((self.y - y) * cos - (self.x - x) * sin) / height
        distance = (np.hypot(u, v) - 1) * min(width, height) / self.pixel
        return np.clip(0.5 - distance, 0, 1)

    def paint(self, coverage: Image, hu: Image | float) -> None:
        """Put a tissue where ``coverage`` (0 to 1) says."""
        self.hu = self.hu * (1 - coverage) + hu * coverage

    def marble(self, coverage: Image, hu: float, share: float) -> None:
        """Streaks of another tissue, with soft edges, over up to ``share`` of what ``coverage`` says."""
        field = smooth_field(self.random, len(self.hu), self.between(0.9, 2.0))
        self.paint(coverage * np.clip((field - np.quantile(field, 1 - share)) * 2, 0, 1), hu)

    def disc(self, hu: Image | float, x: float, y: float, width: float, height: float, degrees: float = 0.0) -> None:
        """Paint an ellipse."""
        self.paint(self.ellipse(x, y, width, height, degrees), hu)


def torso(c: Canvas) -> tuple[float, float]:
    """Skin, fat and muscle; returns the half-axes of the muscle wall."""
    width, height = c.between(0.72, 0.95), c.between(0.5, 0.7)
    c.disc(c.texture(-100, c.between(3, 20)), 0, 0, width, height)
    wall = c.between(0.85, 0.97)
    c.disc(c.texture(c.between(30, 70), c.between(3, 25)), 0, 0, width * wall, height * wall)
    c.marble(c.ellipse(0, 0, width * wall, height * wall), c.between(-110, -60), c.between(0, 0.3))
    return width * wall, height * wall


def lung(c: Canvas, side: int, width: float, height: float) -> None:
    """One lung: air-filled tissue with vessels as bright streaks and dots, and a bronchus or two."""
    x, a, b = side * width * c.between(0.48, 0.58), width * c.between(0.3, 0.42), height * c.between(0.6, 0.85)
    inside = c.ellipse(x, c.between(-0.1, 0.05), a, b, c.between(-12, 12))
    c.paint(inside, c.texture(c.between(-920, -780), c.between(10, 60)))
    c.marble(inside, c.between(-750, -200), c.between(0, 0.15))
    for _ in range(int(c.random.integers(60, 200))):
        thin = 0.02 * np.exp(-c.random.exponential(1.2)) + 0.001
        spot = c.ellipse(x + c.between(-a, a), c.between(-b, b), thin * c.between(1, 8), thin, c.between(0, 180))
        c.paint(spot * inside, c.between(-600, 80))
    c.paint(c.ellipse(x - side * a * 0.5, 0, 0.02, 0.025) * inside, -1000)


def bone(c: Canvas, x: float, y: float, width: float, height: float, degrees: float = 0.0) -> None:
    """A dense shell around spongy bone."""
    shell = c.between(0.55, 0.9)
    c.disc(c.between(350, 1300), x, y, width, height, degrees)
    marrow = c.ellipse(x, y, width * shell, height * shell, degrees)
    c.paint(marrow, c.texture(c.between(0, 300), c.between(20, 120)))
    c.marble(marrow, c.between(200, 900), c.between(0, 0.4))


def skeleton(c: Canvas, width: float, height: float) -> None:
    """Spine with its canal and processes, ribs along the wall, breastbone."""
    y = height * c.between(0.5, 0.7)
    for side in (-1, 1):
        bone(c, side * 0.13, y + 0.12, 0.09, 0.025, side * c.between(10, 40))
    bone(c, 0, y + 0.2, 0.02, 0.08)
    bone(c, 0, y, c.between(0.09, 0.13), c.between(0.07, 0.11))
    c.disc(c.between(10, 50), 0, y + 0.12, 0.045, 0.04)
    for angle in np.arange(0, 360, c.between(25, 45)) + c.between(0, 30):
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        lean = float(np.degrees(np.arctan2(height * cos, -width * sin)))
        bone(c, 0.93 * width * cos, 0.93 * height * sin, c.between(0.03, 0.14), c.between(0.012, 0.025), lean)
    bone(c, 0, -0.93 * height, 0.08, 0.025)


def chest(c: Canvas) -> None:
    """Lungs, heart, great vessels and airway between the ribs."""
    width, height = torso(c)
    for side in (-1, 1):
        lung(c, side, width, height)
    for _ in range(int(c.random.integers(1, 5))):
        c.disc(
            c.texture(c.between(20, 300), c.between(2, 15)),
            c.between(-0.1, 0.25),
            c.between(-0.2, 0.3),
            c.between(0.05, 0.25),
            c.between(0.05, 0.22),
            c.between(0, 180),
        )
    c.disc(-1000, c.between(-0.05, 0.05), c.between(-0.1, 0.2), 0.03, 0.035)
    skeleton(c, width, height)


def abdomen(c: Canvas) -> None:
    """Organs in fat, gas in the bowel, the spine behind."""
    width, height = torso(c)
    c.disc(c.texture(-100, c.between(3, 20)), 0, 0, width * 0.85, height * 0.8)
    for _ in range(int(c.random.integers(6, 30))):
        size = c.between(0.03, 0.35)
        c.disc(
            c.texture(c.between(-20, 180), c.between(2, 20)),
            c.between(-0.6, 0.6),
            c.between(-0.35, 0.35),
            size,
            size * c.between(0.4, 1),
            c.between(0, 180),
        )
    for _ in range(int(c.random.integers(0, 5))):
        c.disc(c.between(-1000, -800), c.between(-0.5, 0.5), c.between(-0.3, 0.2), c.between(0.01, 0.1), 0.05)
    skeleton(c, width, height)


def scatter(c: Canvas) -> None:
    """Ellipses of any size and density, thrown on a textured ground."""
    c.hu = c.texture(c.between(-1000, 100), c.between(0, 40))
    for _ in range(int(c.random.integers(20, 200))):
        size = np.exp(c.between(np.log(0.004), np.log(0.5)))
        level = c.random.choice([c.between(-1000, -700), c.between(-150, 150), c.between(150, 1500)], p=[0.2, 0.6, 0.2])
        c.disc(
            c.texture(level, c.between(0, 40)),
            c.between(-1, 1),
            c.between(-1, 1),
            size,
            size * c.between(0.2, 1),
            c.between(0, 180),
        )


def shepp_logan(c: Canvas) -> None:
    """The Shepp-Logan head, warped, with random contrast inside the skull."""
    phantom = data.shepp_logan_phantom()
    at = [(axis * 0.5 + 0.5) * (len(phantom) - 1) for axis in (c.y, c.x)]
    grey = map_coordinates(phantom, at, order=1, cval=0.0)
    contrast = c.between(50, 600)
    inside = 40 + (grey - 0.2) * contrast + c.texture(0, c.between(0, 15))
    c.hu = np.where(grey > 0.6, c.between(600, 1500), np.where(grey > 0.02, inside, -1000.0))


PHOTOGRAPHS: tuple[Callable[[], NDArray[np.generic]], ...] = (
    data.astronaut,
    data.brick,
    data.camera,
    data.cat,
    data.coffee,
    data.grass,
    data.gravel,
    data.rocket,
)
"""All CC0 or public domain, and part of scikit-image's wheel."""


def photograph(c: Canvas) -> None:
    """Part of a photograph, its greys read as densities: edges and textures richer than any drawing's.

    One smaller than the canvas is enlarged.
    """
    picture = img_as_float(PHOTOGRAPHS[c.random.integers(len(PHOTOGRAPHS))]())
    grey = rgb2gray(picture) if picture.ndim == 3 else picture
    largest = min(grey.shape) / len(c.hu)
    scale = c.between(min(1.0, largest), largest)
    offset = c.random.uniform(0, np.array(grey.shape) - scale * len(c.hu) + 1)
    at = [(axis - axis.min()) / c.pixel * scale + start for axis, start in zip((c.y, c.x), offset, strict=True)]
    shown = map_coordinates(gaussian_filter(grey, 0.4 * scale), at, order=1, mode="reflect")
    ends = c.between(-1000, 0), c.between(0, 1200)
    c.hu = np.interp(shown, (0, 1), c.random.permutation(ends))


KINDS: dict[Callable[[Canvas], None], float] = {
    chest: 0.35,
    abdomen: 0.2,
    scatter: 0.15,
    shepp_logan: 0.05,
    photograph: 0.25,
}
"""How a phantom is drawn, and how often."""


def draw(random: np.random.Generator, size: int) -> tuple[Image, float]:
    """A phantom of (size, size) Hounsfield units within -1000..3000, and its pixel spacing in mm."""
    zoom = float(random.choice([random.uniform(0.9, 1.15), random.uniform(0.2, 0.9)]))
    canvas = Canvas.blank(random, size, zoom)
    kind = random.choice(len(KINDS), p=list(KINDS.values()))
    list(KINDS)[kind](canvas)
    return np.clip(canvas.hu, -1000, 3000), canvas.pixel * BODY_MM / 2
