"""Command ``floodseg depth``."""

from typing import Annotated

from cyclopts import App, Parameter

from floodseg.config.depth import DepthConfig


def add_depth_command(app: App) -> None:
    """Add the command of this module to ``app``."""
    app.command(depth)


def depth(flood: str, *, config: Annotated[DepthConfig, Parameter(name="*")], overwrite: bool = False) -> None:
    """Compute the water depth of a flood map from an elevation model.

    floodseg depth flood/flood.tif --dem DEM.tif --out-dir depth

    The water level is that of the ground along the shore of each connected flood. A flood with too few shore samples,
    or with more than half of its border at the edge of the map, of nodata or of excluded areas, gets no depth.

    Parameters
    ----------
    flood
        Map: flood.tif or another raster with the codes 0 land, 1 flood, 2 permanent water, 3 excluded and 255 nodata.
    overwrite
        Replace finished products in --out-dir when the new ones are complete.
    """
    from floodseg.analysis.depth.run import depth_config
    from floodseg.app.reports.depth import print_depth

    print_depth(depth_config(flood, config, overwrite=overwrite, show_progress=True))
