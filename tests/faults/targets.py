"""Targets of fuzzing: the kinds of files that are damaged, and the functions that read them.

A target has a folder of valid files. ``damage`` writes a damaged file into it, ``run`` reads the folder as a user
would. Errors go through ``floodseg.app.exit_codes.run_and_exit``, as on the command line.
"""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ombria_files
import scenes
from faults import exports, scene_lists, seeds
from faults.mutations import BYTES, JSON, TEXT, TIFF, Mutation, Rng, mutate
from faults.target import Target, command

MAX_WINDOWS = 12
SAR, OPTICAL = ("VV", "VH"), scenes.L1C_BANDS


def read_scene(bands: tuple[tuple[str, ...], tuple[str, ...]], **settings: Any) -> None:
    """Read windows of a scene and its layers, as ``floodseg predict`` does."""
    from floodseg.bands import Bands
    from floodseg.config.predict import SceneConfig
    from floodseg.geo.grid import Window
    from floodseg.scene.acquisition import acquisition_of
    from floodseg.scene.file_scene import open_scene, reference_grid
    from floodseg.scene.layers.layers import aoi_window, open_layers

    config, taken = SceneConfig(**settings), Bands(*bands)
    window = aoi_window(config, reference_grid(config, taken)) if config.aoi else None
    scene = open_scene(config, taken, window)
    try:
        layers = open_layers(config, scene.grid)
        acquisition_of(config)
        height, width = scene.grid.height, scene.grid.width
        for index in range(MAX_WINDOWS):
            top, left = height * (index // 4) // 3, width * (index % 4) // 4
            part = Window(top, left, min(256, height - top), min(256, width - left))
            pixels = scene.read(part)
            assert np.isfinite(pixels.sar).all()
            assert np.isfinite(pixels.optical).all()
            layers.read(part)
        layers.close()
    finally:
        scene.close()


# ---- rasters of scenes


def _sar(folder: Path) -> dict[str, list[Path]]:
    return {"s1.tif": seeds.sar_files(folder / "valid")}


def _optical(folder: Path) -> dict[str, list[Path]]:
    return {"s2.tif": seeds.optical_files(folder / "valid")}


def _side_files(folder: Path) -> dict[str, list[Path]]:
    (folder / "s1.tif").write_bytes(seeds.sar_files(folder / "valid")[0].read_bytes())
    pam = folder / "valid/s1.tif.aux.xml"
    pam.write_text(
        "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform> 500000, 10, 0, 5000000, 0, -10</GeoTransform><PAMRasterBand "
        'band="1"><Description>VV</Description><NoDataValue>0</NoDataValue><Scale>1</Scale><Offset>0</Offset>'
        '</PAMRasterBand><PAMRasterBand band="2"><Description>VH</Description></PAMRasterBand></PAMDataset>'
    )
    world = folder / "valid/s1.tfw"
    world.write_text("10\n0\n0\n-10\n500005\n4999995\n")
    return {"s1.tif.aux.xml": [pam], "s1.tfw": [world]}


def _vrt(folder: Path) -> dict[str, list[Path]]:
    from rasterio.shutil import copy

    (folder / "s1.tif").write_bytes(seeds.sar_files(folder / "valid")[0].read_bytes())
    copy(str(folder / "s1.tif"), str(folder / "s1.vrt"), driver="VRT")
    return {"s1.vrt": [folder / "s1.vrt"]}


def _safe(folder: Path) -> dict[str, list[Path]]:
    """Write a product with small JPEG 2000 files, as a folder and as a zip."""
    from scene import test_safe

    product = test_safe.write_safe(folder / "valid", "L1C")
    root = Path(product.name)
    inside = sorted(file.relative_to(product.parent) for file in product.rglob("*") if file.is_file())
    image = next(name for name in inside if name.name.endswith("_B02.jp2"))
    names = (root / "MTD_MSIL1C.xml", image)
    test_safe.zipped(product, folder / "valid/product.zip")
    seeds.copy_tree(product, folder / "work" / root)
    found = {str(Path("work") / name): [product.parent / name] for name in names}
    return {**found, "product.zip": [folder / "valid/product.zip"]}


def _read_safe(folder: Path) -> None:
    read_scene(((), OPTICAL), optical=(str(folder / "product.zip"),))
    read_scene(((), OPTICAL), optical=(str(folder / "work"),))


# ---- layers


def _layer(write: Callable[[Path], list[Path]], flag: str, **more: Any) -> tuple[Any, Any]:
    def files(folder: Path) -> dict[str, list[Path]]:
        scenes.write_sar(folder / "s1.tif", scenes.sar_values(*seeds.SIZE))
        return {"layer.tif": write(folder / "valid")}

    def read(folder: Path) -> None:
        read_scene((SAR, ()), sar=(str(folder / "s1.tif"),), **{flag: str(folder / "layer.tif"), **more})

    return files, read


def _cloud_mask(folder: Path) -> dict[str, list[Path]]:
    scenes.write_optical(folder / "s2.tif", scenes.optical_values(*seeds.SIZE))
    return {"layer.tif": seeds.mask_files(folder / "valid")}


def _area(kind: str) -> tuple[Any, Any]:
    def files(folder: Path) -> dict[str, list[Path]]:
        scenes.write_sar(folder / "s1.tif", scenes.sar_values(*seeds.SIZE))
        area = seeds.area_files(folder / "valid")[kind]
        parts = [area] if kind != "shp" else sorted(area.parent.glob("area.[sdp]*"))
        return {part.name: [part] for part in parts}

    def read(folder: Path) -> None:
        read_scene((SAR, ()), sar=(str(folder / "s1.tif"),), aoi=str(folder / f"area.{kind}"))

    return files, read


# ---- chips, lists, run files


def _chips(folder: Path) -> dict[str, list[Path]]:
    for name in ("b_1", "c_1"):
        scenes.write_sar(folder / f"chips/S1Hand/{name}_S1Hand.tif", scenes.sar_values(*seeds.SIZE))
        scenes.write_label(folder / f"chips/LabelHand/{name}_LabelHand.tif", scenes.label_values(*seeds.SIZE))
    (folder / "chips/S2Hand").mkdir(parents=True, exist_ok=True)
    return {
        "chips/S1Hand/a_1_S1Hand.tif": seeds.sar_files(folder / "valid"),
        "chips/LabelHand/a_1_LabelHand.tif": seeds.label_files(folder / "valid"),
    }


def _score_chips(folder: Path) -> None:
    command("evaluate", "otsu", "--data", folder / "chips", "--layout", "folders", "--split", "all")


def _pairs(folder: Path) -> dict[str, list[Path]]:
    for number in (1, 2):
        ombria_files.write_set(folder / "tree", number, "test", sensors=(1,))
    files = sorted((folder / "tree").rglob("*_0001.png"))
    found = {}
    for file in files:
        source = folder / "valid" / file.name
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(file.read_bytes())
        found[str(file.relative_to(folder))] = [source]
    return found


def _score_pairs(folder: Path) -> None:
    from floodseg.config.data import DataConfig
    from floodseg.datasets.screening import open_usable

    usable = open_usable(DataConfig(data=folder / "tree", layout="ombria"), "test")
    usable.chips.read(0)


def _split(folder: Path) -> dict[str, list[Path]]:
    tree = folder / "tree/v1.1/data/flood_events/HandLabeled"
    names = [f"{event}_{number}" for event in ("Ghana", "Spain") for number in range(3)]
    for name in names:
        scenes.write_sar(tree / f"S1Hand/{name}_S1Hand.tif", scenes.sar_values(16, 16))
        scenes.write_label(tree / f"LabelHand/{name}_LabelHand.tif", scenes.label_values(16, 16))
    source = folder / "valid/list.csv"
    source.parent.mkdir(exist_ok=True)
    source.write_text("".join(f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in names))
    return {"tree/v1.1/splits/flood_handlabeled/flood_valid_data.csv": [source]}


def _score_split(folder: Path) -> None:
    command("evaluate", "otsu", "--data", folder / "tree")


def _run_files(folder: Path) -> dict[str, list[Path]]:
    return {"run.toml": sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))}


def _read_run_file(folder: Path) -> None:
    """Read a run file, and write the configuration of its run."""
    import pytest

    from floodseg.training.fine_tuning import with_context_prior
    from floodseg.training.prepare import resolve
    from floodseg.training.run_folder import RunFolder

    def train(config: Any, **_: Any) -> None:
        run = RunFolder(folder / "run")
        resolved = with_context_prior(resolve(config, "cpu"), "new")
        run.write_config(resolved, ["a note"])
        run.check_settings(resolved)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("floodseg.training.train.train", train)
        command("train", folder / "run.toml", "--data", folder)


# ---- models and states


def _checkpoint(folder: Path) -> dict[str, list[Path]]:
    checkpoint, _, _ = seeds.models(folder / "valid")
    return {"model.pth": [checkpoint]}


def _weights(folder: Path) -> dict[str, list[Path]]:
    _, weights, _ = seeds.models(folder / "valid")
    return {f"model/{name}": [weights / name] for name in ("model.safetensors", "config.json")}


def run_model(path: Path) -> None:
    """Load a model and map one window; its probabilities must be from 0 to 1."""
    from floodseg.inference.windows.model_calls import ModelCalls
    from floodseg.models.checkpoint.zoo import load_model
    from floodseg.runtimes.torch_runtime import TorchRuntime
    from floodseg.scene.scene import SceneWindow

    runtime = TorchRuntime(load_model(path), "cpu")
    valid = np.ones((64, 64), np.bool_)
    sar, optical = (
        np.full((len(names), 64, 64), value, np.float32)
        for names, value in ((runtime.bands.sar, -15.0), (runtime.bands.optical, 0.1))
    )
    [probability] = ModelCalls(runtime, 1, tta=False)([SceneWindow(sar, optical, valid, valid, ~valid)])
    assert ((probability >= 0) & (probability <= 1)).all()


def zip_member(data: bytes, rng: Rng) -> bytes:
    """Damage a member of a zip file, and write the file with correct checksums."""
    import io

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error):
        return data  # no longer a zip file after an earlier mutation
    names = sorted(records)
    if not names:
        return data
    pickled = [name for name in names if "pkl" in name]
    name = str(rng.choice(pickled if pickled and rng.random() < 0.6 else names))
    kind = int(rng.integers(8))
    if kind == 0:
        del records[name]
    elif kind == 1:
        records["../../escaped"] = records.pop(name)
    else:
        records[name] = mutate(records[name], BYTES, rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for each, content in records.items():
            archive.writestr(each, content)
    return out.getvalue()


def _state(folder: Path) -> dict[str, list[Path]]:
    _train(folder / "valid/run", 1)
    [state] = (folder / "valid/run/state").iterdir()
    files = {f"run/state/{state.name}/{file.name}": [file] for file in state.iterdir()}
    return {**files, "run/best_model.pth": [folder / "valid/run/best_model.pth"],
            "run/config.toml": [folder / "valid/run/config.toml"]}  # fmt: skip


def _train(folder: Path, epochs: int, *more: str) -> None:
    # the learning rate schedule always spans two epochs
    import contextlib

    import pytest

    from floodseg.training import train as train_module

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        if epochs == 1:
            real = train_module.train_epoch

            def stop(run: Any, progress: Any) -> Any:
                if run.state.epoch == 1:
                    raise KeyboardInterrupt
                return real(run, progress)

            patch.setattr(train_module, "train_epoch", stop)
        command(
            "train", "--layout", "synthetic", "--synthetic-chips", "2", "--synthetic-size", "32", "--crop-size", "32",
            "--sensors", "sar", "--model", "lite", "--epochs", "2", "--batch-size", "2", "--workers", "0",
            "--precision", "fp32", "--ema", "0.9", "--out-dir", folder, *more,
        )  # fmt: skip


def _resume(folder: Path) -> None:
    for file in (folder / "run/summary.json", folder / "run/.lock"):
        file.unlink(missing_ok=True)
    _train(folder / "run", 2, "--resume")


def _cache(folder: Path) -> dict[str, list[Path]]:
    """Write the cache entry of a chip; a damaged entry must not change the chip."""
    from floodseg.chips.cache import ChipCache

    scenes.write_sar(folder / "chip.tif", scenes.sar_values(*seeds.SIZE))
    with ChipCache(folder / "valid/rasters", 10**9).open(folder / "chip.tif"):
        [entry] = (folder / "valid/rasters").iterdir()
    return {f"rasters/{entry.name}": [entry]}


def _read_cache(folder: Path) -> None:
    from floodseg.chips.cache import ChipCache

    with ChipCache(folder / "rasters", 10**9).open(folder / "chip.tif") as source:
        np.testing.assert_array_equal(source.read([1, 2]), scenes.sar_values(*seeds.SIZE))


# ---- complete maps


def _map(folder: Path) -> dict[str, list[Path]]:
    checkpoint, _, _ = seeds.models(folder / "valid")
    area = seeds.area_files(folder / "valid")["geojson"]
    return {"s1.tif": seeds.sar_files(folder / "valid"), "model.pth": [checkpoint], "area.geojson": [area]}


def _predict(folder: Path) -> None:
    command(
        "predict", "--sar", folder / "s1.tif", "--aoi", folder / "area.geojson", "--model", folder / "model.pth",
        "--out-dir", folder / "map", "--overwrite", "--threads", "1",
    )  # fmt: skip


ZIPPED: tuple[Mutation, ...] = (zip_member, zip_member, zip_member, *BYTES)

TARGETS: tuple[Target, ...] = (
    Target("sar", 14, _sar, lambda folder: read_scene((SAR, ()), sar=(str(folder / "s1.tif"),)), TIFF),
    Target("optical", 8, _optical, lambda folder: read_scene(((), OPTICAL), optical=(str(folder / "s2.tif"),)), TIFF),
    Target("side files", 4, _side_files, lambda folder: read_scene((SAR, ()), sar=(str(folder / "s1.tif"),)), TEXT),
    Target("vrt", 6, _vrt, lambda folder: read_scene((SAR, ()), sar=(str(folder / "s1.vrt"),)), TEXT),
    Target("safe", 5, _safe, _read_safe, BYTES, {".xml": TEXT}),
    Target("dem", 4, *_layer(seeds.dem_files, "dem"), TIFF),
    Target("exclude", 4, *_layer(seeds.mask_files, "exclude"), TIFF),
    Target("permanent water", 4, *_layer(seeds.mask_files, "permanent_water"), TIFF),
    Target("cloud mask", 3, _cloud_mask, lambda folder: read_scene(
        ((), OPTICAL), optical=(str(folder / "s2.tif"),), cloud_mask=str(folder / "layer.tif")), TIFF),
    *(Target(f"area {kind}", share, *_area(kind), mutations, {".prj": TEXT}) for kind, share, mutations in (
        ("gpkg", 7, BYTES), ("geojson", 7, JSON), ("shp", 7, BYTES), ("fgb", 4, BYTES), ("kml", 4, TEXT))),
    Target("chips", 8, _chips, _score_chips, TIFF),
    Target("pairs", 3, _pairs, _score_pairs),
    Target("split list", 7, _split, _score_split, TEXT),
    Target("run file", 9, _run_files, _read_run_file, TEXT),
    Target("checkpoint", 8, _checkpoint, lambda folder: run_model(folder / "model.pth"), ZIPPED),
    Target("weights folder", 8, _weights, lambda folder: run_model(folder / "model"), BYTES, {".json": JSON}),
    Target("resume state", 1.5, _state, _resume, ZIPPED, {".toml": TEXT, ".safetensors": BYTES}),
    Target("cache", 4, _cache, _read_cache),
    Target("map", 3, _map, _predict, TIFF, {".pth": ZIPPED, ".geojson": JSON}),
    Target("exported onnx", 6, exports.onnx_files, exports.map_by("model.onnx")),
    Target("exported openvino", 8, exports.openvino_files, exports.map_by("model.xml"), BYTES, {".xml": TEXT}),
    Target("list csv", 5, scene_lists.csv_files, scene_lists.map_all("scenes.csv"), TEXT, codes=(0, 2, 3)),
    Target("list parquet", 5, scene_lists.parquet_files, scene_lists.map_all("scenes.parquet"), codes=(0, 2, 3)),
    Target("list stac", 7, scene_lists.stac_files, scene_lists.map_all("collection.json"), JSON, codes=(0, 2, 3)),
)  # fmt: skip
