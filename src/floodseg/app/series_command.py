"""Command ``floodseg series``."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from floodseg.config.series import SeriesConfig


def add_series_command(app: App) -> None:
    """Add the command of this module to ``app``."""
    app.command(series)


def series(
    maps: Path,
    *,
    config: Annotated[SeriesConfig, Parameter(name="*")] = SeriesConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    overwrite: bool = False,
) -> None:
    """Compute water frequency, dates and duration of flooding, and reference water by month, from many dated maps.

    floodseg series MAPS --out-dir SERIES

    After an interruption, run the same command again to continue.

    Parameters
    ----------
    maps
        Folder of maps: that of floodseg predict-many, or another one with flood.tif in its subfolders or with GeoTIFFs
        of the same codes. Or a CSV list with the columns map, datetime and orbit (the last two where files do not say).
    overwrite
        Replace finished products in --out-dir when the new ones are complete.
    """
    from floodseg.analysis.series.run import series_config
    from floodseg.app.reports.series import print_series

    print_series(series_config(maps, config, overwrite=overwrite, show_progress=True))
