"""Radar image from before a flood: median of earlier passes of the same orbit."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from hashlib import sha256

import numpy as np
import rasterio
from numpy.typing import NDArray

from floodseg.bands import SAR_BANDS
from floodseg.catalog.passes import Pass
from floodseg.geo.grid import Window
from floodseg.system.files import write_text
from floodseg.workflows.fetch import FetchedPass, Fetching, fetch_pass, finished_item
from floodseg.workflows.mosaic import median_power, strips
from floodseg.workflows.pass_files import Coverage, write_radar
from floodseg.workflows.pass_images import SAR, Layer
from floodseg.workflows.pass_item import ITEM, REQUEST, SHARE, pass_item

LEAST_DATES = 3
"""Smallest number of dates for a median."""
MOST_DATES = 5
"""Largest number of dates for a median; the latest are used."""
EARLIEST, LATEST = timedelta(days=60), timedelta(days=12)
"""Largest and smallest time between an earlier pass and the flood pass."""
_LEAST_COVER = 0.9
"""Smallest covered share of an earlier pass, relative to that of the flood pass."""


def choose_before(flood: Pass, candidates: Sequence[Pass]) -> tuple[Pass, ...]:
    """Return the passes of the same relative orbit and direction, 12 to 60 days earlier, the latest first.

    At most ``MOST_DATES`` are returned; fewer than ``LEAST_DATES`` are too few for a median.
    """
    fitting = [
        each
        for each in candidates
        if each.sensor == "sar"
        and (each.relative_orbit, each.orbit_state) == (flood.relative_orbit, flood.orbit_state)
        and None not in (each.relative_orbit, each.orbit_state)
        and LATEST - timedelta(hours=1) <= flood.datetime - each.datetime <= EARLIEST + timedelta(hours=1)
        and each.covered_share >= _LEAST_COVER * flood.covered_share
    ]
    return tuple(sorted(fitting, key=lambda each: each.datetime, reverse=True)[:MOST_DATES])


def fetch_before(run: Fetching, flood: FetchedPass, passes: Sequence[Pass]) -> FetchedPass:
    """Fetch earlier passes on the grid of a flood pass, and write the median of their linear power.

    Pixels with fewer than ``LEAST_DATES`` valid dates are NaN.

    Args:
        run: folder, area, settings and connections.
        flood: the fetched radar pass of the flood.
        passes: earlier passes of its orbit, at least ``LEAST_DATES``.

    Raises:
        DataError: a file cannot be read, or no pixel of the area is valid.
        RunFolderError: an image was made with other settings, and ``overwrite`` is False.
    """
    earlier = [fetch_pass(run, each, flood.grid) for each in passes]
    folder = run.out_dir / f"{flood.overpass.id}_before"
    checksums = [each.item["properties"][REQUEST] for each in earlier]
    checksum = sha256(" ".join(checksums).encode()).hexdigest()[:16]
    item = finished_item(folder, checksum, overwrite=run.overwrite)
    if item is None:
        unfinished = run.out_dir / f".{folder.name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        coverage = Coverage(run.area.geometry, flood.grid)
        layer = Layer(SAR, SAR_BANDS, flood.grid)
        write_radar(unfinished / f"{SAR}.tif", layer, earlier[-1].overpass.datetime, _medians(earlier, layer, coverage))
        items = [source for each in earlier for source in each.overpass.items]
        properties = {SHARE: round(coverage.share, 6), REQUEST: checksum}
        item = pass_item(folder.name, items, {layer.name: layer.grid}, properties)
        write_text(unfinished / ITEM, json.dumps(item, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return FetchedPass(folder, earlier[0].overpass, item)


def _medians(
    earlier: Sequence[FetchedPass], layer: Layer, coverage: Coverage
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    with ExitStack() as stack:
        sources = [stack.enter_context(rasterio.open(each.images[0])) for each in earlier]
        for window in strips(layer.grid):
            part = rasterio.windows.Window(window.left, window.top, window.width, window.height)
            median = median_power([source.read(window=part) for source in sources], LEAST_DATES)
            coverage.add(window, ~np.isnan(median[0]))
            yield window, median
