"""Choice of the method that finds clouds in the optical image of a scene."""

from difflib import get_close_matches
from logging import getLogger
from pathlib import Path

from floodseg.bands import Bands, band_date
from floodseg.config.predict import CLOUD_METHODS
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import Window
from floodseg.messages import redacted
from floodseg.raster.access import is_remote
from floodseg.scene.base import BaseScene, OpticalSource
from floodseg.scene.clouds.bright_pixels import BLUE, SHORTWAVE, BrightPixels
from floodseg.scene.clouds.coarse_mask import CloudDetector, CoarseMask, find_clouds
from floodseg.scene.clouds.csmask import CSMASK_BANDS, Csmask, csmask_is_installed, require_csmask
from floodseg.system.progress import MapProgress

_LOG = getLogger("floodseg")
_PIP = "pip install 'floodseg[clouds]'"


def check_method(method: str, bands: Bands) -> None:
    """Raise ConfigError if ``cloud_mask`` is a misspelt method, or ``csmask`` and cannot be used.

    Args:
        method: value of ``cloud_mask``.
        bands: bands of the model.
    """
    _check_spelling(method)
    if method != "csmask":
        return
    if not _takes_reflectance(bands):
        raise ConfigError(
            "`cloud_mask=csmask`: finds clouds in reflectance of one date, which this model does not take; leave it out"
        )
    require_csmask()


def _check_spelling(method: str) -> None:
    path = Path(method)
    close = get_close_matches(path.name.lower(), CLOUD_METHODS, n=1)
    if close and method not in CLOUD_METHODS and not (path.suffix or is_remote(method) or path.exists()):
        raise ConfigError(
            f"`cloud_mask={method}`: is neither {', '.join(CLOUD_METHODS[:-1])} nor {CLOUD_METHODS[-1]}, and no file "
            f"has this name; did you mean `cloud_mask={close[0]}`?"
        )


def hide_clouds(
    scene: BaseScene, method: str, area: Window | None = None, *, threads: int = 1, show_progress: bool = False
) -> None:
    """Find the clouds of a scene and hide them, by ``cloud_mask=auto`` or ``csmask``.

    ``auto`` does nothing if the scene already has a mask, such as a scene classification, or if the model takes digital
    numbers or two dates. With other values of
    ``cloud_mask``, nothing is done.

    Args:
        scene: scene whose optical image is searched.
        method: value of ``cloud_mask``.
        area: part of the grid to search; by default all.
        threads: number of tiles that are searched at the same time.
        show_progress: show a progress bar.

    Raises:
        ConfigError: ``csmask`` cannot be used.
        DataError: ``csmask`` needs bands that the image lacks, or a file cannot be read.
    """
    check_method(method, scene.bands)
    source = scene.optical_source
    if source is None or method not in ("auto", "csmask") or scene.cloud_masks or not _takes_reflectance(scene.bands):
        return
    lacking = _lacking_bands(source, CSMASK_BANDS)
    if method == "csmask" and lacking:
        raise DataError(
            f"`cloud_mask=csmask`: {source.name} lacks {', '.join(lacking)}; use an image with "
            f"{', '.join(CSMASK_BANDS)}, or {source.mask_advice}, or set `cloud_mask=none`"
        )
    if not lacking and csmask_is_installed():
        bands = tuple(_image_band(source, band) for band in CSMASK_BANDS)
        detector = Csmask(bands, source.level or "L1C")
        mask = _search(scene, source, detector, area, threads, show_progress)
        scene.hide(mask.read, "csmask", _csmask_note(source))
    elif missing := _lacking_bands(source, BrightPixels().bands):
        _warn(
            scene,
            f"{source.name}: clouds are not hidden, since the image lacks {' and '.join(missing)}; add these bands, or "
            f"{source.mask_advice}, or set `cloud_mask=none` if the sky is clear",
        )
    else:
        mask = _search(scene, source, BrightPixels(), area, threads, show_progress)
        scene.hide(mask.read, "brightness")
        _warn(scene, _brightness_note(source, lacking))


def _takes_reflectance(bands: Bands) -> bool:
    """Return True if a model takes no optical bands, or reflectance of one date."""
    return bands.optical_unit == "reflectance" and not any(band_date(name) for name in bands.optical)


def _image_band(source: OpticalSource, band: str) -> str:
    return "B8A" if band == "B08" and "B08" not in source.bands else band


def _lacking_bands(source: OpticalSource, bands: tuple[str, ...]) -> list[str]:
    return [band for band in bands if _image_band(source, band) not in source.bands]


def _search(
    scene: BaseScene, source: OpticalSource, detector: CloudDetector, area: Window | None, threads: int, progress: bool
) -> CoarseMask:
    area = area or Window(0, 0, scene.grid.height, scene.grid.width)
    bands = source.open_bands(detector.bands)
    with MapProgress(area.height * area.width, enabled=progress, verb="searched for clouds") as bar:
        return find_clouds(bands, detector, area, threads=threads, report=bar.advance)


def _csmask_note(source: OpticalSource) -> str:
    level = source.level or "L1C, since its level is not known"
    return f"{source.name}: pixels that csmask takes for cloud are invalid; its network is that for {level}"


def _brightness_note(source: OpticalSource, lacking: list[str]) -> str:
    reason = (
        f"csmask needs {' and '.join(lacking)}, which the image lacks"
        if lacking
        else f"the network csmask, which finds more clouds, is not installed; {_PIP}"
    )
    return (
        f"{source.name}: pixels as bright as cloud (B02 above {BLUE:g} and B11 above {SHORTWAVE:g}) are invalid, and "
        f"thin clouds may remain; {reason}"
    )


def _warn(scene: BaseScene, note: str) -> None:
    """Log a note and add it to the assumptions."""
    _LOG.warning("%s", redacted(note))
    scene.add_note(note)
