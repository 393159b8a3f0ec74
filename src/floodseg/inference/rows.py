"""Rows of windows of an opened scene, turned into rows of the products: all of a scene, or a part of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.config.predict import PredictConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.inference.earlier_water import WaterBits
from floodseg.inference.windows.map_scene import map_scene
from floodseg.inference.windows.stage_times import StageSeconds
from floodseg.inference.windows.thumbnail import ThumbnailScene
from floodseg.products.classify import classify
from floodseg.products.info import ProductInfo
from floodseg.products.strips import NODATA, ProbabilityStrip, ProductStrip
from floodseg.runtimes.base import Runtime
from floodseg.scene.scene import Layers, Scene

_EARLIER_WATER = "water that the radar image of --sar-before shows too counts as permanent water"


@dataclass(frozen=True, slots=True)
class OpenedScene:
    """Everything that mapping a scene takes, open and checked."""

    config: PredictConfig
    scene: ThumbnailScene
    before: Scene | None
    """The earlier radar image on the scene's grid, where it is mapped too."""
    layers: Layers
    runtime: Runtime
    thresholds: NDArray[np.float32]
    """Water from this probability on, by validity code."""
    info: ProductInfo


@dataclass(frozen=True, slots=True)
class MappedRows:
    """What is known of mapped rows beside their pixels; of several parts it adds up to that of the scene."""

    outside: int
    """Pixels beyond the area of interest."""
    seen: int
    """Pixels that are not nodata."""
    seen_before: int
    """Pixels at which the earlier image holds something."""
    assumptions: tuple[str, ...]
    """What reading the scene took for granted."""
    assumptions_before: tuple[str, ...]
    """What reading the earlier image took for granted."""
    stages: StageSeconds


def map_rows(
    opened: OpenedScene, write: Callable[[ProductStrip], None], *, progress: bool = False, rows: range | None = None
) -> MappedRows:
    """Map rows of windows and hand their pixels to ``write``, top to bottom.

    Args:
        opened: the scene.
        write: called in this thread with each strip of the products.
        progress: show a bar with the time left.
        rows: the rows of windows, see :func:`floodseg.inference.windows.map_scene.map_scene`; by default all.

    Raises:
        FloodsegError: input or settings that the user can mend.
    """
    with ExitStack() as kept:
        earlier, seen_before = None, 0
        if opened.before is not None:
            grid = opened.scene.grid
            earlier = kept.enter_context(closing(WaterBits(grid.height, grid.width)))
            seen_before = _map_before(opened, opened.before, earlier, progress, rows)
            if rows is None:
                _check_seen_before(opened.before, seen_before)
        sink = _Classes(opened.layers, opened.thresholds, write, earlier)
        stages = map_scene(opened.scene, opened.runtime, opened.config.mapping, sink, progress=progress, rows=rows)
    before = () if opened.before is None else opened.before.assumptions
    return MappedRows(sink.outside, sink.seen, seen_before, opened.scene.assumptions, before, stages)


def assumptions_of(opened: OpenedScene, parts: Sequence[MappedRows]) -> list[str]:
    """Return what a whole scene took for granted, each sentence once, as if it had been mapped in one part.

    Raises:
        DataError: the earlier image holds nothing over the scene.
    """
    notes = [*_joined(opened.scene, [part.assumptions for part in parts]), *opened.layers.assumptions]
    if opened.before is None:
        return notes
    seen = sum(part.seen_before for part in parts)
    _check_seen_before(opened.before, seen)
    notes += [*_joined(opened.before, [part.assumptions_before for part in parts]), _EARLIER_WATER]
    share = seen / (opened.scene.grid.height * opened.scene.grid.width)
    if share < 1:
        names = " ".join(opened.before.inputs["sar_before"])
        notes.append(f"{names}: covers {share:.1%} of the scene; where it holds nothing, water is taken as flood")
    return notes


def _joined(scene: ThumbnailScene | Scene, parts: Sequence[tuple[str, ...]]) -> list[str]:
    """Return what is known when a scene is opened, then what was found in reading it, in alphabetical order."""
    known = list(scene.assumptions)
    found = {sentence for part in parts for sentence in part}
    return known + sorted(found - set(known))


def check_seen(seen: int, inputs: Mapping[str, tuple[str, ...]]) -> None:
    """Raise DataError where there is nothing on the map.

    Args:
        seen: pixels that are not nodata.
        inputs: files by flag, for the message.
    """
    if seen:
        return
    names = " ".join(f"--{sensor} {' '.join(inputs[sensor])}" for sensor in ("sar", "optical") if sensor in inputs)
    where = f" within --aoi {' '.join(inputs['aoi'])}" if "aoi" in inputs else ""
    raise DataError(
        f"{names or 'the arrays'}: no pixel{where} is valid, all is nodata, beyond the swath or under cloud: give "
        "an image that shows the place, or correct its nodata value"
    )


@dataclass(slots=True)
class _Classes:
    """Turns rows of probability into rows of the products, and counts what the area of interest holds of them."""

    layers: Layers
    thresholds: NDArray[np.float32]
    write: Callable[[ProductStrip], None]
    earlier: WaterBits | None
    outside: int = 0
    seen: int = 0

    def __call__(self, strip: ProbabilityStrip) -> None:
        rows, width = strip.probability.shape
        around = self.layers.read(Window(strip.top, 0, rows, width))
        wet = None if self.earlier is None else self.earlier.read(strip.top, rows)
        product = classify(strip, around, self.thresholds, wet)
        self.outside += int((~around.inside).sum())
        self.seen += int((product.classes != NODATA).sum())
        self.write(product)


def _map_before(opened: OpenedScene, scene: Scene, water: WaterBits, progress: bool, rows: range | None) -> int:
    """Map an earlier image, keep where it shows water, and return at how many pixels it holds anything.

    Where it holds nothing, nothing is known to be old water.
    """
    seen = 0

    def keep(strip: ProbabilityStrip) -> None:
        nonlocal seen
        seen += int(np.count_nonzero(strip.validity))
        wet = strip.probability >= opened.thresholds[strip.validity]
        water.write(strip.top, (strip.validity != 0) & wet)

    map_scene(scene, opened.runtime, opened.config.mapping, keep, progress=progress, rows=rows)
    return seen


def _check_seen_before(scene: Scene, seen: int) -> None:
    if not seen:
        raise DataError(
            f"--sar-before {' '.join(scene.inputs['sar_before'])}: no pixel of it is valid over the scene, so it tells "
            "no old water from new: give an image that shows the place, or leave it out"
        )
