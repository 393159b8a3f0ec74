"""``floodseg.fetch``: images of passes over an area, cut to it, with their STAC items.

::

    OUT_DIR/PASS/sar.tif, optical_10m.tif, optical_20m.tif, scl.tif    images that ``floodseg predict`` reads
    OUT_DIR/PASS/area.geojson                                          the area, without its context
    OUT_DIR/PASS/item.json                                             STAC item with its source items
    OUT_DIR/sar.json, optical.json                                     lists for ``floodseg predict-many``
    OUT_DIR/.PASS/                                                     partial copies of the files of an unfinished pass
"""

import json
import shutil
from contextlib import closing
from hashlib import sha256
from logging import getLogger
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import shapely

from floodseg.catalog.passes import Pass
from floodseg.catalog.remote.windows import read_windows
from floodseg.catalog.retries import RetryPolicy
from floodseg.catalog.search import planned_search, search_config
from floodseg.catalog.sources import collections_of, source_of
from floodseg.config.fetch import FetchConfig
from floodseg.config.flat import from_flat
from floodseg.config.places import SearchConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.system.files import write_text
from floodseg.system.permission import PlannedRequest, require_permission
from floodseg.workflows.choice import best_of_each_sensor
from floodseg.workflows.fetched_pass import FetchedPass, finished_item, write_lists
from floodseg.workflows.fetching import Fetching, FetchSettings, fetching
from floodseg.workflows.pass_files import NoValidPixelError, write_area, write_pass
from floodseg.workflows.pass_images import PassImages
from floodseg.workflows.pass_item import AREA_FILE, ATTRIBUTION, CHECKSUM, COVERED_SHARE, ITEM_FILE, NOTES, pass_item

_LOG = getLogger("floodseg")


def fetch(*, overwrite: bool = False, show_progress: bool = False, **settings: Any) -> list[FetchedPass]:
    """Fetch images of passes over an area, like ``floodseg fetch``.

    With ``date`` the best pass of each sensor is fetched, with ``dates`` every pass.

    Args:
        overwrite: replace passes that were fetched with other settings.
        show_progress: show progress bars.
        **settings: settings of ``floodseg fetch``: those of :func:`floodseg.search`, and ``out_dir``,
            ``context``, ``optical_bands``, ``resolution`` and ``transfers``.

    Returns:
        The passes, with their folders. The files hold radar in dB (float32, NaN where invalid), and bands of
        Sentinel-2 as uint16 with scale and offset tags.

    Raises:
        ConfigError: a setting is invalid, or requests are not allowed.
        DataError: the catalogue has no pass, or a file cannot be read.
        RunFolderError: ``out_dir`` cannot be used, or holds passes that were fetched with other settings.

    Example:
        >>> fetched = floodseg.fetch(
        ...     place="Adria, IT", radius="1km", date="2024-10-31", sensors="sar", out_dir="passes",
        ...     source="local.toml", allow_remote=True,
        ... )
        >>> [path.name for path in sorted(fetched[0].folder.iterdir())]
        ['area.geojson', 'item.json', 'sar.tif']
    """
    return fetch_config(from_flat(FetchConfig, settings), overwrite=overwrite, show_progress=show_progress)


def fetch_config(
    config: FetchConfig, retries: RetryPolicy | None = None, *, overwrite: bool = False, show_progress: bool = False
) -> list[FetchedPass]:
    """Fetch the passes that the settings describe; see :func:`fetch`. ``retries``: retries of failed requests."""
    require_fetch_permission(config.search)
    found = search_config(config.search, retries)
    for note in found.notes:
        _LOG.warning("%s", note)
    passes = found.passes if config.search.period.dates is not None else best_of_each_sensor(found.passes)
    fetched = []
    settings = FetchSettings(config.out_dir, config.context, config.reading, overwrite, show_progress)
    with fetching(settings, found.area, found.source, retries) as run:
        for overpass in passes:
            try:
                fetched.append(fetch_pass(run, overpass))
            except NoValidPixelError as error:
                if len(passes) == 1:
                    raise
                _LOG.warning("left out: %s", error.reason)
        if not fetched:
            raise DataError(f"none of {len(passes)} passes has a valid pixel in the area; set other dates")
        write_lists(config.out_dir, fetched)
    return fetched


def require_fetch_permission(config: SearchConfig) -> None:
    """Refuse a search and the reading of its files unless requests are allowed.

    Raises:
        ConfigError: they are not; the message names each host and what it would be asked for.
    """
    source = source_of(config.source)
    planned = [planned_search(source, collections_of(source, config.sensors), config.period.period)]
    if source.token_address is not None:
        planned.append(PlannedRequest(urlsplit(source.token_address).netloc, "tokens that permit reading"))
    hosts = source.data_hosts or ("the hosts that the items name",)
    planned += [PlannedRequest(host, "parts of the band files") for host in hosts]
    require_permission(planned, allowed=config.may_request)


def fetch_pass(run: Fetching, overpass: Pass, grid: GeoGrid | None = None) -> FetchedPass:
    """Fetch a pass unless it is complete. Parts that an interrupted run has read are not read again.

    Args:
        run: folder, area, settings and connections.
        overpass: the pass.
        grid: grid of a radar image; by default that of the item that covers most of the area.

    Raises:
        NoValidPixelError: no pixel of the area is valid.
        DataError: a file cannot be read.
        RunFolderError: the pass was fetched with other settings, and ``overwrite`` is False.
    """
    out_dir = run.settings.out_dir
    final, work = out_dir / overpass.id, out_dir / f".{overpass.id}"
    checksum = _checksum(run, overpass, grid)
    item = finished_item(final, checksum, overwrite=run.settings.overwrite)
    if item is None:
        try:
            item = _read_pass(run, overpass, grid, work, checksum)
        except NoValidPixelError:
            shutil.rmtree(work)
            raise
        shutil.rmtree(final, ignore_errors=True)
        (work / "files").rename(final)
        shutil.rmtree(work)
    return FetchedPass(final, overpass, item)


def _read_pass(run: Fetching, overpass: Pass, grid: GeoGrid | None, work: Path, checksum: str) -> dict[str, Any]:
    """Write the files of a pass to ``work/files`` and return its item."""
    files = work / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    with closing(PassImages(run, overpass, work / "parts", grid)) as images:
        read_windows(run.client, images.windows(), show_progress=run.settings.show_progress)
        images.settle_offsets()
        share = write_pass(images, run.area.geometry, files)
        notes = [*images.notes, *(note for layer in images.layers for note in images.resampling(layer))]
        properties = {COVERED_SHARE: round(share, 6), CHECKSUM: checksum, **({NOTES: notes} if notes else {})}
        if run.area.attribution is not None:
            properties[ATTRIBUTION] = run.area.attribution
        grids = {layer.name: layer.grid for layer in images.layers}
        item = pass_item(overpass.id, images.items, grids, properties)
    write_area(files / AREA_FILE, run.area.geometry)
    write_text(files / ITEM_FILE, json.dumps(item, indent=2) + "\n")
    return item


def _checksum(run: Fetching, overpass: Pass, grid: GeoGrid | None) -> str:
    """Return a checksum of the source files, the area and the settings of a pass."""
    reading = run.settings.reading
    content = [
        sorted((item.id, asset.href) for item in overpass.items for asset in item.assets.values()),
        shapely.to_wkt(run.area.geometry, rounding_precision=9), list(reading.optical_bands), reading.resolution,
        run.settings.context, grid and [grid.crs, list(grid.transform), grid.height, grid.width],
    ]  # fmt: skip
    return sha256(json.dumps(content).encode()).hexdigest()[:16]
