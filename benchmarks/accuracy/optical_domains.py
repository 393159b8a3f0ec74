"""Chips of four labelled optical domains, in layout ``folders``: folders for scoring and for training.

    python -m benchmarks.accuracy.optical_domains SOURCE OUT

SOURCE holds ``dfc24`` (chips and labels) and ``scenes`` (three scenes with labels), OUT gets the folders ``dfc24``,
``shanghai``, ``brandenburg`` and ``amazon`` for scoring, ``all`` for training on all of them, and ``without-DOMAIN``
for training on three. ``blocks-N`` has the chips of a quarter of the blocks of dfc24, ``without-blocks-N`` all others
for training. Chips have six bands with names, and GDAL scale and offset tags like those of newer Sentinel-2
products, so that no setting is needed. The event of a chip, by which a training set is split, is a block of dfc24 or
a part of a scene.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from cyclopts import App
from numpy.typing import NDArray

from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import IGNORE

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
OFFSET = 1000
"""Offset of the stored numbers of all chips, which the tags declare. A file that declares none is refused if it has no
dark pixels, such as hazy land at the top of the atmosphere."""
TILE = 128
"""Height and width of the chips of scenes for training, those of the chips of dfc24."""
SCORED_TILE = 64
"""Height and width of the chips of scenes for scoring. Larger ones would be too few for a bootstrap over chips."""
BLOCK_SETS = 4
"""Sets of blocks of dfc24, each of which is left out of one training."""


@dataclass(frozen=True)
class LabelledScene:
    """A scene with labels, and how it becomes chips."""

    domain: str
    image: str
    holds_offset: bool = False
    """True if the stored numbers hold the +1000 of processing baseline 04.00."""
    parts: tuple[int, int] = (2, 2)
    """Rows and columns of parts. A part is an event: it is in training or in validation."""
    step: int = TILE // 2
    """Distance of the training chips in pixels. Those of a small scene overlap, so that it counts more."""


SCENES = (
    LabelledScene("shanghai", "shanghai_L2A_6band"),
    LabelledScene("brandenburg", "brandenburg_L1C", parts=(2, 4), step=TILE),
    LabelledScene("amazon", "amazon_L2A", holds_offset=True, parts=(1, 2), step=TILE // 4),
)
DOMAINS = ("dfc24", *(scene.domain for scene in SCENES))
MIN_LABELLED = 100
"""Labelled pixels of a chip below which it is left out of training."""


@dataclass(frozen=True)
class LabelledChip:
    """Stored numbers of one chip."""

    name: str
    image: NDArray[np.int16]
    """(6, H, W), reflectance times 10000, plus ``OFFSET``."""
    label: NDArray[np.uint8]
    """(H, W): 0 land, 1 water, 255 not labelled."""

    @property
    def event(self) -> str:
        """Block of dfc24 or part of a scene, by which a training set is split."""
        return self.name.partition("_")[0]


app = App(help="Write chips of four labelled optical domains, for training and for scoring.")


@app.default
def prepare(source: Path, out: Path) -> None:
    """Write the chips.

    Parameters
    ----------
    source
        Folder with dfc24 and scenes.
    out
        Folder to write.
    """
    for domain in DOMAINS:
        chips = list(scoring_chips(source, domain))
        write(chips, out / domain)
        print(f"{domain}: {len(chips)} chips, {sum(int((chip.label != IGNORE).sum()) for chip in chips):,} labels")
    for left_out in (None, *DOMAINS):
        folder = out / (f"without-{left_out}" if left_out else "all")
        for domain in DOMAINS:
            if domain != left_out:
                write(training_chips(source, domain), folder)
    _write_block_sets(source, out)


def _write_block_sets(source: Path, out: Path) -> None:
    """Write ``blocks-N`` and ``without-blocks-N``."""
    flood_chips = list(scoring_chips(source, "dfc24"))
    blocks = sorted({chip.event for chip in flood_chips})
    for number in range(BLOCK_SETS):
        held_out = set(blocks[number::BLOCK_SETS])
        write((chip for chip in flood_chips if chip.event in held_out), out / f"blocks-{number}")
        folder = out / f"without-blocks-{number}"
        for domain in DOMAINS:
            write((chip for chip in training_chips(source, domain) if chip.event not in held_out), folder)


def scoring_chips(source: Path, domain: str) -> Iterator[LabelledChip]:
    """Yield the chips of a domain; each pixel of a scene is in one chip."""
    scene = _scene(domain)
    yield from _dfc24(source) if scene is None else _tiles(source, scene, SCORED_TILE, SCORED_TILE)


def training_chips(source: Path, domain: str) -> Iterator[LabelledChip]:
    """Yield the chips of a domain for training."""
    scene = _scene(domain)
    chips = _dfc24(source) if scene is None else _tiles(source, scene, TILE, scene.step)
    return (chip for chip in chips if np.count_nonzero(chip.label != IGNORE) >= MIN_LABELLED)


def _scene(domain: str) -> LabelledScene | None:
    return next((scene for scene in SCENES if scene.domain == domain), None)


def _dfc24(source: Path) -> Iterator[LabelledChip]:
    for path in sorted((source / "dfc24" / "S2Hand").glob("*.tif")):
        name = path.stem.removesuffix("_S2Hand")
        image, _ = _read_image(path, holds_offset=False)
        yield LabelledChip(name, image, _read_label(source / "dfc24" / "LabelHand" / f"{name}_LabelHand.tif"))


def _tiles(source: Path, scene: LabelledScene, side: int, step: int) -> Iterator[LabelledChip]:
    """Yield the tiles of the parts of a scene, at most ``side`` pixels high and wide, every ``step`` pixels."""
    image, valid = _read_image(source / "scenes" / f"{scene.image}.tif", holds_offset=scene.holds_offset)
    label = np.where(valid, _read_label(source / "scenes" / f"{scene.domain}_label.tif"), np.uint8(IGNORE))
    part = 0
    for rows in np.array_split(np.arange(label.shape[0]), scene.parts[0]):
        for columns in np.array_split(np.arange(label.shape[1]), scene.parts[1]):
            tiles = [(top, left) for top in _starts(rows, side, step) for left in _starts(columns, side, step)]
            for number, (top, left) in enumerate(tiles):
                cut = np.s_[top : min(top + side, rows[-1] + 1), left : min(left + side, columns[-1] + 1)]
                yield LabelledChip(f"{scene.domain}{part}_{number:03d}", image[:, *cut], label[cut])
            part += 1


def _starts(positions: NDArray[np.int64], side: int, step: int) -> range:
    """Return the first positions of tiles that cover all positions; the last tile may be smaller."""
    first, uncovered = int(positions[0]), len(positions) - (side - step)
    return range(first, first + max(uncovered, 1), step)


def _read_image(path: Path, *, holds_offset: bool) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Return the six bands (6, H, W) with ``OFFSET``, and the mask (H, W) of pixels with data."""
    with rasterio.open(path) as source:
        image = source.read([source.descriptions.index(band) + 1 for band in BANDS])
        valid = np.ones(image.shape[1:], np.bool_) if source.nodata is None else (image != source.nodata).all(axis=0)
    return image.astype(np.int16) + np.int16(0 if holds_offset else OFFSET), valid


def _read_label(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as source:
        label: NDArray[np.uint8] = source.read(1)
    return label


def write(chips: Iterable[LabelledChip], folder: Path) -> None:
    """Write images below ``S2Hand`` and labels below ``LabelHand`` of a folder."""
    for name in ("S2Hand", "LabelHand"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for chip in chips:
        height, width = chip.label.shape
        # the chips have no coordinates: dfc24 has none, and training and scores need none
        profile = {"driver": "GTiff", "height": height, "width": width, "compress": "deflate"}
        with rasterio.open(
            folder / "S2Hand" / f"{chip.name}_S2Hand.tif", "w", **profile, count=len(BANDS), dtype="int16"
        ) as target:
            target.write(chip.image)
            target.descriptions = BANDS
            target.scales, target.offsets = [1e-4] * len(BANDS), [-1e-4 * OFFSET] * len(BANDS)
        with rasterio.open(
            folder / "LabelHand" / f"{chip.name}_LabelHand.tif", "w", **profile, count=1, dtype="uint8"
        ) as target:
            target.write(chip.label, 1)


if __name__ == "__main__":
    run_and_exit(app)
