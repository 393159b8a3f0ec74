"""Tests of the cloud network csmask. They need the extra ``clouds``; those on real images need FLOODSEG_DATA."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

pytest.importorskip("ukis_csmask", reason="the extra clouds is not installed")
onnxruntime = pytest.importorskip("onnxruntime")

from floodseg.bands import Bands, ProductLevel  # noqa: E402
from floodseg.config.predict import SceneConfig  # noqa: E402
from floodseg.geo.grid import Window  # noqa: E402
from floodseg.scene.clouds import csmask, hide_clouds  # noqa: E402
from floodseg.scene.clouds.bright_pixels import BrightPixels  # noqa: E402
from floodseg.scene.clouds.coarse_mask import find_clouds  # noqa: E402
from floodseg.scene.clouds.csmask import CSMASK_BANDS, Csmask  # noqa: E402
from floodseg.scene.file_scene import open_scene  # noqa: E402
from scenes import write_optical  # noqa: E402

_DATA = Path(os.environ.get("FLOODSEG_DATA") or "no data root") / "optical"
needs_data = pytest.mark.skipif(not _DATA.is_dir(), reason="FLOODSEG_DATA does not hold optical")


class FakeSession:
    """Session that stores its input, and returns the probabilities 0.1, ``cloud`` and the rest for shadow."""

    cloud = 0.75

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.images: list[NDArray[np.float32]] = []

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "input"})]

    def run(self, outputs: None, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        self.images.append(feeds["input"])
        shares = np.array([0.1, self.cloud, 0.9 - self.cloud], np.float32)
        return [np.broadcast_to(np.log(shares)[None, :, None, None] + 5, (1, 3, 256, 256))]


def test_image_is_normalised_and_continued_by_its_mirror_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    detector = Csmask(CSMASK_BANDS, "L1C")
    reflectance = np.random.default_rng(0).uniform(0, 1, (6, 40, 200)).astype(np.float32)
    assert detector.clouds(reflectance).shape == (40, 200)
    [image] = detector._session.images
    assert image.shape == (1, 6, 256, 256)
    assert image.dtype == np.float32
    # mean and standard deviation of the blue and of the last band in the package's metadata of L1C
    assert image[0, 0, 3, 4] == pytest.approx((reflectance[0, 3, 4] - 0.27552253) / 0.24488002, rel=1e-5)
    assert image[0, 5, 3, 4] == pytest.approx((reflectance[5, 3, 4] - 0.15826508) / 0.12604216, rel=1e-5)
    assert np.array_equal(image[0, :, 40:80, :200], image[0, :, :40, :200][:, ::-1])


@pytest.mark.parametrize(("cloud", "expected"), [(0.75, True), (0.65, False), (0.0001, False)])
def test_only_probable_cloud_counts_and_shadow_does_not(
    cloud: float, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", FakeSession)
    monkeypatch.setattr(FakeSession, "cloud", cloud)
    found = Csmask(CSMASK_BANDS, "L2A").clouds(np.zeros((6, 8, 8), np.float32))
    assert (found == expected).all()


def test_one_session_serves_all_tiles_of_a_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[FakeSession] = []

    def new_session(*arguments: Any, **settings: Any) -> FakeSession:
        sessions.append(FakeSession())
        return sessions[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", new_session)
    values = np.full((6, 300, 900), 0.1, np.float32)
    write_optical(tmp_path / "s2.tif", values, names=CSMASK_BANDS)
    scene = open_scene(SceneConfig(optical=(str(tmp_path / "s2.tif"),), optical_offset=0), Bands((), ("B03", "B08")))
    hide_clouds.hide_clouds(scene, "auto", threads=2)
    assert len(sessions) == 1
    assert len(sessions[0].images) == 2  # 300 cells of 3 pixels in a row
    assert not scene.read(Window(0, 0, 300, 900)).optical_valid.any()


def test_a_package_without_the_network_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(csmask, "_folder", lambda: tmp_path)
    with pytest.raises(
        csmask.ConfigError, match=r"model_6b_l1c\.onnx is missing; run pip install --force-reinstall ukis-"
    ):
        Csmask(CSMASK_BANDS, "L1C")


def masks(image: str, level: ProductLevel, offset: float) -> list[NDArray[np.bool_]]:
    """Return the clouds that csmask and brightness find in an image, (H, W) each."""
    found = []
    for detector in (Csmask(CSMASK_BANDS, level), BrightPixels()):
        scene = open_scene(SceneConfig(optical=(str(_DATA / image),), optical_offset=offset), Bands((), detector.bands))
        window = Window(0, 0, scene.grid.height, scene.grid.width)
        found.append(find_clouds(scene, detector, window, threads=2).read(window))
        scene.close()
    return found


def label(name: str) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(_DATA / name) as source:
            codes: NDArray[np.uint8] = source.read(1)
    return codes


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "kind", "level", "offset"),
    [("shanghai", "L2A_6band", "L2A", 0), ("amazon", "L2A", "L2A", -1000), ("brandenburg", "L1C", "L1C", 0)],
)
def test_at_most_2_percent_of_labelled_water_is_hidden(
    place: str, kind: str, level: ProductLevel, offset: float
) -> None:
    water = label(f"scenes/{place}_label.tif") == 1
    for found in masks(f"scenes/{place}_{kind}.tif", level, offset):
        assert found[water].mean() <= 0.02


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(("level", "offset"), [("L1C", -1000), ("L2A", 0)])
def test_at_most_5_percent_of_clear_snow_is_hidden(level: ProductLevel, offset: float) -> None:
    for found in masks(f"pairs/609U_541L_3_0_S2{level}.tif", level, offset):
        assert found.mean() <= 0.05


@needs_data
@pytest.mark.slow
def test_at_least_80_percent_of_labelled_cloud_is_found() -> None:
    codes = label("clouds/sentinel2_label.tif")
    for found in masks("clouds/sentinel2_toa_6band.tif", "L1C", 0):
        assert found[codes == 1].mean() >= 0.8
        assert found[codes == 0].mean() <= 0.06
