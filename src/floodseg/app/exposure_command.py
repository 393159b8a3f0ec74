"""Command ``floodseg exposure``."""

from typing import Annotated

from cyclopts import App, Parameter

from floodseg.config.exposure import ExposureConfig


def add_exposure_command(app: App) -> None:
    """Add the command of this module to ``app``."""
    app.command(exposure)


def exposure(
    flood: str,
    *,
    config: Annotated[ExposureConfig, Parameter(name="*")] = ExposureConfig(),  # noqa: B008 (frozen: cannot be changed between calls)
    overwrite: bool = False,
) -> None:
    """Count people, buildings, roads and land in the flood of a finished map.

    floodseg exposure flood/flood.tif --population ghs_pop.tif --population-source "GHS-POP R2023A, 2020, CC BY 4.0"

    Every figure has its total in the area, and two bounds: in the mapped flood, and in the flood or where the map could
    not see.

    Parameters
    ----------
    flood
        Map of classes: flood.tif of floodseg predict, or a raster with the same codes.
    overwrite
        Replace finished products in --out-dir.
    """
    from floodseg.system.extras import require_extra

    require_extra("exposure", "exactextract", purpose="floodseg exposure")
    from floodseg.analysis.exposure.exposure import exposure_config
    from floodseg.app.reports.exposure import print_exposure

    print_exposure(exposure_config(flood, config, overwrite=overwrite, show_progress=True))
