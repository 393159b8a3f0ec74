"""Tests of errors when a scene is opened: one sentence with the cause and the remedy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint

from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError, DataError, FloodsegError
from floodseg.geo.grid import Window
from floodseg.raster.access import is_remote
from floodseg.scene.file_scene import open_scene, open_scene_before, reference_grid
from scenes import CRS, L1C_BANDS, ORIGIN, optical_values, sar_values, write_optical, write_raster, write_sar

BOTH = Bands(("VV", "VH"), L1C_BANDS)
RADAR = Bands(("VV", "VH"), ())
OPTICAL = Bands((), L1C_BANDS)
TWO_DATES = Bands(("VV_before", "VV_after"), (), "dn", "dn")


def error_message(bands: Bands, **flags: object) -> str:
    """Return the error message of ``open_scene``."""
    settings = {key: (str(value),) if isinstance(value, Path) else value for key, value in flags.items()}
    with pytest.raises(FloodsegError) as caught:
        open_scene(SceneConfig(**settings), bands)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert caught.value.exit_code == 2
    return sentence


def test_swapped_polarisations_are_refused(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif", sar_values()[::-1], names=())
    message = error_message(RADAR, sar=tmp_path / "s1.tif")
    assert "s1.tif: its VV is 6.0 dB weaker than its VH" in message
    assert "`sar=VV.tif VH.tif`" in message


def test_swapped_polarisations_of_linear_power_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "s1.tif", 10 ** (sar_values()[::-1] / 10))
    assert "swapped" in error_message(RADAR, sar=tmp_path / "s1.tif", sar_units="linear")


def test_linear_power_and_decibels_are_not_confused(tmp_path: Path) -> None:
    write_raster(tmp_path / "power.tif", 10 ** (sar_values() / 10))
    assert "use `sar_units=linear`" in error_message(RADAR, sar=tmp_path / "power.tif")
    write_sar(tmp_path / "db.tif")
    assert "use `sar_units=db`" in error_message(RADAR, sar=tmp_path / "db.tif", sar_units="linear")


def test_amplitudes_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "s1.tif", np.random.default_rng(0).integers(20, 900, (2, 48, 40)).astype(np.uint16))
    assert "calibrate" in error_message(RADAR, sar=tmp_path / "s1.tif")
    assert "not calibrated" in error_message(RADAR, sar=tmp_path / "s1.tif", sar_units="linear")


def test_undeclared_radar_nodata_is_refused(tmp_path: Path) -> None:
    radar = sar_values()
    radar[:, :4] = -9999
    write_raster(tmp_path / "s1.tif", radar)
    assert f"rio edit-info --nodata -9999 {tmp_path / 's1.tif'}" in error_message(RADAR, sar=tmp_path / "s1.tif")


def test_reflectance_not_times_10000_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "s2.tif", optical_values())
    for offset in (None, 0.0, -1000.0):
        assert "multiply the values" in error_message(OPTICAL, optical=tmp_path / "s2.tif", optical_offset=offset)
    write_raster(tmp_path / "tagged.tif", optical_values(), scales=[1e-4] * 13, offsets=[0.0] * 13)
    assert "scaled already, so the GDAL scale" in error_message(OPTICAL, optical=tmp_path / "tagged.tif")


def test_missing_offset_is_refused(tmp_path: Path) -> None:
    write_optical(tmp_path / "s2.tif", stored_offset=1000)
    message = error_message(OPTICAL, optical=tmp_path / "s2.tif")
    assert "`optical_offset=-1000` for processing baseline 04.00 and later" in message
    for offset in (-1000.0, 0.0):  # an explicit offset is accepted
        open_scene(SceneConfig(optical=(str(tmp_path / "s2.tif"),), optical_offset=offset), OPTICAL).close()
    write_optical(tmp_path / "tagged.tif", stored_offset=1000, offset_tag=True)
    open_scene(SceneConfig(optical=(str(tmp_path / "tagged.tif"),)), OPTICAL).close()
    stored = np.round(optical_values() * 1e4 + 1000).astype(np.uint16)
    write_raster(tmp_path / "half.tif", stored, scales=[1e-4] * 13, offsets=[0.0] * 13)
    assert "add the GDAL offset tag -0.1" in error_message(OPTICAL, optical=tmp_path / "half.tif")


def test_unused_bands_reveal_the_offset(tmp_path: Path) -> None:
    bright = np.full((13, 48, 40), 0.3, np.float32)  # a desert: dark only in the cirrus band
    bright[10] = 0.001
    write_optical(tmp_path / "old.tif", bright)
    open_scene(SceneConfig(optical=(str(tmp_path / "old.tif"),)), Bands((), ("B03", "B08"))).close()
    write_optical(tmp_path / "new.tif", bright, stored_offset=1000)
    assert "`optical_offset=-1000`" in error_message(Bands((), ("B03", "B08")), optical=tmp_path / "new.tif")


def test_offset_removed_twice_is_refused(tmp_path: Path) -> None:
    write_optical(tmp_path / "s2.tif")
    message = error_message(OPTICAL, optical=tmp_path / "s2.tif", optical_offset=-1000.0)
    assert "removed already or never existed; set `optical_offset=0`" in message
    write_raster(tmp_path / "t.tif", np.round(optical_values() * 1e4).astype(np.uint16), scales=[1e-4] * 13,
                 offsets=[-0.1] * 13)  # fmt: skip
    assert "correct the GDAL scale and offset tags" in error_message(OPTICAL, optical=tmp_path / "t.tif")
    message = error_message(OPTICAL, optical=tmp_path / "t.tif", optical_offset=0.0)
    assert "leave it out" in message


def test_missing_and_unidentified_bands_are_refused(tmp_path: Path) -> None:
    write_optical(tmp_path / "l2a.tif", bands=12)
    assert "lacks B10, which the model needs (L2A has no B10" in error_message(OPTICAL, optical=tmp_path / "l2a.tif")
    write_optical(tmp_path / "four.tif", bands=4)
    assert "has 4 bands without names" in error_message(OPTICAL, optical=tmp_path / "four.tif")
    write_optical(tmp_path / "named.tif", bands=4, names=("B02", "B03", "B04", "B08"))
    message = error_message(Bands((), ("B03", "B11")), optical=tmp_path / "named.tif")
    assert "lacks B11, which the model needs, and has B02, B03, B04, B08; use" in message
    write_raster(tmp_path / "forty.tif", np.ones((40, 8, 8), np.uint16))
    assert "has 40 bands without names" in error_message(OPTICAL, optical=tmp_path / "forty.tif")
    write_raster(tmp_path / "VV.tif", sar_values()[:1])
    assert "holds only VV, but the model needs VV and VH" in error_message(RADAR, sar=tmp_path / "VV.tif")
    write_raster(tmp_path / "radar.tif", sar_values()[:1])
    assert "its band cannot be identified" in error_message(RADAR, sar=tmp_path / "radar.tif")
    twice = (str(tmp_path / "VV.tif"), str(tmp_path / "VV.tif"))
    assert "band VV is in" in error_message(RADAR, sar=twice)


def test_complex_and_8_bit_images_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "slc.tif", np.ones((2, 8, 8), np.complex64))
    assert "holds complex numbers" in error_message(RADAR, sar=tmp_path / "slc.tif")
    write_raster(tmp_path / "rgb.tif", np.ones((13, 8, 8), np.uint8))
    assert "8-bit numbers" in error_message(OPTICAL, optical=tmp_path / "rgb.tif")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    assert "missing.tif: cannot be read as a raster" in error_message(RADAR, sar=tmp_path / "missing.tif")
    (tmp_path / "text.tif").write_text("not a raster")
    assert "text.tif: cannot be read as a raster" in error_message(RADAR, sar=tmp_path / "text.tif")


def test_damaged_file_is_reported_with_name_and_position(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif", sar_values(900, 700), names=())
    content = (tmp_path / "s1.tif").read_bytes()
    (tmp_path / "s1.tif").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DataError, match=r"s1\.tif: rows \d+ to \d+, columns \d+ to \d+ cannot be read"):
        open_scene(SceneConfig(sar=(str(tmp_path / "s1.tif"),)), RADAR).read(Window(800, 0, 100, 700))


def test_images_without_overlap_are_refused(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", origin=(ORIGIN[0] + 50_000, ORIGIN[1]))
    message = error_message(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif")
    assert "s1.tif covers longitude 15.000 to 15.005, latitude 45.149 to 45.153" in message
    assert "s2.tif covers longitude 15.636 to 15.641" in message
    write_sar(tmp_path / "before.tif", origin=(ORIGIN[0], ORIGIN[1] + 9000))
    config = SceneConfig(sar=(str(tmp_path / "s1.tif"),), sar_before=(str(tmp_path / "before.tif"),))
    with pytest.raises(DataError, match="do not overlap"):
        open_scene_before(config, RADAR, reference_grid(config, RADAR))


def test_mismatched_images_without_a_coordinate_system_are_refused(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", optical_values(40, 40), crs=None)
    message = error_message(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif")
    assert "has no coordinate system, so both must have the same size, but they have 40x40 and 48x40 pixels" in message
    write_sar(tmp_path / "bare.tif", crs=None)
    write_optical(tmp_path / "apart.tif", crs=None, origin=(0.0, 0.0))
    assert "their geotransforms differ" in error_message(
        BOTH, sar=tmp_path / "bare.tif", optical=tmp_path / "apart.tif"
    )


def test_rotated_and_too_large_grids_are_refused(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    with rasterio.open(tmp_path / "s1.tif", "r+") as target:
        target.transform = rasterio.Affine(9, 3, ORIGIN[0], 3, -9, ORIGIN[1])
    assert "rotated or sheared" in error_message(RADAR, sar=tmp_path / "s1.tif")
    (tmp_path / "huge.vrt").write_text(
        '<VRTDataset rasterXSize="1000000" rasterYSize="1000000"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>0, 10, 0, 0, 0, -10</GeoTransform>"
        + "".join(f'<VRTRasterBand dataType="Float32" band="{number}"/>' for number in (1, 2))
        + "</VRTDataset>"
    )
    assert "has 1000000x1000000 pixels" in error_message(RADAR, sar=tmp_path / "huge.vrt")


def test_ground_control_points_are_refused(tmp_path: Path) -> None:
    points = [GroundControlPoint(row, col, 15 + col / 1e4, 45 - row / 1e4) for row in (0, 48) for col in (0, 40)]
    with rasterio.open(
        tmp_path / "s1.tif", "w", driver="GTiff", count=2, height=48, width=40, dtype="float32", gcps=points, crs=CRS
    ) as target:
        target.write(sar_values())
    assert "ground control points" in error_message(RADAR, sar=tmp_path / "s1.tif")


@pytest.mark.parametrize(
    "address",
    ["https://example.org/s1.tif", "s3://bucket/s1.tif", "/vsicurl/https://example.org/s1.tif", "/vsis3/bucket/s1.tif",
     "/vsizip//vsicurl/https://example.org/s1.zip/s1.tif", "/vsicurl?url=https%3A%2F%2Fexample.org/s1.tif"],
)  # fmt: skip
def test_remote_files_need_allow_remote(address: str) -> None:
    assert is_remote(address)
    assert "only with `allow_remote`" in error_message(RADAR, sar=(address,))


def test_remote_sources_of_vrt_files_need_allow_remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def virtual(name: str, source: str, relative: int) -> Path:
        band = (
            f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename></SimpleSource>'
            "</VRTRasterBand>"
        )
        (tmp_path / name).write_text(
            '<VRTDataset rasterXSize="40" rasterYSize="48">'
            + "".join(f'<VRTRasterBand dataType="Float32" band="{number}">{band}' for number in (1, 2))
            + "</VRTDataset>"
        )
        return tmp_path / name

    inner = virtual("inner.vrt", "/vsicurl/https://example.org/s1.tif", 0)
    assert "takes its pixels from /vsicurl/https://example.org/s1.tif" in error_message(RADAR, sar=inner)
    assert "only with `allow_remote`" in error_message(RADAR, sar=virtual("outer.vrt", "inner.vrt", 1))
    assert "nested more than" in error_message(RADAR, sar=virtual("self.vrt", "self.vrt", 1))
    (tmp_path / "service.xml").write_text(
        '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service>'
        "<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>1</UpperLeftY><LowerRightX>1</LowerRightX>"
        "<LowerRightY>0</LowerRightY><TileLevel>1</TileLevel></DataWindow></GDAL_WMS>"
    )
    assert "service.xml: cannot be read" in error_message(RADAR, sar=tmp_path / "service.xml")
    assert "service.xml: cannot be read" in error_message(RADAR, sar=virtual("hidden.vrt", "service.xml", 1))


CASES: dict[str, tuple[Callable[[Path], dict[str, object]], Bands, str]] = {
    "nothing": (lambda folder: {}, BOTH, "no image to map; set `sar`, `optical` or both"),
    "optical for radar": (lambda folder: {"sar": folder / "s1.tif", "optical": folder / "s2.tif"}, RADAR,
                          "the model takes no optical image"),
    "radar for optical": (lambda folder: {"sar": folder / "s1.tif"}, OPTICAL, "the model takes no radar image"),
    "one date": (lambda folder: {"sar": folder / "s1.tif"}, TWO_DATES, "set `sar_before`, too"),
    "before alone": (lambda folder: {"optical": folder / "s2.tif", "sar_before": folder / "s1.tif"},
                     Bands(("VV_before", "VV_after"), L1C_BANDS, "dn"), "set `sar`, too"),
    "radar before": (lambda folder: {"optical": folder / "s2.tif", "sar_before": folder / "s1.tif"}, OPTICAL,
                     "s1.tif`: the model takes no radar image; leave it out, or choose a model that does"),
    "misspelt method": (lambda folder: {"optical": folder / "s2.tif", "cloud_mask": "csmaks"}, OPTICAL,
                        "`cloud_mask=csmaks`: is neither auto, none nor csmask, and no file has this name; did you "
                        "mean `cloud_mask=csmask`?"),
    "method in capitals": (lambda folder: {"optical": folder / "s2.tif", "cloud_mask": "None"}, OPTICAL,
                           "did you mean `cloud_mask=none`?"),
    "missing mask": (lambda folder: {"optical": folder / "s2.tif", "cloud_mask": str(folder / "auto.tif")}, OPTICAL,
                     "auto.tif"),
    "optical before": (lambda folder: {"optical": folder / "s2.tif", "optical_before": folder / "s2.tif"}, OPTICAL,
                       "is an input of two-date models"),
    "unused grid": (lambda folder: {"sar": folder / "s1.tif", "grid": "optical"}, BOTH, "`grid=optical`: no optical"),
    "unused offset": (lambda folder: {"sar": folder / "s1.tif", "optical_offset": 0.0}, BOTH,
                      "`optical_offset=0.0`: no"),
    "unused mask": (lambda folder: {"sar": folder / "s1.tif", "cloud_mask": "m.tif"}, BOTH, "`cloud_mask=m.tif`: no"),
    "unused mask of a sar folder": (lambda folder: {"sar": folder / "s1.tif", "cloud_mask": "/data/sar/m.tif"}, BOTH,
                                    "`cloud_mask=/data/sar/m.tif`: no optical image is in use"),
    "unused units": (lambda folder: {"optical": folder / "s2.tif", "sar_units": "linear"}, BOTH,
                   "`sar_units=linear`: no radar image"),
    "mask of bands": (lambda folder: {"optical": folder / "s2.tif", "cloud_mask": str(folder / "s1.tif")}, BOTH,
                      "a mask must have 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_conflicting_settings_are_refused(case: str, tmp_path: Path) -> None:
    flags, bands, expected = CASES[case]
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif")
    assert expected in error_message(bands, **flags(tmp_path))


def test_setting_errors_are_config_errors_and_an_empty_image_is_no_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        open_scene(SceneConfig(), BOTH)
    write_sar(tmp_path / "s1.tif", np.full((2, 48, 40), np.nan, np.float32))
    scene = open_scene(SceneConfig(sar=(str(tmp_path / "s1.tif"),)), RADAR)  # an image without valid pixels is accepted
    assert not scene.read(Window(0, 0, 48, 40)).sar_valid.any()
