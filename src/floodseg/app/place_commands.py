"""Commands that start from a place and a date: ``floodseg search``, ``floodseg fetch`` and ``floodseg map``."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from floodseg.config.fetch import FetchConfig, MapPlaceConfig
from floodseg.config.places import SearchConfig


def add_place_commands(app: App) -> None:
    """Add the commands of this module to ``app``."""
    app.command(search)
    app.command(fetch)
    app.command(map)


def search(
    *,
    config: Annotated[SearchConfig, Parameter(name="*")] = SearchConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """List the Sentinel-1 and Sentinel-2 passes over a place in a public catalogue.

    floodseg search --place "Valencia, ES" --radius 20km --date 2024-10-31 --window 6d --allow-remote

    The pass that covers most of the area comes first; among equals, the nearest in time. Only the list is downloaded.

    Parameters
    ----------
    json_file
        Write the passes and their items to this JSON file.
    """
    from floodseg.app.reports.places import print_search
    from floodseg.catalog.search import search_config
    from floodseg.system.files import require_writable, write_text

    if json_file is not None:
        require_writable(json_file, "json")
    result = search_config(config)
    print_search(result)
    if json_file is not None:
        write_text(json_file, json.dumps(result.document(), indent=2) + "\n")


def fetch(
    *,
    config: Annotated[FetchConfig, Parameter(name="*")] = FetchConfig(),  # noqa: B008 (frozen, too)
    overwrite: bool = False,
) -> None:
    """Fetch the images of passes over a place, cut to the area, as input files of floodseg predict.

    With --date, the best pass of each sensor is fetched: the one that covers most of the area. With --dates, every pass
    is fetched. For each sensor, a list for floodseg predict-many is written. Only the parts of the files that touch the
    area are read. After an interruption, run the same command again to continue.

    Parameters
    ----------
    overwrite
        Replace passes in --out-dir that were read for another area or with other settings.
    """
    from floodseg.app.reports.places import print_fetched
    from floodseg.workflows.fetch import fetch_config

    print_fetched(config.out_dir, fetch_config(config, overwrite=overwrite, show_progress=True))


def map(
    *,
    config: Annotated[MapPlaceConfig, Parameter(name="*")] = MapPlaceConfig(),  # noqa: B008 (frozen, too)
    model: str | None = None,
    list_only: Annotated[bool, Parameter(name="--list", negative=())] = False,
    overwrite: bool = False,
) -> None:
    """Map the flood at a place: search for passes, read their images, map them and compare with the time before.

    floodseg map --place "Valencia, ES" --radius 20km --date 2024-10-31 --out-dir valencia --allow-remote

    The pass that covers most of the area is mapped, together with the best pass of the other sensor within
    --days-apart. After an interruption, run the same command again to continue.

    Parameters
    ----------
    model
        Model, with the values and the default of floodseg predict.
    list_only
        Search only, and list what would be read and mapped.
    overwrite
        Replace finished products, and passes that were read for another area or with other settings.
    """
    from floodseg.app.reports.map import print_map
    from floodseg.app.reports.places import print_scene
    from floodseg.workflows.map_place import fetch_and_map, find_scene

    scene = find_scene(config)
    print_scene(scene)
    if not list_only:
        print_map(fetch_and_map(config, scene, model=model, overwrite=overwrite, show_progress=True))
