"""``floodseg.export``: parity with PyTorch, metadata, quantisation, and refused settings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import floodseg
from exported_models import OPTICAL_BANDS, Exported, expected, fused_lite, images, multi_sensor_model, write_int8
from floodseg.config.data import DataConfig
from floodseg.deployment import convert, parity
from floodseg.deployment import export as export_module
from floodseg.deployment.calibration_chips import CalibrationChips
from floodseg.deployment.convert import Conversion
from floodseg.deployment.export_job import ExportJob
from floodseg.deployment.graph import nodes_before_convolution, write_graph
from floodseg.deployment.parity import Difference, compare, require_water_iou
from floodseg.deployment.process import call_in_new_process
from floodseg.deployment.quantise import unquantised_nodes
from floodseg.deployment.samples import SIZES, Batch, simulated_batches
from floodseg.errors import ConfigError, DataError, FloodsegError
from floodseg.models.checkpoint.checkpoint import describe, save_folder
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.deploy import DeployedModel
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.models.multi_sensor import MultiSensorModel
from floodseg.runtimes.metadata import ExportMetadata
from floodseg.runtimes.openvino_core import CORE
from floodseg.runtimes.openvino_runtime import has_bf16
from floodseg.runtimes.select import open_exported
from floodseg.system import extras

needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="needs a processor that computes in bf16")
CHIPS = DataConfig(layout="synthetic", synthetic_chips=6, synthetic_size=64)
IMAGE_SIZES = [(1, 64, 64), (3, 65, 130), (1, 97, 71), (1, 64, 1100)]


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("size", IMAGE_SIZES)
def test_exported_files_match_pytorch_at_every_size(
    exported: Exported, format: str, size: tuple[int, int, int]
) -> None:
    runtime = open_exported(getattr(exported, format))
    inputs = images(*size)
    reference, result = expected(exported.model, inputs), runtime.probability(*inputs)
    valid = inputs[2] | inputs[3]
    assert (result.shape, result.dtype) == (size, np.float32)
    np.testing.assert_allclose(result[valid], reference[valid], atol=1e-4)
    assert reference[valid].std() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("format", "precision"), [("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "int8")])
def test_multi_sensor_model_exports_to_one_file(format: str, precision: str, tmp_path: Path) -> None:
    model = multi_sensor_model(cloud_detector=CloudDetector(2, 3))
    if precision == "int8":
        # untrained weights give probabilities near the default threshold; the check itself is tested elsewhere
        model.decisions = model.decisions.with_threshold(0.01)
    out = tmp_path / ("m.onnx" if format == "onnx" else "m.xml")
    chips = replace(CHIPS, optical_bands=OPTICAL_BANDS) if precision == "int8" else DataConfig()
    gate = floodseg.export(model, format=format, out=out, precision=precision, config=chips)
    runtime = open_exported(out)
    sar, optical, sar_valid, optical_valid = images(2, 97, 70)
    inputs = sar, optical[:, :3], sar_valid, optical_valid
    reference, result = expected(model, inputs), runtime.probability(*inputs)
    valid = sar_valid | optical_valid
    assert runtime.metadata.precision == precision
    assert runtime.metadata.description["parts"]["sar"]["architecture"] == "lite"
    if precision == "int8":
        # the error of int8 on untrained weights is not meaningful; check that each sensor set was scored
        assert set(gate["water_iou"]) == {"both", "sar", "optical"}
        assert np.corrcoef(result[valid], reference[valid])[0, 1] > 0.9
        sar_only = sar_valid & ~optical_valid
        assert len(np.unique(result[sar_only])) > 256, "the last operations are in floating point"
    else:
        np.testing.assert_allclose(result[valid], reference[valid], atol=1e-4)


def test_onnx_file_runs_on_raw_bands_without_floodseg(exported: Exported) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.onnx)
    ports = {port.name: (port.type, port.shape) for port in session.get_inputs()}
    assert list(ports) == ["sar", "optical", "sar_valid", "optical_valid"]
    assert ports["sar"][0] == ports["optical"][0] == "tensor(float)"
    assert ports["sar_valid"][0] == ports["optical_valid"][0] == "tensor(bool)"
    assert [ports[name][1][1] for name in ("sar", "optical")] == [2, 13]
    assert all(isinstance(side, str) for _, shape in ports.values() for side in (shape[0], *shape[-2:]))
    inputs = images(2, 70, 64)
    (probability,) = session.run(["probability"], dict(zip(ports, inputs, strict=True)))
    valid = inputs[2] | inputs[3]
    np.testing.assert_allclose(probability[valid], expected(exported.model, inputs)[valid], atol=1e-4)


def test_exported_files_contain_metadata(exported: Exported) -> None:
    for path in (exported.onnx, exported.openvino):
        metadata = open_exported(path).metadata
        assert metadata.description == describe(exported.model)
        assert metadata.thresholds == (0.45, 0.3, 0.6, 0.45)
        assert (metadata.precision, metadata.overlap, metadata.multiple) == ("fp32", 256, 1)
        assert metadata.gate == exported.parity
        assert metadata.bands == exported.model.spec.bands
    assert 0 < exported.parity["largest"] < 1e-3
    assert exported.parity["share_within_0.01"] == 1
    assert sorted(path.name for path in exported.onnx.parent.iterdir()) == ["fused.bin", "fused.onnx", "fused.xml"]
    graph = onnx.load(exported.onnx).graph
    assert any(node.name.startswith("model.network.context.query/Conv") for node in graph.node)
    assert not any(node.metadata_props for node in graph.node)
    assert str(Path.home()).encode() not in exported.onnx.read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"format": "onnx", "precision": "bf16"},
            r"`precision=bf16`: ONNX Runtime cannot compute in bf16 on a CPU; use",
        ),
        ({"format": "onnx", "out": "m.xml"}, r"`out=m\.xml`: must end in \.onnx for `format=onnx`"),
        ({"format": "openvino", "out": "m.onnx"}, r"`out=m\.onnx`: must end in \.xml for `format=openvino`"),
        ({"format": "tflite"}, "`format=tflite`: must be one of onnx, openvino"),
        ({"format": "onnx", "precision": "int4"}, "`precision=int4`: must be one of fp32, bf16, int8"),
    ],
)
def test_export_refuses_invalid_settings_before_conversion(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        floodseg.export("s1-lite", **({"out": "m.onnx"} | settings))
    assert not list(tmp_path.iterdir())


def test_export_reports_missing_packages_with_pip_command(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in ("onnxscript", "nncf") else name)
    with pytest.raises(ConfigError, match=r"exporting needs onnxscript and nncf, .*; pip install 'floodseg\[export\]'"):
        floodseg.export("s1-lite", format="openvino", precision="int8", out=tmp_path / "m.xml")


def test_failed_export_keeps_existing_file(tmp_path, monkeypatch):
    older = tmp_path / "m.onnx"
    older.write_bytes(b"older")

    def fail(_: object, job: ExportJob, show_progress: bool) -> None:
        job.out.write_bytes(b"unfinished")
        raise ConfigError("refused")

    monkeypatch.setattr(export_module, "call_in_new_process", fail)
    with pytest.raises(ConfigError, match="refused"):
        floodseg.export(fused_lite(), format="onnx", out=older)
    assert older.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [older]


@pytest.mark.slow
def test_export_raises_errors_of_the_conversion_process(tmp_path):
    with pytest.raises(DataError, match=r"`data=.*absent`: .* is not a folder"):
        floodseg.export(
            fused_lite(), format="onnx", precision="int8", out=tmp_path / "m.onnx", data=tmp_path / "absent",
            layout="folders",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_compare_counts_only_pixels_with_a_valid_sensor(exported: Exported) -> None:
    class WrongRuntime:
        def probability(self, *inputs):
            result = expected(exported.model, inputs)
            result[~(inputs[2] | inputs[3])] = 5  # undefined at these pixels
            result[:, 0, 0] = np.nan if inputs[2][0, 0, 0] else result[:, 0, 0]
            return result

    batch = Batch(*images(1, 64, 64))
    batch.sar_valid[0, 0, 0] = False
    assert compare(exported.model, WrongRuntime(), [batch]) == Difference(
        int((batch.sar_valid | batch.optical_valid).sum()), 0.0, 1.0
    )
    batch.sar_valid[0, 0, 0] = True
    assert compare(exported.model, WrongRuntime(), [batch]).largest == 1.0


def test_parity_limits_match_the_documentation() -> None:
    assert Difference(10, 1e-3, 1.0).passes("fp32")
    assert not Difference(10, 1.01e-3, 1.0).passes("fp32")
    assert Difference(10, 0.5, 0.999).passes("bf16")
    with pytest.raises(
        ConfigError, match=r"within 0\.01 on 99\.80 % of the pixels, but 99\.9 % are required, so nothing is written;"
    ):
        Difference(10, 0.5, 0.998).raise_unless_passes("bf16")
    with pytest.raises(ConfigError, match=r"by 0\.002, but may differ by at most 0\.001, so nothing is writ"):
        Difference(10, 2e-3, 1.0).raise_unless_passes("fp32")
    assert parity.INT8_MAX_IOU_DROP == 0.003
    require_water_iou({"both": 0.5, "sar": 0.5}, {"both": 0.4971, "sar": 0.6}, "valid")
    with pytest.raises(
        ConfigError, match=r"water IoU on split 'valid' \(both\) drops by 0\.1000, but may drop by at most 0\.003,"
    ):
        require_water_iou({"sar": 0.5, "both": 0.5}, {"sar": 0.5, "both": 0.4}, "valid")


@pytest.mark.parametrize("multiple", [1, 32])
def test_simulated_batches_have_odd_sizes_and_garbage(multiple: int) -> None:
    batches = list(simulated_batches(fused_lite(), multiple))
    assert [batch.sar_valid.shape for batch in batches] == [
        (1, *(-(-side // multiple) * multiple for side in sides)) for sides in SIZES
    ]
    codes = np.concatenate([(batch.sar_valid + 2 * batch.optical_valid).ravel() for batch in batches])
    assert (np.bincount(codes, minlength=4) > 0.01 * codes.size).all()
    for batch in batches:
        for image, valid in ((batch.sar, batch.sar_valid), (batch.optical, batch.optical_valid)):
            inside = image.transpose(0, 2, 3, 1)[valid]
            assert np.isfinite(inside).all()
            assert np.abs(inside).max() < 100
            assert not np.isfinite(image.transpose(0, 2, 3, 1)[~valid]).all()


@pytest.fixture
def conversion(exported: Exported, tmp_path, monkeypatch):
    """Return a function that creates a ``Conversion`` of the exported model without tracing it again."""

    def make(format: str, precision: str, data: DataConfig | None = None) -> Conversion:
        def copy_graph(*_: object) -> int:
            graph = onnx.load(exported.onnx)
            del graph.metadata_props[:]
            onnx.save(graph, tmp_path / "graph.onnx")
            return 1

        monkeypatch.setattr(convert, "write_graph", copy_graph)
        save_folder(tmp_path, exported.model)
        out = tmp_path / ("m.onnx" if format == "onnx" else "m.xml")
        return Conversion(ExportJob(tmp_path, format, precision, out, data, "valid"), report=lambda _: None)

    return make


@pytest.mark.slow
def test_int8_is_calibrated_and_scored_on_chips(conversion, exported: Exported) -> None:
    converter = conversion("onnx", "int8", CHIPS)
    # untrained weights give probabilities near the default threshold
    converter.model.decisions = converter.model.decisions.with_threshold(0.01)
    gate = converter.run()
    assert set(gate["water_iou"]) == {"both", "sar", "optical"}
    for sensors, before in gate["water_iou_in_torch"].items():
        assert before - gate["water_iou"][sensors] <= 0.003
    runtime = open_exported(converter.job.out)
    assert (runtime.precision, runtime.metadata.gate) == ("int8", gate)
    assert converter.job.out.stat().st_size < 0.5 * exported.onnx.stat().st_size
    inputs = images(1, 64, 64)
    valid = inputs[2] | inputs[3]
    difference = np.abs(runtime.probability(*inputs) - expected(exported.model, inputs))[valid]
    assert 0 < np.median(difference) < 0.05
    quantised_nodes = {
        node.name for node in onnx.load(converter.job.out).graph.node if "_quantized" in " ".join(node.input)
    }
    assert quantised_nodes
    floating = unquantised_nodes(exported.onnx, DeployedModel(exported.model))
    assert quantised_nodes.isdisjoint(floating)


@needs_bf16
def test_bf16_keeps_first_convolutions_in_fp32_if_the_check_fails(conversion, monkeypatch) -> None:
    converter = conversion("openvino", "bf16")
    monkeypatch.setattr(convert, "compare", lambda *_: next(measured))
    measured = iter([Difference(9, 0.02, 0.9995)])
    assert converter.run() == {"pixels": 9, "largest": 0.02, "share_within_0.01": 0.9995}
    assert 'name="precise"' not in converter.job.out.read_text()
    measured = iter([Difference(9, 0.3, 0.9), Difference(9, 0.02, 0.9995)])
    assert converter.run() == {"pixels": 9, "largest": 0.02, "share_within_0.01": 0.9995, "convolutions_in_fp32": 8}
    text = converter.job.out.read_text()
    assert text.count('name="precise"') > 10
    assert text.index('name="precise"') < text.index("network.join4.1")
    measured = iter([Difference(9, 0.3, 0.9)] * 2)
    with pytest.raises(ConfigError, match=r"on 90\.00 % of the pixels, .* so nothing is written; export it as fp32"):
        converter.run()


@needs_bf16
def test_bf16_export_reports_openvino_failure(conversion, monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(convert, "compare", fails)
    with pytest.raises(ConfigError, match="`precision=bf16`: OpenVINO cannot run this network in bf16 on this"):
        conversion("openvino", "bf16").run()
    with pytest.raises(RuntimeError, match="no kernel"):
        conversion("openvino", "fp32").run()


def test_first_convolutions_returns_names_up_to_the_count(exported: Exported) -> None:
    assert not any("/Conv_" in name for name in nodes_before_convolution(exported.onnx, 0))
    names = nodes_before_convolution(exported.onnx, 2)
    assert sum("/Conv_" in name for name in names) == 2
    assert any("normalise_sar/" in name for name in names)
    assert set(names) < set(nodes_before_convolution(exported.onnx, 8))


@pytest.mark.slow
def test_openvino_int8_model_keeps_normalisation_in_float(exported: Exported, tmp_path) -> None:
    call_in_new_process(write_int8, exported.onnx, tmp_path / "m.xml")
    text = (tmp_path / "m.xml").read_text()
    assert text.count('type="FakeQuantize"') > 30
    assert not any(f"normalise_sar/{name}/fq" in text for name in ("Sub", "Div", "Min"))
    runtime = open_exported(tmp_path / "m.xml")
    inputs = images(1, 64, 96)
    valid = inputs[2] | inputs[3]
    difference = np.abs(runtime.probability(*inputs) - expected(exported.model, inputs))[valid]
    assert 0 < np.median(difference) < 0.05


def test_calibration_refuses_data_that_lack_a_sensor(tmp_path, exported: Exported) -> None:
    radar = DataConfig(layout="synthetic", synthetic_chips=4, synthetic_size=64, sensors="sar")
    with pytest.raises(ConfigError, match="`data`: holds no optical images, but the model takes them"):
        CalibrationChips(exported.model, radar, "valid")


def test_metadata_round_trip_and_refuse_other_text(tmp_path) -> None:
    metadata = ExportMetadata({"bands": {}}, "fp32", (0.5, 0.5, 0.5, 0.5), 64, 32, {"largest": 0.1})
    assert ExportMetadata.from_text(metadata.to_text(), tmp_path) == metadata
    for text in (None, "", "[]", "{}", '{"format": "x"}', '{"format": "x", "format_version": 1}'):
        with pytest.raises(FloodsegError, match=r"use a file written by floodseg export|export the model again"):
            ExportMetadata.from_text(text, tmp_path)
    newer = metadata.to_text().replace('"format_version": 1', '"format_version": 2')
    with pytest.raises(FloodsegError, match="has format version 2, but this floodseg reads 1; export the model again"):
        ExportMetadata.from_text(newer, tmp_path)


@pytest.mark.parametrize(("height", "width"), [(200, 256), (224, 96), (97, 131)])
def test_openvino_matches_pytorch_with_dynamic_shapes(exported: Exported, height: int, width: int) -> None:
    compiled = CORE.compile_model(exported.openvino, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = images(1, height, width)
    result = compiled(dict(zip(("sar", "optical", "sar_valid", "optical_valid"), inputs, strict=True)))[0]
    valid = inputs[2] | inputs[3]
    np.testing.assert_allclose(result[valid], expected(exported.model, inputs)[valid], atol=1e-5)


def test_unquantised_nodes_of_a_network(exported: Exported) -> None:
    nodes = onnx.load(exported.onnx).graph.node
    names = [node.name for node in nodes]
    producer = {output: node.name for node in nodes for output in node.output}
    floating = set(unquantised_nodes(exported.onnx, DeployedModel(exported.model)))
    attention = {name for name in names if "network.context" in name}
    assert attention
    assert attention <= floating
    assert {name for name in names if "normalise_" in name} <= floating
    # the reciprocal of the share of valid pixels, and its product with the features
    share = {name for name in names if "network.stem/Reciprocal" in name}
    assert share
    assert share <= floating
    products = {n.name for n in nodes if share & {producer.get(i) for i in n.input}}
    assert products
    assert products <= floating
    convolutions = {name for name in names if "/Conv_" in name}
    assert len(convolutions - floating) > 15


@pytest.mark.slow
def test_multi_sensor_model_without_a_fused_network_exports_to_one_file(tmp_path: Path) -> None:
    parts = multi_sensor_model()
    model = MultiSensorModel(parts.sar, parts.optical, LogOddsFusion(0.7, 0.9, 0.2, optical_margin=5)).eval()
    out = tmp_path / "m.onnx"
    floodseg.export(model, format="onnx", out=out)
    sar, optical, sar_valid, optical_valid = images(2, 97, 70)
    optical_valid[:, 20:] = True
    optical = np.where(optical_valid[:, None], optical[:, :3].clip(0, 1), optical[:, :3])
    inputs = sar, optical, sar_valid, optical_valid
    valid = sar_valid | optical_valid
    np.testing.assert_allclose(
        open_exported(out).probability(*inputs)[valid], expected(model, inputs)[valid], atol=1e-4
    )


@pytest.mark.slow
def test_unquantised_nodes_include_fusion_of_several_networks(tmp_path: Path) -> None:
    model = multi_sensor_model(cloud_detector=CloudDetector(2, 3))
    deployed = DeployedModel(model)
    write_graph(deployed, model.spec.bands, tmp_path / "graph.onnx")
    names = [node.name for node in onnx.load(tmp_path / "graph.onnx").graph.node]
    floating = unquantised_nodes(tmp_path / "graph.onnx", deployed)
    outside = [name for name in names if "network" not in name.partition("/")[0]]
    mixing = [name for name in outside if "/Where" in name or "/Add" in name or "/Sub" in name]
    assert mixing, "the selection, and temperatures"
    assert set(outside) <= set(floating)
    assert sum("/Conv_" in name for name in outside) > 0, "the cloud detector"
    first = nodes_before_convolution(tmp_path / "graph.onnx", 8)
    assert sum("/Conv_" in name for name in first) == 3 * 8
