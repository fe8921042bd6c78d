"""How signatures vary, for encoders that compare hands: by one hand, by its pens and scans, and from person to person.

Each image is moved, bent and inked a little, by itself. Before that, all images of a person in a batch, genuine and
forged, are bent strongly and alike: somebody else's signature, with forgeries of it. A hundred writers are soon learnt
by heart; people who never come twice are not. NumPy and OpenCV. Next: ``batches.py`` calls it.
"""

import dataclasses
import math

import cv2
import numpy as np

# One hand: the most in either direction.
ROTATION = math.radians(5)
ZOOM, STRETCH, SHEAR, SHIFT = 0.10, 0.05, 0.10, 0.03
PEN = 1.0  # how much of a 3 x 3 dilation or erosion
# Another person: of so many in a batch, and how strongly.
NEW_PEOPLE = 0.8
NEW_ROTATION = math.radians(8.4)
NEW_ZOOM, NEW_STRETCH, NEW_SHEAR = (-0.035, 0.14), 0.18, 0.25
NEW_BEND = 2.0  # pixels, standard deviation of a bending's knots
FLIPPED, CUT = 0.5, 0.2  # mirrored, in each direction; stretched beyond the canvas, so that a part is seen
KNOTS = (3, 5)  # of a bending


@dataclasses.dataclass(frozen=True)
class Warp:
    """Where an output pixel comes from: ``matrix [2, 2]`` about the middle, ``move [2]`` and ``bend [2, H, W]``.

    A bend belongs to places of the output: one that came first stays there when the image is moved a little.
    """

    matrix: np.ndarray
    move: np.ndarray
    bend: np.ndarray | None = None

    def after(self, first: "Warp") -> "Warp":
        """The warp that does ``first`` and then this one."""
        bend = first.bend if self.bend is None else self.bend
        return Warp(first.matrix @ self.matrix, first.matrix @ self.move + first.move, bend)


def vary(images: np.ndarray, writers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A batch ``uint8 [N, H, W, 1]`` by ``writers`` (``int [N]``), changed; the same from the same generator."""
    canvas = images.shape[1:3]
    people = {writer: _another_person(canvas, rng) for writer in np.unique(writers).tolist()}
    changed = np.empty_like(images)
    for row, (image, writer) in enumerate(zip(images[..., 0], writers.tolist(), strict=True)):
        warp = _one_hand(canvas, rng)
        person = people[writer]
        changed[row, :, :, 0] = repen(apply(image, warp.after(person) if person else warp), rng)
    return changed


def apply(image: np.ndarray, warp: Warp) -> np.ndarray:
    """``uint8 [H, W]`` to the same; bilinear, paper (0) outside."""
    height, width = image.shape
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    move = middle - warp.matrix @ middle + warp.move
    affine = np.column_stack([warp.matrix, move]).astype(np.float32)
    if warp.bend is None:
        return cv2.warpAffine(image, affine, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    sources = [axis[0] * x + axis[1] * y + axis[2] + bend for axis, bend in zip(affine, warp.bend, strict=True)]
    return cv2.remap(image, sources[0], sources[1], cv2.INTER_LINEAR, borderValue=0)


def repen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As if written with another pen and scanned by another scanner: thicker or thinner strokes, softer edges."""
    amount = rng.uniform(-PEN, PEN)
    other = cv2.dilate(image, np.ones((3, 3), np.uint8)) if amount > 0 else cv2.erode(image, np.ones((2, 2), np.uint8))
    share = amount if amount > 0 else -0.6 * amount  # half a pixel less is much for a thin stroke
    image = cv2.addWeighted(image, 1 - share, other, share, 0)
    return cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 1.0)) if rng.random() < 0.5 else image


def _one_hand(canvas: tuple[int, int], rng: np.random.Generator) -> Warp:
    angle, zoom, stretch, shear = rng.uniform(-1, 1, 4) * (ROTATION, ZOOM, STRETCH, SHEAR)
    move = rng.uniform(-SHIFT, SHIFT, 2) * (canvas[1], canvas[0])
    return Warp(_matrix(angle, zoom, stretch, shear), move)


def _another_person(canvas: tuple[int, int], rng: np.random.Generator) -> Warp | None:
    """The change that makes somebody else of a writer, or none."""
    if rng.random() > NEW_PEOPLE:
        return None
    angle, stretch, shear = rng.uniform(-1, 1, 3) * (NEW_ROTATION, NEW_STRETCH, NEW_SHEAR)
    zoom, move = rng.uniform(*NEW_ZOOM), np.zeros(2)
    if rng.random() < CUT:
        zoom, stretch = zoom + 0.25, stretch + 0.25
        move = np.array([rng.uniform(-0.2, 0.2) * canvas[1], 0.0])
    mirror = np.where(rng.random(2) < FLIPPED, -1.0, 1.0)
    return Warp(_matrix(angle, zoom, stretch, shear) * mirror, move, _bend(canvas, rng))


def _matrix(angle: float, zoom: float, stretch: float, shear: float) -> np.ndarray:
    """Output to input: what is zoomed by more than 0 comes out larger."""
    scale = np.exp([-zoom - stretch, -zoom + stretch])
    turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turned * scale + np.array([[0.0, shear], [0.0, 0.0]])


def _bend(canvas: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A smooth displacement ``float32 [2, H, W]`` through a few random knots (Simard et al. 2003, sec. 2)."""
    knots = rng.normal(0, NEW_BEND, (2, *KNOTS)).astype(np.float32)
    return np.stack([cv2.resize(axis, canvas[::-1], interpolation=cv2.INTER_CUBIC) for axis in knots])
