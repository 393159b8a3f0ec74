"""``floodseg.export``: files that do what the model does, or nothing."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import floodseg
from exported_models import SEEN_BANDS, Exported, expected, fused_lite, images, specialised
from floodseg.config.train import DataConfig
from floodseg.deployment import convert, gates
from floodseg.deployment import export as exporting
from floodseg.deployment.convert import Conversion
from floodseg.deployment.gates import Difference, compare
from floodseg.deployment.graph import write_onnx
from floodseg.deployment.job import Job
from floodseg.deployment.nodes import Nodes
from floodseg.deployment.samples import SIZES, Batch, simulated_batches
from floodseg.deployment.unquantised import unquantised
from floodseg.errors import ConfigError, DataError, FloodsegError
from floodseg.models.checkpoint.checkpoint import describe, save_folder
from floodseg.models.deploy import DeployedModel
from floodseg.runtimes.metadata import ExportedFacts
from floodseg.runtimes.select import open_exported
from floodseg.system import extras

CHIPS = DataConfig(layout="synthetic", synthetic_chips=6, synthetic_size=64)
SIZES_SEEN = [(1, 64, 64), (3, 65, 130), (1, 97, 71), (1, 64, 1100)]


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("size", SIZES_SEEN)
def test_a_file_gives_the_models_probability_whatever_the_size(
    exported: Exported, format: str, size: tuple[int, int, int]
) -> None:
    runtime = open_exported(getattr(exported, format))
    given = images(*size)
    wanted, result = expected(exported.model, given), runtime.probability(*given)
    seen = given[2] | given[3]
    assert (result.shape, result.dtype) == (size, np.float32)
    np.testing.assert_allclose(result[seen], wanted[seen], atol=1e-4)
    assert wanted[seen].std() > 0.05


@pytest.mark.parametrize(("format", "precision"), [("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "int8")])
def test_a_model_with_specialists_is_exported_in_one_file(format: str, precision: str, tmp_path: Path) -> None:
    model = specialised()
    if precision == "int8":
        # weights that learned nothing crowd beside any threshold in the middle, and the gate is tested elsewhere
        model.decisions = model.decisions.with_threshold(0.01)
    out = tmp_path / ("m.onnx" if format == "onnx" else "m.xml")
    chips = replace(CHIPS, optical_bands=SEEN_BANDS) if precision == "int8" else DataConfig()
    gate = floodseg.export(model, format=format, out=out, precision=precision, config=chips)
    runtime = open_exported(out)
    sar, optical, sar_valid, optical_valid = images(2, 97, 70)
    given = sar, optical[:, :3], sar_valid, optical_valid
    wanted, result = expected(model, given), runtime.probability(*given)
    seen = sar_valid | optical_valid
    assert runtime.facts.precision == precision
    assert runtime.facts.description["specialists"]["sar"]["architecture"] == "lite"
    if precision == "int8":
        # how near it comes on weights that learned nothing says little; each sensor set was scored
        assert set(gate["water_iou"]) == {"both", "sar", "optical"}
        assert np.corrcoef(result[seen], wanted[seen])[0, 1] > 0.9
        radar_alone = sar_valid & ~optical_valid
        assert len(np.unique(result[radar_alone])) > 256, "more than int8 has: the last steps are left as they are"
    else:
        np.testing.assert_allclose(result[seen], wanted[seen], atol=1e-4)


def test_the_file_takes_raw_bands_without_floodseg(exported: Exported) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.onnx)
    inputs = {port.name: (port.type, port.shape) for port in session.get_inputs()}
    assert list(inputs) == ["sar", "optical", "sar_valid", "optical_valid"]
    assert inputs["sar"][0] == inputs["optical"][0] == "tensor(float)"
    assert inputs["sar_valid"][0] == inputs["optical_valid"][0] == "tensor(bool)"
    assert [inputs[name][1][1] for name in ("sar", "optical")] == [2, 13]
    assert all(isinstance(side, str) for _, shape in inputs.values() for side in (shape[0], *shape[-2:]))
    given = images(2, 70, 64)
    (probability,) = session.run(["probability"], dict(zip(inputs, given, strict=True)))
    seen = given[2] | given[3]
    np.testing.assert_allclose(probability[seen], expected(exported.model, given)[seen], atol=1e-4)


def test_a_file_says_what_it_is(exported: Exported) -> None:
    for path in (exported.onnx, exported.openvino):
        facts = open_exported(path).facts
        assert facts.description == describe(exported.model)
        assert facts.thresholds == (0.45, 0.3, 0.6, 0.45)
        assert (facts.precision, facts.overlap, facts.multiple) == ("fp32", 256, 1)
        assert facts.gate == exported.gate
        assert facts.bands == exported.model.spec.bands
    assert 0 < exported.gate["largest"] < 1e-3
    assert exported.gate["share_within_0.01"] == 1
    assert sorted(path.name for path in exported.onnx.parent.iterdir()) == ["fused.bin", "fused.onnx", "fused.xml"]
    graph = onnx.load(exported.onnx).graph
    assert any(node.name.startswith("network.context.query/Conv") for node in graph.node)
    assert not any(node.metadata_props for node in graph.node)
    assert str(Path.home()).encode() not in exported.onnx.read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "onnx", "precision": "bf16"}, r"--precision bf16: ONNX Runtime computes no bf16 on a CPU; give"),
        ({"format": "onnx", "out": "m.xml"}, r"--out m\.xml: must end in \.onnx for --format onnx"),
        ({"format": "openvino", "out": "m.onnx"}, r"--out m\.onnx: must end in \.xml for --format openvino"),
        ({"format": "tflite"}, "--format tflite: must be one of onnx, openvino"),
        ({"format": "onnx", "precision": "int4"}, "--precision int4: must be one of fp32, bf16, int8"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_the_work(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        floodseg.export("s1-lite", **({"out": "m.onnx"} | settings))
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_line_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in ("onnxscript", "nncf") else name)
    with pytest.raises(ConfigError, match=r"exporting needs onnxscript and nncf, .*: pip install 'floodseg\[export\]'"):
        floodseg.export("s1-lite", format="openvino", precision="int8", out=tmp_path / "m.xml")


def test_what_fails_leaves_an_older_file_alone(tmp_path, monkeypatch):
    older = tmp_path / "m.onnx"
    older.write_bytes(b"older")

    def refuse(job: Job) -> None:
        job.out.write_bytes(b"unfinished")
        raise ConfigError("refused")

    monkeypatch.setattr(exporting, "convert_in_own_process", refuse)
    with pytest.raises(ConfigError, match="refused"):
        floodseg.export(fused_lite(), format="onnx", out=older)
    assert older.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [older]


def test_a_conversion_that_is_killed_is_told_in_one_sentence(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(FloodsegError, match="the conversion was ended by signal 9, for want of memory perhaps"):
        floodseg.export(fused_lite(), format="onnx", out=tmp_path / "out" / "m.onnx")
    assert not list((tmp_path / "out").iterdir())


def test_what_goes_wrong_in_the_conversion_is_raised_here(tmp_path):
    with pytest.raises(DataError, match=r"`data` .*absent: .* is not a folder"):
        floodseg.export(
            fused_lite(), format="onnx", precision="int8", out=tmp_path / "m.onnx", data=tmp_path / "absent",
            layout="folders",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_the_gate_counts_pixels_that_a_sensor_sees(exported: Exported) -> None:
    class Wrong:
        def probability(self, *given):
            result = expected(exported.model, given)
            result[~(given[2] | given[3])] = 5  # means nothing
            result[:, 0, 0] = np.nan if given[2][0, 0, 0] else result[:, 0, 0]
            return result

    batch = Batch(*images(1, 64, 64))
    batch.sar_valid[0, 0, 0] = False
    assert compare(exported.model, Wrong(), [batch]) == Difference(
        int((batch.sar_valid | batch.optical_valid).sum()), 0.0, 1.0
    )
    batch.sar_valid[0, 0, 0] = True
    assert compare(exported.model, Wrong(), [batch]).largest == 1.0


def test_gates_are_those_that_are_promised() -> None:
    assert Difference(10, 1e-3, 1.0).holds("fp32")
    assert not Difference(10, 1.01e-3, 1.0).holds("fp32")
    assert Difference(10, 0.5, 0.999).holds("bf16")
    with pytest.raises(
        ConfigError, match=r"within 0\.01 on 99\.9% of the pixels, and does on 99\.80%; nothing is writ"
    ):
        Difference(10, 0.5, 0.998).require("bf16")
    with pytest.raises(ConfigError, match=r"within 0\.001 everywhere, and differs by 0\.002; nothing is written"):
        Difference(10, 2e-3, 1.0).require("fp32")
    assert gates.INT8_DROP == 0.003


@pytest.mark.parametrize("multiple", [1, 32])
def test_images_of_the_gate_have_odd_sizes_and_garbage(multiple: int) -> None:
    batches = list(simulated_batches(fused_lite(), multiple))
    assert [batch.sar_valid.shape for batch in batches] == [
        (count, *(-(-side // multiple) * multiple for side in sides)) for count, *sides in SIZES
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
    """Return a function that makes a conversion of the exported model, whose graph is not traced again."""

    def make(format: str, precision: str, data: DataConfig | None = None) -> Conversion:
        def copied(*_: object) -> int:
            graph = onnx.load(exported.onnx)
            del graph.metadata_props[:]
            onnx.save(graph, tmp_path / "graph.onnx")
            return 1

        monkeypatch.setattr(convert, "write_onnx", copied)
        save_folder(tmp_path, exported.model)
        out = tmp_path / ("m.onnx" if format == "onnx" else "m.xml")
        return Conversion(Job(tmp_path, format, precision, out, data, "valid", False))

    return make


def test_int8_is_calibrated_and_scored_on_real_chips(conversion, exported: Exported) -> None:
    made = conversion("onnx", "int8", CHIPS)
    gate = made.run()
    assert set(gate["water_iou"]) == {"both", "sar", "optical"}
    for sensors, before in gate["water_iou_in_torch"].items():
        assert before - gate["water_iou"][sensors] <= 0.003
    runtime = open_exported(made.job.out)
    assert (runtime.precision, runtime.facts.gate) == ("int8", gate)
    assert made.job.out.stat().st_size < 0.5 * exported.onnx.stat().st_size
    given = images(1, 64, 64)
    seen = given[2] | given[3]
    difference = np.abs(runtime.probability(*given) - expected(exported.model, given))[seen]
    assert 0 < np.median(difference) < 0.05
    quantised = {node.name for node in onnx.load(made.job.out).graph.node if "_quantized" in " ".join(node.input)}
    assert not any(name.startswith(("normalise_", "network.context")) for name in quantised)


def test_int8_that_costs_accuracy_is_refused_when_nothing_helps(conversion, monkeypatch) -> None:
    made = conversion("onnx", "int8", CHIPS)
    tried = []
    monkeypatch.setattr(made, "_quantised", lambda first, last: tried.append((first, last)))
    monkeypatch.setattr(made, "_write", lambda *_: None)
    monkeypatch.setattr(made, "_open", lambda: None)
    falls = iter([0.5, 0.4, 0.49, 0.45, 0.4])
    monkeypatch.setattr(made.chips, "scores", lambda _: {"sar": 0.5, "both": next(falls)})
    with pytest.raises(
        ConfigError, match=r"water IoU on split 'valid' \(both\) may fall by 0\.003, and falls by 0\.1000;"
    ):
        made.run()
    assert tried == [(0, 0), (0, 3), (2, 3), (4, 6)]


def test_int8_keeps_layers_that_hurt_in_higher_precision(conversion, monkeypatch) -> None:
    made = conversion("onnx", "int8", CHIPS)
    monkeypatch.setattr(made, "_quantised", lambda first, last: None)
    monkeypatch.setattr(made, "_write", lambda *_: None)
    monkeypatch.setattr(made, "_open", lambda: None)
    falls = iter([0.5, 0.4, 0.498])
    monkeypatch.setattr(made.chips, "scores", lambda _: {"sar": next(falls)})
    assert made.run()["convolutions_not_quantised"] == 3


def test_bf16_keeps_the_first_layers_in_fp32_until_it_is_close(conversion, monkeypatch) -> None:
    made = conversion("openvino", "bf16")
    monkeypatch.setattr(convert, "compare", lambda *_: next(measured))
    measured = iter([Difference(9, 0.3, 0.9), Difference(9, 0.2, 0.99), Difference(9, 0.02, 0.9995)])
    assert made.run() == {"pixels": 9, "largest": 0.02, "share_within_0.01": 0.9995, "convolutions_in_fp32": 4}
    text = made.job.out.read_text()
    marked = text.count('name="precise"')
    assert marked > 10
    assert text.index('name="precise"') < text.index("network.join4.1")
    measured = iter([Difference(9, 0.3, 0.9)] * 5)
    with pytest.raises(ConfigError, match=r"does on 90\.00%; nothing is written: export it as fp32"):
        made.run()


NNCF = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from exported_models import images
from floodseg.runtimes.metadata import ExportedFacts, KEY
from floodseg.deployment.forms import write_openvino
from floodseg.deployment.nodes import Nodes
from floodseg.deployment.quantise import quantised_openvino
from floodseg.deployment.samples import Batch
import onnx
source, out = Path(sys.argv[1]), Path(sys.argv[2])
kept = Nodes(source)
names = [*kept.up_to(0), *kept.within(("network.context",))]
model = quantised_openvino(source, [Batch(*images(1, 64, 64, seed)) for seed in range(4)], names)
text = next(entry.value for entry in onnx.load(source).metadata_props if entry.key == KEY)
write_openvino(model, ExportedFacts.from_text(text.replace('"fp32"', '"int8"'), source), out)
"""


def test_openvino_models_are_quantised_outside_of_normalisation_and_attention(exported: Exported, tmp_path) -> None:
    # in a process of its own: the quantiser leaves threads behind
    paths = os.pathsep.join((str(Path(__file__).parents[1]), *filter(None, sys.path)))
    subprocess.run(
        [sys.executable, "-c", NNCF, str(exported.onnx), str(tmp_path / "m.xml")], check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    text = (tmp_path / "m.xml").read_text()
    assert text.count('type="FakeQuantize"') > 30
    assert not any(f"normalise_sar/{name}/fq" in text for name in ("Sub", "Div", "Min"))
    runtime = open_exported(tmp_path / "m.xml")
    given = images(1, 64, 96)
    seen = given[2] | given[3]
    difference = np.abs(runtime.probability(*given) - expected(exported.model, given))[seen]
    assert 0 < np.median(difference) < 0.05


def test_a_model_of_both_sensors_is_not_calibrated_on_one(tmp_path, exported: Exported) -> None:
    from floodseg.deployment.calibration_chips import CalibrationChips

    radar = DataConfig(layout="synthetic", synthetic_chips=4, synthetic_size=64, sensors="sar")
    with pytest.raises(ConfigError, match="`data`: holds no optical images, and the model takes them"):
        CalibrationChips(exported.model, radar, "valid")


def test_facts_are_read_from_files_of_floodseg_alone(tmp_path) -> None:
    facts = ExportedFacts({"bands": {}}, "fp32", (0.5, 0.5, 0.5, 0.5), 64, 32, {"largest": 0.1})
    assert ExportedFacts.from_text(facts.to_text(), tmp_path) == facts
    for text in (None, "", "[]", "{}", '{"format": "x"}', '{"format": "x", "format_version": 1}'):
        with pytest.raises(FloodsegError, match=r"only files written by floodseg export|export the model again"):
            ExportedFacts.from_text(text, tmp_path)
    newer = facts.to_text().replace('"format_version": 1', '"format_version": 2')
    with pytest.raises(FloodsegError, match="has format version 2, this floodseg reads 1; export the model again"):
        ExportedFacts.from_text(newer, tmp_path)


@pytest.mark.parametrize(("height", "width"), [(200, 256), (224, 96), (97, 131)])
def test_openvino_gives_it_for_shapes_that_are_free_as_well(exported: Exported, height: int, width: int) -> None:
    import openvino

    compiled = openvino.Core().compile_model(exported.openvino, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given = images(1, height, width)
    result = compiled(dict(zip(("sar", "optical", "sar_valid", "optical_valid"), given, strict=True)))[0]
    seen = given[2] | given[3]
    np.testing.assert_allclose(result[seen], expected(exported.model, given)[seen], atol=1e-5)


def test_what_follows_from_validity_alone_is_not_quantised(exported: Exported) -> None:
    names = Nodes(exported.onnx).of_validity()
    assert sum("network.stem/AveragePool" in name for name in names) == 2, "the share that each sensor's stem saw"
    # features depend on images, and odds on features
    assert not any("Conv" in name or "reliability" in name for name in names)
    assert set(names) <= set(unquantised(Nodes(exported.onnx), DeployedModel(exported.model)))


def test_what_decides_between_networks_is_not_quantised(tmp_path: Path) -> None:
    model = specialised()
    deployed = DeployedModel(model)
    write_onnx(deployed, model.spec.bands, tmp_path / "graph.onnx")
    nodes = Nodes(tmp_path / "graph.onnx")
    kept = unquantised(nodes, deployed)
    mixing = [name for name in nodes.of_the_whole() if "/Where" in name or "/Add" in name or "/Sub" in name]
    assert mixing, "the mix with radar under clouds, and temperatures"
    assert set(nodes.of_the_whole()) <= set(kept)
    for module in ("judge.first", "route", "context_prior", "specialists.sar.context_prior"):
        of_module = nodes.within([module])
        assert of_module, module
        assert set(of_module) <= set(kept), module
    assert [name.partition("/")[0].partition("network.")[2] for name in nodes.last(1)] == ["head"] * 3
