"""Scene in files: images of both sensors, read and warped window by window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from floodseg.bands import DATES, Bands, Sensor, band_date
from floodseg.config.predict import SceneConfig, layer_file
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warped_source import clip
from floodseg.scene.base import BaseScene, Mask, OpticalSource, Values
from floodseg.scene.cloud_mask import check_mask, hidden_pixels, kind_note
from floodseg.scene.image import Image, ImageRequest, WarpedFile
from floodseg.scene.image_bands import check_order
from floodseg.scene.open_image import open_cloud_mask, open_image
from floodseg.scene.pixel_counts import PixelCounts
from floodseg.scene.placement import check_reference, place_on_grid, resampling_note
from floodseg.scene.safe import CLOUD_CLASSES
from floodseg.scene.session import Session
from floodseg.scene.setting_checks import check_settings
from floodseg.scene.unit_checks import check_image


@dataclass(frozen=True, slots=True)
class _WarpedImage:
    """Image of one sensor at one date on the grid of the scene."""

    name: str
    files: tuple[WarpedFile, ...]
    channels: tuple[tuple[int, ...], ...]
    """For each file, the channels of its bands."""
    pixel_counts: PixelCounts | None
    """Counts polarisations without signal, in radar images in dB."""

    def read(self, window: Window, values: Values) -> Mask:
        """Write the bands to their channels of ``values`` (C, H, W) and return their validity, (H, W)."""
        shape = (window.height, window.width)
        missing, fill = np.zeros(shape, np.bool_), np.ones(shape, np.bool_)
        for file, channels in zip(self.files, self.channels, strict=True):
            block = file.read(window)
            values[list(channels)] = block.values
            missing |= block.missing
            fill &= block.fill
        valid: Mask = ~(missing | fill)
        if self.pixel_counts is not None:
            bands = [values[channel] for channels in self.channels for channel in channels]
            self.pixel_counts.add_image(self.name, bands, valid)
        return valid


class FileScene(BaseScene):
    """A scene in files; implements :class:`floodseg.scene.scene.Scene`."""

    def __init__(self, session: Session, product_grid: GeoGrid, bands: Bands) -> None:
        super().__init__(bands)
        self._set_grids(product_grid)
        self._session = session
        self._images: dict[Sensor, list[_WarpedImage]] = {"sar": [], "optical": []}
        self._optical_source: OpticalSource | None = None

    def close(self) -> None:
        """Close all files."""
        self._session.close()

    def add(self, image: Image, reference_name: str, reference: GeoGrid, channels: dict[str, int]) -> None:
        """Add an image, which is warped to the grid of the scene; ``channels`` maps its bands to channels.

        An image without a coordinate system takes the reference grid.
        """
        files = []
        for file in image.files:
            placed, assumed = place_on_grid(file.path, file.grid, reference_name, reference)
            self.add_note(assumed if file.grid != reference else None)
            files.append(
                WarpedFile(self._session, replace(file, grid=placed), self.grid, image, self._pixel_counts.add)
            )
        self._pixel_counts.group_files([file.path for file in image.files])
        file_channels = tuple(tuple(channels[band.name] for band in file.bands) for file in image.files)
        pixel_counts = self._pixel_counts if image.request.unit == "db" else None
        self._images[image.request.sensor].append(_WarpedImage(image.name, tuple(files), file_channels, pixel_counts))
        self.inputs[image.request.setting] = image.request.references
        self.add_note(*image.assumptions, _resampling_note(image, files))
        if image.request.setting == "optical":
            self._optical_source = OpticalSource(
                image.name, image.available_bands, image.level,
                lambda bands: self._open_bands(image.request, reference_name, reference, bands),
            )  # fmt: skip
        if image.scene_classes is not None:
            file = image.scene_classes
            placed, _ = place_on_grid(file.path, file.grid, reference_name, reference)
            classes = WarpedFile(self._session, replace(file, grid=placed), self.grid, None)
            self.hide(
                lambda window: np.isin(classes.read(window).values[0], list(CLOUD_CLASSES)), "its scene classification"
            )

    @property
    def optical_source(self) -> OpticalSource | None:
        """The optical image, None without one."""
        return self._optical_source

    def _open_bands(
        self, request: ImageRequest, reference_name: str, reference: GeoGrid, bands: tuple[str, ...]
    ) -> "FileScene":
        """Return a scene of other bands of an optical image, on this grid, which shares the open files."""
        scene = FileScene(self._session, self.product_grid, Bands((), bands))
        image = open_image(self._session, replace(request, bands=bands, use_scene_classes=False))
        scene.add(image, reference_name, reference, {name: channel for channel, name in enumerate(bands)})
        return scene

    def check(self, image: Image) -> None:
        """Check a sample of the pixels of an image (see ``check_image`` and ``check_order``)."""
        check_order(self._session, image)
        self.add_note(*check_image(self._session, image))

    def add_cloud_mask(self, name: str, reference_name: str, reference: GeoGrid) -> None:
        """Make optical pixels invalid where a mask hides them.

        Raises:
            DataError: the mask cannot be read, its values are those of no mask, or it hides all optical pixels.
        """
        mask, source, kind = open_cloud_mask(self._session, name)
        placed, assumed = place_on_grid(name, mask.grid, reference_name, reference)
        file = WarpedFile(self._session, replace(mask, grid=placed), self.grid, None)
        self.inputs["cloud_mask"] = (name,)
        self.add_note(assumed, resampling_note(name, [file.resampling]))

        def read(window: Window) -> tuple[Values, Mask]:
            block = file.read(window)
            return block.values[0], block.missing

        self.add_note(kind_note(name, kind))
        check_mask(source, kind, self.grid, lambda window: self._read_sensor("optical", window)[1], read)
        self.hide(lambda window: hidden_pixels(kind, *read(window)), name)

    def _read_inside(self, sensor: Sensor, window: Window, values: Values) -> Mask | None:
        images = self._images[sensor]
        return np.logical_and.reduce([image.read(window, values) for image in images]) if images else None


def _resampling_note(image: Image, files: Sequence[WarpedFile]) -> str | None:
    """Return the note on the files of an image that are resampled to the grid, None if none is."""
    names = [each.path for each, file in zip(image.files, files, strict=True) if file.resampling is not None]
    return resampling_note(" ".join(names), [file.resampling for file in files])


def reference_grid(config: SceneConfig, bands: Bands) -> GeoGrid:
    """Return the north-up grid of a scene from the headers of its files.

    Raises:
        ConfigError, DataError: as ``open_scene``, without the checks of pixels.
    """
    session = Session(allow_remote=config.allow_remote)
    try:
        return _reference(_open_images(session, config, bands), config).grid.north_up
    finally:
        session.close()


def open_scene(config: SceneConfig, bands: Bands, window: Window | None = None) -> FileScene:
    """Open the images of a scene for a model.

    Args:
        config: settings of the images; those of layers and products are not used.
        bands: channels that the model needs.
        window: part of ``reference_grid`` to map; by default all. Pixels outside it are invalid.

    Raises:
        ConfigError: settings without effect or in conflict, sensors that the model does not take, or a remote file
            without ``allow_remote``.
        DataError: files that cannot be read, lack bands or do not overlap, or values that show another unit, another
            band order or a wrong offset.
    """
    return _close_on_error(
        Session(allow_remote=config.allow_remote), lambda session: _open(session, config, bands, window)
    )


def open_scene_before(config: SceneConfig, bands: Bands, grid: GeoGrid) -> FileScene:
    """Open the radar image from before the flood for a one-date model, on the grid of the main scene.

    The scene has the model's channels and no optical image. ``grid`` is the product grid of the main scene.

    ``bands`` has radar bands, and the settings name a radar image, see ``check_settings``.

    Raises:
        ConfigError, DataError: as ``open_scene``.
    """

    def open_before(session: Session) -> FileScene:
        request = ImageRequest("sar_before", "sar", bands.sar_unit, bands.sar, config.sar_before, config.sar_units)
        image = open_image(session, request)
        scene = FileScene(session, grid, bands)
        scene.add(image, "the scene", grid, {name: channel for channel, name in enumerate(bands.sar)})
        scene.check(image)
        return scene

    return _close_on_error(Session(allow_remote=config.allow_remote), open_before)


def _close_on_error(session: Session, opener: Callable[[Session], FileScene]) -> FileScene:
    """Return ``opener(session)``; close the session if it raises."""
    try:
        return opener(session)
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
        grid = grid.crop(grid.flip_window(window))
    check_reference(reference.name, grid)
    scene = FileScene(session, grid, bands)
    for image in images:
        scene.add(
            image, reference.name, reference.grid, _channels(bands.names(image.request.sensor), image.request.setting)
        )
    for image in images:
        scene.check(image)
    mask_file = layer_file("cloud_mask", config.cloud_mask)
    if mask_file is not None:
        scene.add_cloud_mask(mask_file, reference.name, reference.grid)
    return scene


def _channels(names: Sequence[str], setting: str) -> dict[str, int]:
    """Map the bands of one date, without the date in their names, to their channels among ``names``."""
    date = DATES[0] if setting.endswith("_before") else DATES[1]
    return {
        name.removesuffix(f"_{date}"): channel for channel, name in enumerate(names) if band_date(name) in ("", date)
    }


def _reference(images: Sequence[Image], config: SceneConfig) -> Image:
    return next((image for image in images if image.request.setting == config.grid), images[0])


def _open_images(session: Session, config: SceneConfig, bands: Bands) -> list[Image]:
    """Open the images of the settings: radar first, and the later date first."""
    check_settings(config, bands)
    images = []
    inputs: tuple[tuple[Sensor, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
        ("sar", bands.sar, config.sar, config.sar_before),
        ("optical", bands.optical, config.optical, config.optical_before),
    )
    for sensor, names, after, before in inputs:
        two_dates = any(band_date(name) for name in names)
        for setting, references in ((sensor, after), (f"{sensor}_before", before if two_dates else ())):
            if references:
                unit = bands.unit(sensor)
                needed = tuple(_channels(names, setting))
                offset = config.optical_offset if unit == "reflectance" else None
                request = ImageRequest(
                    setting, sensor, unit, needed, references, config.sar_units, offset,
                    use_scene_classes=config.cloud_mask == "auto",
                )  # fmt: skip
                images.append(open_image(session, request))
    return images
