"""Radar image from before a flood: median of earlier passes of the same orbit."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from hashlib import sha256
from logging import getLogger

import numpy as np
import rasterio
from numpy.typing import NDArray

from floodseg.bands import SAR_BANDS
from floodseg.catalog.passes import Pass
from floodseg.geo.grid import Window
from floodseg.system.files import write_text
from floodseg.workflows.fetch import fetch_pass
from floodseg.workflows.fetched_pass import FetchedPass, finished_item
from floodseg.workflows.fetching import Fetching
from floodseg.workflows.mosaic import median_power, strips
from floodseg.workflows.pass_files import Coverage, NoValidPixelError, write_area, write_radar
from floodseg.workflows.pass_images import SAR, Layer
from floodseg.workflows.pass_item import AREA_FILE, CHECKSUM, COVERED_SHARE, ITEM_FILE, pass_item

MIN_DATES = 3
"""Smallest number of dates for a median."""
MAX_DATES = 5
"""Largest number of dates for a median; the latest are used."""
SHORTEST_BEFORE = timedelta(days=12)
"""Smallest time between an earlier pass and the flood pass."""
LONGEST_BEFORE = timedelta(days=60)
"""Largest time between an earlier pass and the flood pass."""
_TOLERANCE = timedelta(hours=1)
"""Tolerance of these times: passes of the same orbit differ by minutes."""
_MIN_COVER = 0.9
"""Smallest covered share of an earlier pass, relative to that of the flood pass."""
_LOG = getLogger("floodseg")


def earlier_period(flood: Pass) -> tuple[datetime, datetime]:
    """Return the first and the last time of passes that can be used for the image from before."""
    return flood.datetime - LONGEST_BEFORE - _TOLERANCE, flood.datetime - SHORTEST_BEFORE + _TOLERANCE


def choose_before(flood: Pass, candidates: Sequence[Pass]) -> tuple[Pass, ...]:
    """Return the passes of the same relative orbit and direction, 12 to 60 days earlier, the latest first.

    At most ``MAX_DATES`` are returned; fewer than ``MIN_DATES`` are too few for a median.
    """
    start, end = earlier_period(flood)
    fitting = [
        overpass
        for overpass in candidates
        if overpass.sensor == "sar"
        and (overpass.relative_orbit, overpass.orbit_state) == (flood.relative_orbit, flood.orbit_state)
        and None not in (overpass.relative_orbit, overpass.orbit_state)
        and start <= overpass.datetime <= end
        and overpass.covered_share >= _MIN_COVER * flood.covered_share
    ]
    return tuple(sorted(fitting, key=lambda overpass: overpass.datetime, reverse=True)[:MAX_DATES])


def too_few_note(flood: Pass, count: int) -> str:
    """Return the sentence on a map without an image from before, for which only ``count`` passes can be used."""
    orbit = f"relative orbit {flood.relative_orbit}, {flood.orbit_state}"
    if None in (flood.relative_orbit, flood.orbit_state):
        orbit = "the same orbit, which the catalogue does not name"
    return (
        f"no image from before: {count} passes of {orbit}, {SHORTEST_BEFORE.days} to {LONGEST_BEFORE.days} days before "
        f"{flood.datetime:%Y-%m-%d} cover the area, but {MIN_DATES} are needed; permanent water counts as flood "
        "unless `permanent_water` is set"
    )


def fetch_before(
    run: Fetching, flood: FetchedPass, passes: Sequence[Pass]
) -> tuple[FetchedPass | None, tuple[str, ...]]:
    """Fetch earlier passes on the grid of a flood pass, and write the median of their linear power.

    Pixels with fewer than ``MIN_DATES`` valid dates are NaN. Passes without a valid pixel in the area are left out.

    Args:
        run: settings, area and connections.
        flood: the fetched radar pass of the flood.
        passes: earlier passes of its orbit.

    Returns:
        The image, and sentences on what was left out. The image is None if no pixel is valid on ``MIN_DATES`` dates.

    Raises:
        DataError: a file cannot be read.
        RunFolderError: an image was made with other settings, and ``overwrite`` is False.
    """
    earlier, notes = [], []
    for overpass in passes:
        try:
            earlier.append(fetch_pass(run, overpass, flood.grid))
        except NoValidPixelError as error:
            notes.append(f"left out of the image from before: {error.reason}")
    before = None
    if len(earlier) < MIN_DATES:
        notes.append(too_few_note(flood.overpass, len(earlier)))
    else:
        before = _median(run, flood, earlier)
        if not before.covered_share:
            notes.append(f"no image from before: no pixel of the area is valid on {MIN_DATES} dates")
            before = None
    for note in notes:
        _LOG.warning("%s", note)
    return before, tuple(notes)


def _median(run: Fetching, flood: FetchedPass, earlier: Sequence[FetchedPass]) -> FetchedPass:
    """Write the median of earlier passes unless it is complete."""
    folder = run.settings.out_dir / f"{flood.overpass.id}_before"
    checksums = [fetched.item["properties"][CHECKSUM] for fetched in earlier]
    checksum = sha256(" ".join(checksums).encode()).hexdigest()[:16]
    item = finished_item(folder, checksum, overwrite=run.settings.overwrite)
    if item is None:
        unfinished = folder.with_name(f".{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        coverage = Coverage(run.area.geometry, flood.grid)
        layer = Layer(SAR, SAR_BANDS, flood.grid)
        write_radar(unfinished / f"{SAR}.tif", layer, earlier[-1].overpass.datetime, _medians(earlier, layer, coverage))
        items = [source for fetched in earlier for source in fetched.overpass.items]
        properties = {COVERED_SHARE: round(coverage.share, 6), CHECKSUM: checksum}
        item = pass_item(folder.name, items, {layer.name: layer.grid}, properties)
        write_area(unfinished / AREA_FILE, run.area.geometry)
        write_text(unfinished / ITEM_FILE, json.dumps(item, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return FetchedPass(folder, earlier[0].overpass, item)


def _medians(
    earlier: Sequence[FetchedPass], layer: Layer, coverage: Coverage
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    with ExitStack() as stack:
        sources = [stack.enter_context(rasterio.open(fetched.images[0])) for fetched in earlier]
        for window in strips(layer.grid):
            part = rasterio.windows.Window(window.left, window.top, window.width, window.height)
            median = median_power([source.read(window=part) for source in sources], MIN_DATES)
            coverage.add(window, ~np.isnan(median[0]))
            yield window, median
