"""Tests of the checksums by which finished scenes are recognised."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from floodseg.cluster import fingerprint
from floodseg.cluster.fingerprint import (
    ModelIdentity,
    cached_fingerprint,
    finished_entry,
    local_files,
    scene_fingerprint,
)
from floodseg.cluster.model_files import identify_model, open_model
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.products.folder import PRODUCTS
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.fused import FusedRuntime
from scenes import write_sar

MODEL = ModelIdentity("model", "1.0")


@pytest.fixture
def config(tmp_path: Path) -> PredictConfig:
    write_sar(tmp_path / "s1.tif")
    (tmp_path / "aoi.shp").write_bytes(b"shapes")
    (tmp_path / "aoi.dbf").write_bytes(b"table")
    return PredictConfig(tmp_path / "out", SceneConfig(sar=tmp_path / "s1.tif", aoi=tmp_path / "aoi.shp"))


def key(config: PredictConfig, model: ModelIdentity = MODEL) -> str:
    return scene_fingerprint(config, model).key


def test_method_of_clouds_is_part_of_the_key_of_optical_scenes(config):
    assert key(replace(config, scene=replace(config.scene, cloud_mask="none"))) == key(config)
    write_sar(Path(config.scene.sar[0]).with_name("s2.tif"))
    optical = replace(config.scene, optical=(str(Path(config.scene.sar[0]).with_name("s2.tif")),))
    keys = [key(replace(config, scene=replace(optical, cloud_mask=method))) for method in ("auto", "none", "csmask")]
    assert len({*keys, key(config)}) == 4
    with_extra = replace(MODEL, csmask=True)
    assert key(config, with_extra) == key(config), "no optical image"
    assert key(replace(config, scene=replace(optical, cloud_mask="none")), with_extra) == keys[1]
    assert key(replace(config, scene=replace(optical, cloud_mask="auto")), with_extra) != keys[0]


def test_key_changes_only_with_inputs_that_change_the_products(config, tmp_path):
    first = key(config)
    assert key(replace(config, mapping=MapConfig(threads=5))) == first
    assert key(replace(config, mapping=MapConfig(threshold=0.4))) != first
    assert key(replace(config, scene=replace(config.scene, datetime="2024-01-01"))) != first
    assert key(config, ModelIdentity("other", "1.0")) != first
    assert key(config, ModelIdentity("model", "1.1")) != first
    elsewhere = tmp_path / "moved"
    elsewhere.mkdir()
    for path in ("s1.tif", "aoi.shp", "aoi.dbf"):
        (tmp_path / path).rename(elsewhere / path)
    moved = SceneConfig(sar=elsewhere / "s1.tif", aoi=elsewhere / "aoi.shp")
    assert key(replace(config, scene=moved)) == first, "folder names are not part of the key"
    (elsewhere / "aoi.dbf").write_bytes(b"other")
    assert key(replace(config, scene=moved)) != first, "sidecar files are part of the key"


def test_unchanged_files_are_read_once(config, tmp_path, monkeypatch):
    assert cached_fingerprint(config, MODEL) is None
    first = key(config)
    read: list[str] = []
    checksum = fingerprint.file_checksum
    monkeypatch.setattr(fingerprint, "file_checksum", lambda path: read.append(path.name) or checksum(path))
    known = cached_fingerprint(config, MODEL)
    assert known is not None
    assert known.key == first
    assert read == []
    os.utime(tmp_path / "s1.tif", (1, 1))
    assert cached_fingerprint(config, MODEL) is None
    assert key(config) == first
    assert read == ["s1.tif"], "only the file with a new modification time is read"
    damaged: tuple[Any, ...] = ([], {str(tmp_path / "s1.tif"): 3}, {str(tmp_path / "s1.tif"): [["s1.tif"]]})
    for note in ("{", *map(json.dumps, damaged)):
        (tmp_path / "out/.inputs.json").write_text(note)
        assert cached_fingerprint(config, MODEL) is None
        assert key(config) == first


def test_restored_file_restores_the_key(config, tmp_path):
    first = key(config)
    (tmp_path / "s1.tif").rename(tmp_path / "away.tif")
    assert key(config) != first
    (tmp_path / "away.tif").rename(tmp_path / "s1.tif")
    assert cached_fingerprint(config, MODEL) is None
    assert key(config) == first


def test_local_files_of_a_vrt_include_its_sources(tmp_path):
    write_sar(tmp_path / "a.tif")
    name = '<SourceFilename relativeToVRT="1">{}</SourceFilename>'
    source = f"<ComplexSource>{name}<SourceBand>1</SourceBand></ComplexSource>"
    band = f'<VRTRasterBand dataType="Float32" band="1">{source}</VRTRasterBand>'
    text = f'<VRTDataset rasterXSize="40" rasterYSize="48">{band}</VRTDataset>'
    (tmp_path / "b.vrt").write_text(text.format("a.tif"))
    (tmp_path / "c.vrt").write_text(text.format("b.vrt"))
    assert [path.name for path in local_files(str(tmp_path / "c.vrt"), allow_remote=False)] == [
        "a.tif",
        "b.vrt",
        "c.vrt",
    ]


def test_local_files_of_folders_and_archives(tmp_path):
    product = tmp_path / "S2.SAFE"
    (product / "GRANULE").mkdir(parents=True)
    (product / "MTD_MSIL1C.xml").touch()
    (product / "GRANULE/b.jp2").touch()
    (tmp_path / "p.zip").touch()
    everything = sorted([product / "MTD_MSIL1C.xml", product / "GRANULE/b.jp2"])
    assert (
        local_files(str(product), allow_remote=False)
        == local_files(str(product / "MTD_MSIL1C.xml"), allow_remote=False)
        == everything
    )
    assert local_files(f"/vsizip/{tmp_path}/p.zip/S2.SAFE", allow_remote=False) == [tmp_path / "p.zip"]
    assert local_files(str(tmp_path / "missing.tif"), allow_remote=False) == []
    assert local_files("/dev/zero", allow_remote=False) == [], "a device cannot be read to its end"
    os.mkfifo(tmp_path / "pipe")
    assert local_files(str(tmp_path / "pipe"), allow_remote=False) == []


def test_url_is_stored_without_its_query(tmp_path):
    scene = SceneConfig(sar="https://example.org/a.tif?sig=secret", allow_remote=True)
    found = scene_fingerprint(PredictConfig(tmp_path / "out", scene), MODEL)
    assert found.inputs == {"sar": ["https://example.org/a.tif"]}
    assert "secret" not in json.dumps(found.entry())


def test_only_complete_products_are_finished(tmp_path):
    def write(document: Any) -> None:
        for name in PRODUCTS:
            (tmp_path / name).write_text(json.dumps(document))

    assert finished_entry(tmp_path) is None
    write({"content": {"key": "k"}})
    assert finished_entry(tmp_path) == {"key": "k"}
    write({})
    assert finished_entry(tmp_path) == {}, "made by floodseg predict"
    (tmp_path / "flood.tif").unlink()
    assert finished_entry(tmp_path) is None


def test_model_identity_depends_on_the_files_of_its_runtime(tmp_path):
    torch, openvino = MapConfig(runtime="torch"), MapConfig(runtime="openvino", precision="int8")
    for name in ("model.safetensors", "config.json", "openvino-int8.xml", "openvino-int8.bin"):
        (tmp_path / name).write_bytes(b"1")
    model = str(tmp_path)
    first, exported = identify_model(model, torch), identify_model(model, openvino)
    assert identify_model(model, torch) == first != exported
    assert identify_model(f"{model}/openvino-int8.xml", MapConfig()) == exported
    (tmp_path / "openvino-int8.bin").write_bytes(b"2")
    assert identify_model(model, torch) == first
    assert identify_model(model, openvino) != exported
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert identify_model(model, torch) != first
    assert identify_model("otsu", MapConfig()) != identify_model("ndwi", MapConfig())


def test_identity_of_a_fused_model_depends_on_its_parts(tmp_path):
    for part in ("radar", "image"):
        (tmp_path / part).mkdir()
        for name in ("model.safetensors", "config.json", "openvino-int8.xml", "openvino-int8.bin"):
            (tmp_path / part / name).write_bytes(b"{}")
    (tmp_path / "both").mkdir()
    (tmp_path / "both/config.json").write_text('{"parts": {"sar": "radar", "optical": "image"}}')
    torch, openvino = MapConfig(runtime="torch"), MapConfig(runtime="openvino", precision="int8")
    model = str(tmp_path / "both")
    first, exported = identify_model(model, torch), identify_model(model, openvino)
    assert first != exported
    (tmp_path / "image/openvino-int8.bin").write_bytes(b"2")
    assert identify_model(model, torch) == first
    assert identify_model(model, openvino) != exported
    (tmp_path / "radar/model.safetensors").write_bytes(b"2")
    assert identify_model(model, torch) != first


def test_open_model_resolves_auto_for_both_parts():
    method, mapping = open_model("s1s2", MapConfig(threads=1))
    assert isinstance(method, FusedRuntime)
    assert (mapping.device, mapping.runtime) == ("cpu", "openvino")
    again, same = open_model("s1s2", mapping)
    assert same == mapping
    assert (again.name, again.precision) == (method.name, method.precision)


def test_open_model_resolves_auto():
    method, mapping = open_model("s1-lite", MapConfig(threads=1))
    assert isinstance(method, Runtime)
    assert (mapping.device, mapping.runtime, mapping.precision) == ("cpu", method.name, method.precision)
    assert open_model("s1-lite", mapping)[1] == mapping
    on_gpu = MapConfig(device="cuda", precision="fp16")
    assert open_model("s1-lite", on_gpu)[1] == on_gpu, "the GPU of the workers is kept, even if this machine has none"
    assert open_model("otsu", MapConfig())[1] == MapConfig()
