"""Tests of formats and products that are not read as they are: the message, and the scene after its remedy."""

import shlex
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from file_commands import commands_in, follow
from floodseg.bands import Bands
from floodseg.cluster.scene_list import read_scenes
from floodseg.config.predict import SceneConfig, SharedScene
from floodseg.errors import DataError
from floodseg.evaluation.map_scores import evaluate_map
from floodseg.geo.grid import Window
from floodseg.raster.dataset import open_raster
from floodseg.raster.formats import reading_advice
from floodseg.scene.file_scene import open_scene
from floodseg.scene.layers.layers import open_layers
from scenes import CRS, ORIGIN, optical_values, sar_values, write_label, write_optical, write_raster, write_sar

RADAR = Bands(("VV", "VH"), ())
DB = sar_values()


def write_bands(folder: Path, driver: str, suffix: str, **options: Any) -> list[Path]:
    """Write VV and VH as files of one band, in another format."""
    files = []
    for band, values in zip(("VV", "VH"), DB, strict=True):
        plain = write_raster(folder / f"{band}.tif", values[None], nodata=float("nan"))
        written = folder / f"{band.lower()}{'.zarr' if driver == 'Zarr' else '.nc'}"
        rasterio.shutil.copy(plain, written, driver=driver, **options)
        files.append(written.rename(written.with_suffix(suffix)))
        plain.unlink()
    return files


def sar_of(*files: str | Path) -> np.ndarray[Any, Any]:
    """Return the radar of a scene, which must have the place of the original."""
    scene = open_scene(SceneConfig(sar=tuple(map(str, files))), RADAR)
    assert (scene.grid.crs, scene.grid.transform[2], scene.grid.transform[5]) == (CRS, *ORIGIN)
    return scene.read(Window(0, 0, *DB.shape[1:])).sar


def refused(*files: str | Path) -> str:
    with pytest.raises(DataError) as caught:
        sar_of(*files)
    return str(caught.value)


def convert(message: str, target: Path, variable: str) -> None:
    """Follow the command of a message for the name of a variable, in place of vv."""
    [command] = commands_in(message)
    words = shlex.split(command)
    assert words[2] == "vv.tif"
    words[1] = words[1].removesuffix("vv") + variable
    follow(shlex.join(words), OUT=target)


@pytest.mark.parametrize(
    ("driver", "suffix", "options", "kind", "variable"),
    [
        ("netCDF", ".nc", {"FORMAT": "NC"}, "NetCDF", "Band1"),
        ("netCDF", ".nc", {"FORMAT": "NC4"}, "NetCDF", "Band1"),
        ("netCDF", ".h5", {"FORMAT": "NC4"}, "HDF5", "Band1"),
        ("Zarr", ".zarr", {}, "Zarr", None),
    ],
)
def test_other_formats_are_converted(
    tmp_path: Path, driver: str, suffix: str, options: dict[str, str], kind: str, variable: str | None
) -> None:
    files = write_bands(tmp_path, driver, suffix, **options)
    for file, band in zip(files, ("VV", "VH"), strict=True):
        message = refused(file)
        assert message.startswith(f"{file}: is {kind}, which is not read; convert each band to GeoTIFF")
        convert(message, tmp_path / f"{band}.tif", variable or band.lower())
    np.testing.assert_array_equal(sar_of(tmp_path / "VV.tif", tmp_path / "VH.tif"), DB)


def test_zipped_zarr_is_converted(tmp_path: Path) -> None:
    for file in write_bands(tmp_path, "Zarr", ".zarr"):
        shutil.make_archive(str(file), "zip", tmp_path, file.name)
        message = refused(f"{file}.zip")
        assert "zarr.zip: is Zarr, which is not read" in message
        convert(message, tmp_path / f"{file.stem}.tif", file.stem)
    np.testing.assert_array_equal(sar_of(tmp_path / "vv.tif", tmp_path / "vh.tif"), DB)


def test_variables_of_files_are_converted_by_their_own_name(tmp_path: Path) -> None:
    for file, band in zip(write_bands(tmp_path, "netCDF", ".nc"), ("VV", "VH"), strict=True):
        message = refused(f'NETCDF:"{file}":Band1')
        assert "is a variable of a file that is not read" in message
        [command] = commands_in(message)
        assert shlex.split(command)[2] == "Band1.tif"
        follow(command, OUT=tmp_path / f"{band}.tif")
    np.testing.assert_array_equal(sar_of(tmp_path / "VV.tif", tmp_path / "VH.tif"), DB)


def files_in(message: str) -> list[str]:
    """Return the files that a message tells to pass."""
    return shlex.split(message.partition("pass these files in its place: ")[2])


def write_dimap(folder: Path) -> Path:
    """Write a BEAM-DIMAP product with calibrated bands in dB and uncalibrated ones."""
    folder.mkdir(exist_ok=True)
    (folder / "S1.dim").write_text("<Dimap_Document/>")
    for name, values in (("Sigma0_{}_db", DB), ("Amplitude_{}", DB**2)):
        for band, stored in zip(("VV", "VH"), values, strict=True):
            plain = write_raster(folder / "S1.data" / f"{band}.tif", stored[None])
            rasterio.shutil.copy(plain, folder / "S1.data" / f"{name.format(band)}.img", driver="ENVI")
            plain.unlink()
    return folder / "S1.dim"


@pytest.mark.parametrize("reference", ["S1.dim", "S1.data"])
def test_dimap_names_its_two_files_in_db(tmp_path: Path, reference: str) -> None:
    write_dimap(tmp_path)
    message = refused(tmp_path / reference)
    assert message.startswith(
        f"{tmp_path / reference}: is a {'BEAM-DIMAP product' if 'dim' in reference else 'folder'}"
    )
    files = shlex.split(message.partition("place (of 2 such pairs): ")[2])
    assert files == [str(tmp_path / f"S1.data/Sigma0_{band}_db.img") for band in ("VV", "VH")]
    np.testing.assert_array_equal(sar_of(*files), DB)


@pytest.mark.parametrize("packed", [False, True])
def test_products_of_several_files_name_those_of_the_radar(tmp_path: Path, packed: bool) -> None:
    product = tmp_path / "S1A_IW_20241019T052714_DVP_RTC10 (1)"
    for name, values in (("VV", DB[0]), ("VH", DB[1]), ("inc_map", DB[0] * 0 + 0.6), ("dem", DB[0])):
        write_raster(product / f"{product.name}_{name}.tif", values[None], nodata=float("nan"))
    (product / "README.md.txt").write_text("read me")
    reference = Path(shutil.make_archive(str(tmp_path / "p"), "zip", tmp_path, product.name)) if packed else product
    message = refused(reference)
    assert f"{reference}: is {'an archive' if packed else 'a folder'}; pass these files in its place" in message
    files = files_in(message)
    assert [Path(file).name.removeprefix(product.name) for file in files] == ["_VV.tif", "_VH.tif"]
    np.testing.assert_array_equal(sar_of(*files), DB)


def test_folder_of_optical_bands_names_one_file_for_each(tmp_path: Path) -> None:
    stored = write_optical(tmp_path / "all.tif", optical_values(bands=2))
    with rasterio.open(tmp_path / "all.tif") as source:
        for number, band in enumerate(("B03", "B8A"), start=1):
            write_raster(tmp_path / "S2" / f"T33_{band}_20m.tif", source.read([number]), nodata=0)
    config = SceneConfig(optical=(str(tmp_path / "S2"),))
    with pytest.raises(DataError) as caught:
        open_scene(config, Bands((), ("B03", "B8A")))
    scene = open_scene(SceneConfig(optical=tuple(files_in(str(caught.value)))), Bands((), ("B03", "B8A")))
    np.testing.assert_allclose(scene.read(Window(0, 0, 48, 40)).optical, stored, atol=1e-6)


def test_pattern_is_replaced_by_its_files(tmp_path: Path) -> None:
    for band, values in zip(("VV", "VH"), DB, strict=True):
        write_raster(tmp_path / f"{band}.tif", values[None], nodata=float("nan"))
    message = refused(tmp_path / "V*.tif")
    assert message.startswith(f"{tmp_path}/V*.tif: is a pattern; pass the files themselves: ")
    np.testing.assert_array_equal(sar_of(*shlex.split(message.rpartition(": ")[2])), DB)


@pytest.mark.parametrize("setting", ["exclude", "dem", "permanent_water", "cloud_mask", "sar_before"])
def test_layers_in_other_formats_are_refused_alike(tmp_path: Path, setting: str) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif")
    file = write_bands(tmp_path, "netCDF", ".nc")[0]
    value = (str(file),) if setting == "sar_before" else str(file)
    config = SceneConfig(sar=(str(tmp_path / "s1.tif"),), optical=(str(tmp_path / "s2.tif"),), **{setting: value})
    bands = Bands(("VV", "VH"), ("B03",))
    if setting == "sar_before":
        config = SceneConfig(sar=config.sar_before)
        bands = RADAR
    with pytest.raises(DataError, match=rf"{file}`?: is NetCDF, which is not read; .*gdal_translate 'NETCDF:"):
        open_layers(config, open_scene(config, bands).grid)


def test_chips_references_and_lists_get_the_same_message(tmp_path: Path) -> None:
    file = write_bands(tmp_path, "netCDF", ".nc")[0]
    chip = file.rename(tmp_path / "chip.tif")
    with pytest.raises(DataError, match=r"chip\.tif: is NetCDF, which is not read"), open_raster(chip):
        pass
    flood = write_raster(tmp_path / "flood.tif", np.zeros((1, 48, 40), np.uint8))
    with pytest.raises(DataError, match=r"chip\.tif: is NetCDF, which is not read"):
        evaluate_map(flood, chip)
    write_dimap(tmp_path / "snap")
    (tmp_path / "list.csv").write_text("sar\nsnap/S1.dim\n")
    [scene] = read_scenes(tmp_path / "list.csv", SharedScene(), RADAR)
    with pytest.raises(DataError, match="is a BEAM-DIMAP product; pass these files in its place"):
        open_scene(scene.config, RADAR)
    (tmp_path / "list.csv").write_text("id,sar\na,NETCDF:chip.nc:vv\n")
    [scene] = read_scenes(tmp_path / "list.csv", SharedScene(), RADAR)
    with pytest.raises(DataError, match=r": is a variable of a file .* gdal_translate NETCDF:chip\.nc:vv vv\.tif"):
        open_scene(scene.config, RADAR)


def test_other_files_have_no_way(tmp_path: Path) -> None:
    write_label(tmp_path / "label.tif")
    (tmp_path / "text.dim").write_text("<Dimap_Document/>")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK but no more")
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as archive:
        archive.writestr("shapes.shp", b"")
    for name in (
        "label.tif",
        "text.dim",
        "empty",
        "broken.zip",
        "shapes.zip",
        "missing.nc",
        "https://example.org/a.nc",
    ):
        assert reading_advice(str(tmp_path / name)) is None, name
