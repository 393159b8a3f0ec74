"""Tests of scenes in memory, from numpy and labelled arrays."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.array_scene import ArrayScene
from floodseg.scene.file_scene import open_scene
from scenes import CRS, L1C_BANDS, ORIGIN, optical_values, sar_values, water_disc, write_optical, write_sar

BOTH = Bands(("VV", "VH"), L1C_BANDS)
RADAR = Bands(("VV", "VH"), ())
COMPLETE = Window(0, 0, 48, 40)
TRANSFORM = (10.0, 0.0, ORIGIN[0], 0.0, -10.0, ORIGIN[1])


def labelled(values: np.ndarray, names: list[str], order: tuple[str, ...] = ("band", "y", "x")) -> xr.DataArray:
    _, height, width = values.shape
    array = xr.DataArray(
        values,
        dims=("band", "y", "x"),
        coords={
            "band": names,
            "y": ORIGIN[1] - 10 * (np.arange(height) + 0.5),
            "x": ORIGIN[0] + 10 * (np.arange(width) + 0.5),
            "spatial_ref": xr.DataArray(0, attrs={"crs_wkt": CRS}),
        },
    )
    return array.transpose(*order)


def test_arrays_and_files_give_equal_scenes(tmp_path: Path) -> None:
    radar = sar_values()
    radar[0, 3, 4] = np.nan
    write_sar(tmp_path / "s1.tif", radar)
    reflectance = write_optical(tmp_path / "s2.tif")
    files = open_scene(SceneConfig(sar=(str(tmp_path / "s1.tif"),), optical=(str(tmp_path / "s2.tif"),)), BOTH)
    arrays = ArrayScene(BOTH, radar, reflectance, optical_bands=L1C_BANDS, crs=32633, transform=TRANSFORM)
    assert arrays.grid == files.grid
    assert arrays.inputs == {}
    for window in (COMPLETE, Window(-5, 30, 20, 20), Window(60, 60, 5, 5)):
        one, two = arrays.read(window), files.read(window)
        assert np.array_equal(one.sar, two.sar)
        # a file stores integers, and their conversion may differ from a quotient in the last bit
        assert np.allclose(one.optical, two.optical, rtol=2e-7, atol=0)
        assert np.array_equal(one.sar_valid, two.sar_valid)
        assert np.array_equal(one.optical_valid, two.optical_valid)
    assert not arrays.read(COMPLETE).sar_valid[3, 4]


@pytest.mark.parametrize("order", [("band", "y", "x"), ("y", "x", "band")])
def test_labelled_arrays_define_bands_and_grid(order: tuple[str, ...]) -> None:
    radar = labelled(sar_values()[::-1], ["VH", "VV"], order)
    names = ["B1", "blue", "Band 3", "B4", "B5", "B6", "B7", "nir", "nir08", "B9", "cirrus", "B11", "B12"]
    optical = labelled(optical_values(), names, order)
    scene = ArrayScene(BOTH, radar, optical)
    assert scene.grid.transform == pytest.approx(TRANSFORM)
    assert scene.grid.crs == CRS
    assert scene.assumptions == ()
    window = scene.read(COMPLETE)
    assert np.array_equal(window.sar, sar_values())
    assert np.array_equal(window.optical, optical_values())


def test_nodata_and_impossible_values_are_invalid() -> None:
    optical = labelled(optical_values(), list(L1C_BANDS))
    optical.attrs["_FillValue"] = -9.0
    optical.values[:, 0, 0] = -9
    optical.values[5, 1, 1] = 99
    window = ArrayScene(Bands((), L1C_BANDS), optical=optical).read(COMPLETE)
    expected = np.zeros((48, 40), np.bool_)
    expected[0, 0] = expected[1, 1] = True
    assert np.array_equal(~window.optical_valid, expected)
    assert not window.optical[:, expected].any()


def test_linear_power_and_two_dates() -> None:
    power = (10 ** (sar_values() / 10)).astype(np.float64)
    window = ArrayScene(RADAR, power, sar_units="linear").read(COMPLETE)
    assert np.abs(window.sar - sar_values()).max() < 1e-4
    numbers = np.random.default_rng(0).integers(1, 256, (2, 48, 40), dtype=np.uint8)
    numbers[1, 2, 3] = 0
    window = ArrayScene(Bands(("VV_before", "VV_after"), (), "dn"), numbers).read(COMPLETE)
    assert np.argwhere(~window.sar_valid).tolist() == [[2, 3]]
    assert np.array_equal(window.sar[:, window.sar_valid], numbers[:, window.sar_valid])


def test_lazy_array_is_read_by_windows() -> None:
    class Lazy:
        def __init__(self) -> None:
            self.shape, self.dtype, self.read = (2, 4000, 4000), np.dtype(np.float32), 0

        def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
            size = [part.stop - part.start for part in key[1:]]
            self.read += size[0] * size[1]
            return np.broadcast_to(np.array([-10, -16], np.float32)[:, None, None], (2, *size))

    lazy = Lazy()
    scene = ArrayScene(RADAR, lazy)
    scene.read(Window(100, 100, 64, 64))
    assert lazy.read < 200_000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "no image to map"),
        ({"sar": sar_values()[0, 0]}, r"shape \(40,\)"),
        ({"sar": sar_values()[:, :0]}, "holds no pixel"),
        ({"sar": sar_values().astype(complex)}, "real numbers"),
        ({"sar": np.zeros((3, 48, 40))}, "3 bands without names"),
        ({"sar": sar_values()[::-1]}, "swapped"),
        ({"sar": 10 ** (sar_values() / 10)}, "`sar_units=linear`"),
        ({"optical": optical_values() * 10_000}, "divide by 10000"),
        ({"optical": optical_values() / 10_000}, "divide by 10000"),
        ({"optical": optical_values(), "optical_bands": L1C_BANDS[:4]}, "13 bands, but 4 names"),
        ({"optical": optical_values(), "optical_bands": [*L1C_BANDS[:12], "B99"]}, "lacks B12"),
        ({"sar": sar_values(), "optical": optical_values(40, 40)}, "must lie on one grid"),
        ({"sar": sar_values(), "crs": "EPSG:32633"}, "without a transform"),
        ({"sar": sar_values(), "crs": "EPSG:1", "transform": TRANSFORM}, "is not known"),
        ({"sar": sar_values(), "transform": (9, 3, 0, 3, -9, 0)}, "is rotated, sheared or without area; resample"),
        ({"sar": xr.DataArray(np.zeros((2, 2, 48, 40)), dims=("time", "band", "y", "x"))}, r"sar\.isel\(time=0\)"),
        ({"sar": labelled(sar_values(), ["VV", "HH"])}, "lacks VH"),
    ],
)
def test_invalid_arrays_are_refused(arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        ArrayScene(BOTH, **arguments)


def test_uneven_and_different_coordinates_are_refused() -> None:
    radar = labelled(sar_values(), ["VV", "VH"])
    moved = labelled(optical_values(), list(L1C_BANDS)).assign_coords(x=radar.x + 400)
    with pytest.raises(DataError, match="their coordinates differ"):
        ArrayScene(BOTH, radar, moved)
    with pytest.raises(DataError, match="not evenly spaced"):
        ArrayScene(RADAR, radar.assign_coords(x=radar.x + 3 * (np.arange(40) % 2)))


def test_longitudes_that_jump_at_the_180th_meridian_are_refused_until_they_go_on() -> None:
    longitudes = (179.998 + 1e-4 * np.arange(40) + 180) % 360 - 180
    radar = labelled(sar_values(), ["VV", "VH"]).assign_coords(x=longitudes, y=-17 - 1e-4 * np.arange(48))
    with pytest.raises(DataError, match=r"assign coordinates that go on beyond 180 \(sar\.x % 360\)"):
        ArrayScene(RADAR, radar, crs="EPSG:4326")
    scene = ArrayScene(RADAR, radar.assign_coords(x=radar.x % 360), crs="EPSG:4326")
    assert scene.grid.transform == pytest.approx((1e-4, 0, 179.99795, 0, -1e-4, -16.99995))


def test_coordinate_system_of_a_dataset_may_be_a_variable() -> None:
    """As xarray opens NetCDF unless it decodes all coordinates."""
    radar = labelled(sar_values(), ["VV", "VH"]).drop_vars("spatial_ref")
    variables = {"vv": radar[0].drop_vars("band"), "vh": radar[1].drop_vars("band")}
    scene = ArrayScene(RADAR, xr.Dataset({**variables, "spatial_ref": ((), 0, {"crs_wkt": "EPSG:32633"})}))
    assert scene.grid.crs == "EPSG:32633"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["HH", "HV"], "HH, HV"),
        (["VV", ""], "VV, a band without a name"),
        (["co-pol", "cross-pol"], "co-pol, cross-pol"),
    ],
)
def test_other_names_than_vv_and_vh_are_never_taken_by_order(names: list[str], found: str) -> None:
    with pytest.raises(DataError, match=f"which the model needs, and has {found}; pass an array with these bands"):
        ArrayScene(RADAR, labelled(sar_values(), names))
    window = ArrayScene(RADAR, labelled(sar_values(), ["VV", "VH"])).read(COMPLETE)
    assert np.array_equal(window.sar, sar_values())


def test_ratio_is_ignored_and_a_repeated_band_is_refused() -> None:
    values = np.concatenate([sar_values(), sar_values()[:1] - sar_values()[1:]])
    window = ArrayScene(RADAR, labelled(values, ["VV", "VH", "VV/VH"])).read(COMPLETE)
    assert np.array_equal(window.sar, sar_values())
    with pytest.raises(DataError, match=r"`sar`: bands 1 and 3 are both named VV \(VV_mean, VV_median\)"):
        ArrayScene(RADAR, labelled(values, ["VV_mean", "VH_mean", "VV_median"]))


def test_band_of_validity_makes_pixels_invalid() -> None:
    values = np.concatenate([sar_values(), np.ones((1, 48, 40), np.float32)])
    values[2, 5, 6] = 0
    window = ArrayScene(RADAR, labelled(values, ["VV", "VH", "dataMask"])).read(COMPLETE)
    assert np.argwhere(~window.sar_valid).tolist() == [[5, 6]]


def test_13_unnamed_bands_that_are_not_l1c_are_refused_and_read_once_named() -> None:
    l1c = Bands((), L1C_BANDS)
    qa = np.zeros((1, 48, 40), np.float32)
    values = np.concatenate([optical_values(bands=12), qa])
    with pytest.raises(DataError, match="`optical`: has 13 bands without names, which are not those of L1C") as caught:
        ArrayScene(l1c, optical=values)
    names = re.search(r"optical_bands='(.*)'\.split\(\)", str(caught.value))
    assert names is not None
    scene = ArrayScene(Bands((), ("B03", "B12")), optical=values, optical_bands=names[1].split())
    assert np.array_equal(scene.read(COMPLETE).optical, values[[2, 11]])
    assert ArrayScene(l1c, optical=optical_values()).read(COMPLETE).optical_valid.all()


def dataset(**tags: object) -> xr.Dataset:
    """Return radar in dB as a dataset of vv and vh with the coordinates of the scene."""
    array = labelled(sar_values(), ["VV", "VH"])
    coordinates = {name: array.coords[name] for name in ("y", "x", "spatial_ref")}
    return xr.Dataset(
        {name: (("y", "x"), band, dict(tags)) for name, band in zip(("vv", "vh"), sar_values(), strict=True)},
        coordinates,
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda: dataset(),
        lambda: dataset().expand_dims(time=[np.datetime64("2024-10-19")]),
        lambda: dataset().to_array(),
        lambda: dataset().to_array("band").expand_dims("time"),
        lambda: dataset()[["vh", "vv"]],
        lambda: dataset().assign(angle=(("y", "x"), np.full((48, 40), 38.0))),
        lambda: dataset(grid_mapping="spatial_ref").reset_coords("spatial_ref"),
        lambda: dataset().to_array("band").to_dataset(name="band_data").reset_coords("spatial_ref"),
        lambda: dataset().chunk({"y": 16, "x": 16}) if find_spec("dask") else dataset(),
    ],
    ids=[
        "dataset",
        "one time",
        "array of variables",
        "time and band",
        "other order",
        "other variable",
        "grid as a variable",
        "one variable",
        "lazy",
    ],
)
def test_forms_of_labelled_radar(form: Callable[[], object]) -> None:
    scene = ArrayScene(RADAR, form())
    window = scene.read(COMPLETE)
    assert np.array_equal(window.sar, sar_values())
    assert window.sar_valid.all()
    assert scene.grid.transform == pytest.approx(TRANSFORM)
    assert scene.grid.crs == CRS


@pytest.mark.parametrize("place", ["attrs", "encoding"])
@pytest.mark.parametrize("tag", ["nodata", "_FillValue", "missing_value"])
def test_nodata_of_labelled_arrays(place: str, tag: str) -> None:
    array = labelled(sar_values(), ["VV", "VH"])
    array.values[1, 2, 3] = -99
    getattr(array, place)[tag] = -99.0
    window = ArrayScene(RADAR, array).read(COMPLETE)
    assert np.argwhere(~window.sar_valid).tolist() == [[2, 3]]


@pytest.mark.parametrize("tag", [[-99.0, -99.0], np.array([-99.0]), "-99"])
def test_nodata_may_be_an_array_of_one_value(tag: object) -> None:
    array = labelled(sar_values(), ["VV", "VH"])
    array.values[1, 2, 3] = -99
    array.attrs["_FillValue"] = tag
    assert np.argwhere(~ArrayScene(RADAR, array).read(COMPLETE).sar_valid).tolist() == [[2, 3]]
    array.attrs["_FillValue"] = [-99.0, 0.0]
    with pytest.raises(DataError, match=r"attribute _FillValue is \[-99\.0, 0\.0\], but must be one number"):
        ArrayScene(RADAR, array)


@pytest.mark.parametrize("place", ["attrs", "encoding"])
def test_scale_of_labelled_integers(place: str) -> None:
    array = labelled(np.round(sar_values() * 100 + 5000).astype(np.int16), ["VV", "VH"])
    array.values[:, 2, 3] = 0
    getattr(array, place).update(scale_factor=0.01, add_offset=-50.0, missing_value=None)
    window = ArrayScene(RADAR, array).read(COMPLETE)
    assert np.argwhere(~window.sar_valid).tolist() == [[2, 3]]
    assert np.abs(window.sar - sar_values())[:, window.sar_valid].max() < 0.006


def test_scale_of_none_is_no_scale() -> None:
    array = labelled(np.round(sar_values()).astype(np.int16), ["VV", "VH"])
    array.attrs.update(scale_factor=None, add_offset=None)
    assert np.array_equal(ArrayScene(RADAR, array).read(COMPLETE).sar, np.round(sar_values()))


def test_encoding_of_decoded_values_is_not_applied_again() -> None:
    array = labelled(sar_values(), ["VV", "VH"])
    array.values[1, 2, 3] = -20
    array.encoding = {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": -20}
    window = ArrayScene(RADAR, array).read(COMPLETE)
    assert np.array_equal(window.sar, array.values)
    assert window.sar_valid.all()


def test_masked_array_and_masked_scene_classification() -> None:
    hidden = water_disc()
    values = np.where(hidden, np.float32(-24), sar_values())
    sar = np.ma.masked_array(values, np.broadcast_to(hidden, values.shape))
    clear = np.broadcast_to(np.arange(40) != 5, (48, 40))
    optical = np.ma.concatenate([optical_values(), np.ma.masked_array(np.full((1, 48, 40), 9, np.float32), clear)])
    scene = ArrayScene(BOTH, sar, optical, optical_bands=[*L1C_BANDS, "SCL"])
    scene.hide_scene_classes()
    window = scene.read(COMPLETE)
    assert np.array_equal(window.sar_valid, ~hidden)
    assert not window.sar[:, hidden].any()
    assert np.array_equal(window.optical_valid, clear)


def test_remedies_of_array_shapes_are_right() -> None:
    with pytest.raises(DataError, match=r"np\.moveaxis\(sar, -1, 0\)"):
        ArrayScene(RADAR, np.moveaxis(sar_values(), 0, -1))
    sar = np.moveaxis(sar_values(), 0, -1)
    assert np.array_equal(ArrayScene(RADAR, np.moveaxis(sar, -1, 0)).read(COMPLETE).sar, sar_values())
    times = xr.concat([labelled(sar_values(), ["VV", "VH"])] * 2, "time")
    with pytest.raises(DataError, match=r"2 times along time.*pass sar\.isel\(time=0\)"):
        ArrayScene(RADAR, times)
    assert np.array_equal(ArrayScene(RADAR, times.isel(time=0)).read(COMPLETE).sar, sar_values())


def test_datasets_without_bands_or_with_different_tags_are_refused() -> None:
    with pytest.raises(DataError, match="are x, y, of which none is a known band; name them vv and vh, or"):
        ArrayScene(RADAR, dataset().rename(vv="x", vh="y", x="lon", y="lat"))
    different = dataset(nodata=-99.0)
    different["vh"].attrs["nodata"] = 0.0
    with pytest.raises(DataError, match=r"vv, vh differ in nodata value.*xarray\.decode_cf\(sar\)"):
        ArrayScene(RADAR, different)
    coarse = xr.Dataset({"vv": (("y", "x"), sar_values()[0]), "vh": (("y2", "x2"), sar_values()[1])})
    with pytest.raises(DataError, match="vv, vh differ in dimensions; resample them"):
        ArrayScene(RADAR, coarse)


def test_validity_of_a_dataset_counts() -> None:
    valid = ~water_disc()
    for mask in (valid.astype(np.uint8), np.where(valid, 1.0, np.nan)):
        window = ArrayScene(RADAR, dataset().assign(dataMask=(("y", "x"), mask))).read(COMPLETE)
        assert np.array_equal(window.sar_valid, valid)


def test_names_in_bytes_count() -> None:
    array = labelled(sar_values(), ["HH", "HV"])
    with pytest.raises(DataError, match="lacks VV, VH, which the model needs, and has HH, HV"):
        ArrayScene(RADAR, array.assign_coords(band=[b"HH", b"HV"]))


def test_fillers_of_arrays() -> None:
    reflectance = optical_values()
    reflectance[:, :5] = 65535
    scene = ArrayScene(Bands((), L1C_BANDS), optical=reflectance)
    assert np.array_equal(scene.read(COMPLETE).optical_valid, np.arange(48)[:, None].repeat(40, 1) >= 5)
    assert any("10.4 % of the pixels hold 65535 in all bands" in note for note in scene.assumptions)
    reflectance[:, :30] = 65535
    with pytest.raises(DataError, match=r"62.5 % of the pixels hold 65535 in all bands.*set 65535 to NaN"):
        ArrayScene(Bands((), L1C_BANDS), optical=reflectance)
    reflectance[reflectance == 65535] = np.nan
    assert ArrayScene(Bands((), L1C_BANDS), optical=reflectance).read(COMPLETE).optical_valid.sum() == 18 * 40
