"""Commands that start from a place and a date: ``floodseg search``."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from floodseg.config.places import SearchConfig


def add_place_commands(app: App) -> None:
    """Add the commands of this module to ``app``."""
    app.command(search)


def search(
    *,
    config: Annotated[SearchConfig, Parameter(name="*")] = SearchConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """List the Sentinel-1 and Sentinel-2 passes over a place in a public catalogue.

    floodseg search --place "Valencia, ES" --radius 20km --date 2024-10-31 --window 6d --allow-remote

    The pass that covers most of the area comes first, then the nearest in time. Nothing is downloaded but the list.

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
