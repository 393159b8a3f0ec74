"""Command ``floodseg exposure``, its settings, and its errors, whose remedies are followed."""

from pathlib import Path

import numpy as np
import pytest

import floodseg
from advised_commands import follow
from core_alone import run_with_core_alone
from exposure_files import UTM, box, utm, write_map, write_raster, write_shapes
from floodseg.app.cli import main
from floodseg.config.exposure import ExposureConfig
from floodseg.errors import ConfigError, DataError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_map(tmp_path / "flood.tif", np.ones((8, 8)), utm(10))
    write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(20))
    write_shapes(tmp_path / "b.gpkg", [box(5, 5, 25, 25)], UTM)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["exposure", *arguments])
    return int(ended.value.code or 0)


def test_command_prints_figures_notes_and_files(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "GHS-POP R2023A, 2020, CC BY 4.0"
    assert run("flood.tif", "--population", "p.tif", "--population-source", source, "--buildings", "b.gpkg",
               "--out-dir", "out") == 0  # fmt: skip
    printed = capsys.readouterr().out
    assert "population" in printed
    assert "--buildings-source: not set" in printed
    assert "out/exposure.json" in printed
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "exposure.csv", "exposure.gpkg", "exposure.json", "exposure.png", "item.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "set at least one of --population, --buildings, --roads and --landcover"),
        (("--population", "p.tif", "--population-source", "GHS-POP"), "name, date and licence, separated by commas"),
        (
            ("--population", "p.tif", "--road-class", "kind"),
            "--road-class kind: has no effect without --roads; leave it out",
        ),
        (("--population", "p.tif", "--depth", "p.tif"), "--depth p.tif: has another grid than flood.tif; give the dep"),
        (("--population", "none.tif"), "none.tif"),
        (("--population", "https://host/p.tif"), "is an address on a network, but only local files are read; download"),
        (
            ("--landcover", "p.tif", "--depth", "p.tif"),
            "--depth p.tif: has no effect without --population or --buildings",
        ),
    ],
)
def test_errors_are_one_sentence(
    arguments: tuple[str, ...], message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flood.tif", *arguments, "--out-dir", "out") == 2
    printed = capsys.readouterr().err
    assert message in printed.replace("\n", " ")
    assert len(printed.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_missing_extra_is_one_sentence_with_the_pip_line(files: Path) -> None:
    done = run_with_core_alone("exposure", "flood.tif", "--population", "p.tif", "--out-dir", "out")
    assert done.returncode == 2
    assert (
        "floodseg exposure needs exactextract, which is not installed; pip install 'floodseg[exposure]'" in done.stderr
    )
    assert len(done.stderr.strip().splitlines()) == 1


def test_depth_with_undeclared_nodata_is_refused_and_the_remedy_works(files: Path) -> None:
    write_raster(files / "FILE", np.where(np.eye(8), -9999, 1).astype(np.float32), UTM, utm(10))
    settings = {"population": "p.tif", "depth": "FILE", "out_dir": "out"}
    with pytest.raises(
        DataError, match="`depth=FILE`: holds the value -9999 in the flood, but depths are metres"
    ) as error:
        floodseg.exposure("flood.tif", **settings)
    follow(str(error.value).replace("VALUE", "-9999"))
    assert floodseg.exposure("flood.tif", **settings).items[0].figures[0].by_depth == pytest.approx((0, 14, 0, 0, 0, 2))


def test_population_of_several_bands_is_refused_and_the_remedy_works(files: Path) -> None:
    import rasterio

    with rasterio.open("FILE", "w", driver="GTiff", height=4, width=4, count=2, dtype="float32", crs=UTM,
                       transform=utm(20)) as file:  # fmt: skip
        file.write(np.ones((2, 4, 4), np.float32))
    with pytest.raises(DataError, match="`population=FILE`: has 2 bands, but persons per cell are one band") as error:
        floodseg.exposure("flood.tif", population="FILE", out_dir="out")
    follow(str(error.value))
    assert floodseg.exposure("flood.tif", population="OUT.tif", out_dir="out").items[0].figures[0].total == 16


def test_real_land_cover_is_refused_and_the_remedy_works(files: Path) -> None:
    write_raster(files / "FILE", np.full((8, 8), 40.0), UTM, utm(10))
    with pytest.raises(DataError, match="codes of land cover are one band of whole numbers") as error:
        floodseg.exposure("flood.tif", landcover="FILE", out_dir="out")
    follow(str(error.value))
    assert floodseg.exposure("flood.tif", landcover="OUT.tif", out_dir="out").items[0].figures[0].affected > 0.6


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="`building`: is not a setting; did you mean `buildings`"):
        floodseg.exposure("flood.tif", building="b.gpkg")


def test_sources_have_three_parts() -> None:
    config = ExposureConfig(population="p.tif", population_source="WorldPop, global mosaic, 2020, CC BY 4.0")
    assert config.source("population") == ("WorldPop, global mosaic", "2020", "CC BY 4.0")
    with pytest.raises(ConfigError, match="`population_source=a, , b`: must be name, date and licence"):
        ExposureConfig(population="p.tif", population_source="a, , b")


def test_region_name_of_another_attribute(files: Path) -> None:
    regions = write_shapes(files / "r.gpkg", [box(0, 0, 40, 80), box(40, 0, 80, 80)], UTM, adm=["north", "south"])
    settings = {"population": "p.tif", "regions": regions, "out_dir": "out", "overwrite": True}
    assert floodseg.exposure("flood.tif", **settings).zones == ("total", "region 1", "region 2")
    with pytest.raises(ConfigError, match=r"`region_name=nam`: .* has no such attribute; use one of adm"):
        floodseg.exposure("flood.tif", region_name="nam", **settings)
    assert floodseg.exposure("flood.tif", region_name="adm", **settings).zones == ("total", "north", "south")
