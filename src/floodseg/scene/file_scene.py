"""Scene in files: both sensors on one grid, read and warped window by window."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import DATES, Bands, Sensor, band_date
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.setting_checks import check_settings
from floodseg.scene.image import Image, WarpedFile, clip
from floodseg.scene.open_image import ImageRequest, open_image, open_mask_file
from floodseg.scene.placement import check_reference, place_on_grid, resampling_note
from floodseg.scene.safe import CLOUD_CLASSES
from floodseg.scene.scene import SceneWindow
from floodseg.scene.session import Session
from floodseg.scene.unit_checks import check_image

_Numbers = NDArray[np.float32]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _PlacedImage:
    """One sensor at one date on the grid of the scene."""

    files: tuple[WarpedFile, ...]
    channels: tuple[tuple[int, ...], ...]
    """Of each file: the channels of the scene that its bands become."""
    scene_classes: WarpedFile | None

    def read(self, window: Window, values: _Numbers) -> _Mask:
        """Write the bands to their channels of ``values`` (C, H, W) and return where they are valid, (H, W)."""
        shape = (window.height, window.width)
        missing, dark = np.zeros(shape, np.bool_), np.ones(shape, np.bool_)
        for file, channels in zip(self.files, self.channels, strict=True):
            block = file.read(window)
            values[list(channels)] = block.values
            missing |= block.missing
            dark &= block.dark
        valid: _Mask = ~(missing | dark)
        if self.scene_classes is not None:
            valid &= ~np.isin(self.scene_classes.read(window).values[0], list(CLOUD_CLASSES))
        return valid


class FileScene:
    """A scene whose imagery lies in files; satisfies :class:`floodseg.scene.scene.Scene`."""

    def __init__(self, session: Session, grid: GeoGrid, bands: Bands) -> None:
        self._session, self._grid, self._bands = session, grid, bands
        self._images: dict[Sensor, list[_PlacedImage]] = {"sar": [], "optical": []}
        self._cloud_mask: WarpedFile | None = None
        self._inputs: dict[str, tuple[str, ...]] = {}
        self._assumptions: list[str] = []
        self._impossible: set[str] = set()
        self._lock = threading.Lock()

    @property
    def grid(self) -> GeoGrid:
        """The pixel grid of the products."""
        return self._grid

    @property
    def bands(self) -> Bands:
        """The channels of every window."""
        return self._bands

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The files behind it, by flag without dashes, with underscores."""
        return dict(self._inputs)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted, so far as the windows that were read show it."""
        with self._lock:
            odd = sorted(self._impossible)
        return (
            *self._assumptions,
            *(f"{name}: pixels with values that are physically impossible are taken as invalid" for name in odd),
        )

    def read(self, window: Window) -> SceneWindow:
        """Return the imagery inside a window of the grid; beyond the grid all is invalid.

        Raises:
            DataError: a file cannot be read; it and the place are named.
        """
        sar, sar_valid = self._sensor("sar", self._bands.sar, window)
        optical, optical_valid = self._sensor("optical", self._bands.optical, window)
        return SceneWindow(sar, optical, sar_valid, optical_valid)

    def close(self) -> None:
        """Close all files."""
        self._session.close()

    def add(self, image: Image, reference_name: str, reference: GeoGrid, channels: dict[str, int]) -> None:
        """Place an image beside the reference; its bands become the channels named."""
        files, classes = [], None
        for file in image.files:
            placed, assumed = place_on_grid(file.path, file.grid, reference_name, reference)
            self._assumptions.extend([assumed] if assumed and file.grid != reference else [])
            files.append(
                WarpedFile(self._session, replace(file, grid=placed), self._grid, image, self._report_impossible)
            )
        if image.scene_classes is not None:
            classes = WarpedFile(self._session, image.scene_classes, self._grid, None)
        of_files = tuple(tuple(channels[band.name] for band in file.bands) for file in image.files)
        self._images[image.sensor].append(_PlacedImage(tuple(files), of_files, classes))
        self._inputs[image.flag.replace("-", "_")] = image.sources
        self._assumptions.extend(image.assumptions)
        how = resampling_note(image.name, [file.resampling for file in files])
        self._assumptions.extend([how] if how else [])

    def add_cloud_mask(self, name: str, reference_name: str, reference: GeoGrid) -> None:
        """Hide the ground from the optical sensor where a raster is not 0."""
        mask = open_mask_file(self._session, name, "cloud_mask")
        placed, assumed = place_on_grid(name, mask.grid, reference_name, reference)
        self._assumptions.extend([assumed] if assumed else [])
        self._cloud_mask = WarpedFile(self._session, replace(mask, grid=placed), self._grid, None)
        self._inputs["cloud_mask"] = (name,)
        how = resampling_note(name, [self._cloud_mask.resampling])
        self._assumptions.extend([how] if how else [])

    def _sensor(self, sensor: Sensor, names: Sequence[str], window: Window) -> tuple[_Numbers, _Mask]:
        values = np.zeros((len(names), window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        inner, (top, left) = clip(window, self._grid)
        images = self._images[sensor]
        if inner is None or not images:
            return values, valid
        place_in_window = (slice(top, top + inner.height), slice(left, left + inner.width))
        part = values[:, *place_in_window]
        usable = np.logical_and.reduce([image.read(inner, part) for image in images])
        if sensor == "optical" and self._cloud_mask is not None:
            usable &= self._cloud_mask.read(inner).values[0] == 0
        part[:, ~usable] = 0
        valid[place_in_window] = usable
        return values, valid

    def _report_impossible(self, name: str) -> None:
        with self._lock:
            self._impossible.add(name)


def reference_grid(config: SceneConfig, bands: Bands) -> GeoGrid:
    """Return the grid that the products of a scene would have, from the headers of its files.

    Raises:
        ConfigError, DataError: as ``open_scene``, but for what pixels show.
    """
    session = Session(config.allow_remote)
    try:
        return _reference(_open_images(session, config, bands), config).grid
    finally:
        session.close()


def open_scene(config: SceneConfig, bands: Bands, window: Window | None = None) -> FileScene:
    """Open the imagery of a scene for a model.

    Args:
        config: the flags of imagery; those of layers and products are not looked at.
        bands: the channels that the model takes.
        window: the part of ``reference_grid`` that is wanted; by default all. Nothing beyond it is mapped, and pixels
            beyond it are invalid.

    Raises:
        ConfigError: flags that do nothing or contradict each other, sensors that the model does not take, or an address
            without ``allow_remote``.
        DataError: files that cannot be read or lack bands, that do not overlap, or whose values show another unit,
            another order or a wrong offset.
    """
    return _closing(Session(config.allow_remote), lambda session: _open(session, config, bands, window))


def open_scene_before(config: SceneConfig, bands: Bands, grid: GeoGrid) -> FileScene:
    """Open the radar of before the flood for a one-date model, on the grid of the main scene.

    The scene has the model's channels, and no optical imagery.

    Raises:
        ConfigError, DataError: as ``open_scene``.
    """

    def opened(session: Session) -> FileScene:
        request = ImageRequest("sar-before", "sar", bands.sar_unit, bands.sar, config.sar_before, config.sar_units)
        image = open_image(session, request)
        scene = FileScene(session, grid, bands)
        scene.add(image, "the scene", grid, {name: channel for channel, name in enumerate(bands.sar)})
        check_image(session, image)
        return scene

    if not config.sar_before or not bands.sar:
        raise ConfigError("`sar_before`: no radar image of before was given, or the model takes no radar: give both")
    return _closing(Session(config.allow_remote), opened)


def _closing(session: Session, opened: Callable[[Session], FileScene]) -> FileScene:
    """Return the scene that ``opened`` makes; where it raises, no file stays open."""
    try:
        return opened(session)
    except BaseException:
        session.close()
        raise


def _open(session: Session, config: SceneConfig, bands: Bands, window: Window | None) -> FileScene:
    images = _open_images(session, config, bands)
    reference = _reference(images, config)
    grid = reference.grid
    if window is not None:
        if clip(window, grid)[0] != window:
            raise ValueError(f"{window} reaches beyond the {grid.height}x{grid.width} pixels of {reference.name}")
        grid = grid.crop(window)
    check_reference(reference.name, grid)
    scene = FileScene(session, grid, bands)
    for image in images:
        names = bands.sar if image.sensor == "sar" else bands.optical
        scene.add(image, reference.name, reference.grid, _channels(names, image.flag))
    if config.cloud_mask is not None:
        scene.add_cloud_mask(config.cloud_mask, reference.name, reference.grid)
    for image in images:
        check_image(session, image)
    return scene


def _channels(names: Sequence[str], flag: str) -> dict[str, int]:
    """Return the bands of one date without it -> their channels among ``names``."""
    date = DATES[0] if flag.endswith("-before") else DATES[1]
    return {
        name.removesuffix(f"_{date}"): channel for channel, name in enumerate(names) if band_date(name) in ("", date)
    }


def _reference(images: Sequence[Image], config: SceneConfig) -> Image:
    wanted = config.grid if any(image.flag == config.grid for image in images) else images[0].flag
    return next(image for image in images if image.flag == wanted)


def _open_images(session: Session, config: SceneConfig, bands: Bands) -> list[Image]:
    """Return the images that the flags name, radar first, the later date first."""
    check_settings(config, bands)
    images = []
    given: tuple[tuple[Sensor, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
        ("sar", bands.sar, config.sar, config.sar_before),
        ("optical", bands.optical, config.optical, config.optical_before),
    )
    for sensor, names, after, before in given:
        two_dates = any(band_date(name) for name in names)
        for flag, references in ((sensor, after), (f"{sensor}-before", before if two_dates else ())):
            if references:
                unit = bands.sar_unit if sensor == "sar" else bands.optical_unit
                needed = tuple(_channels(names, flag))
                offset = config.optical_offset if unit == "reflectance" else None
                images.append(
                    open_image(session, ImageRequest(flag, sensor, unit, needed, references, config.sar_units, offset))
                )
    return images
