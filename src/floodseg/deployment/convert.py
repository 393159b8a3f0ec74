"""Conversion of one model to one file that has passed its parity check."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

from floodseg.deployment.calibration_chips import CalibrationChips
from floodseg.deployment.formats import read_graph, write_onnx, write_openvino
from floodseg.deployment.graph import first_convolutions, write_graph
from floodseg.deployment.job import Job
from floodseg.deployment.parity import Difference, compare, require_water_iou
from floodseg.deployment.quantise import quantised
from floodseg.deployment.samples import simulated_batches
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.checkpoint import describe, load_folder
from floodseg.models.checkpoint.formats import ExportPrecision
from floodseg.models.decision import VALIDITY_CODES
from floodseg.models.deploy import DeployedModel
from floodseg.models.model import FloodModel
from floodseg.models.registry import overlap_of
from floodseg.runtimes.metadata import ExportMetadata
from floodseg.runtimes.select import open_exported

FP32_CONVOLUTIONS = 8
"""First convolutions that stay in fp32 where bf16 throughout fails its check: their errors reach all later layers."""


class Conversion:
    """One model, its graph, and the chips that it is calibrated and compared on."""

    def __init__(self, job: Job, note: Callable[[str], None]) -> None:
        """Load the model, open the chips and trace the graph.

        Raises:
            ConfigError: the data lack a sensor of the model, or the network cannot be traced.
            DataError: the data cannot be opened.
        """
        self.job, self.note = job, note
        self.model: FloodModel = load_folder(job.folder)
        self.chips = None if job.data is None else CalibrationChips(self.model, job.data, job.split)
        self.deployed = DeployedModel(self.model)
        self.graph = job.folder / "graph.onnx"
        note("tracing the graph")
        multiple = write_graph(self.deployed, self.model.spec.bands, self.graph)
        self.metadata = metadata_of(self.model, job.precision, multiple)

    def run(self) -> dict[str, Any]:
        """Write the file and return the figures of its parity check.

        Raises:
            ConfigError: the file fails its check.
        """
        return self._int8() if self.job.precision == "int8" else self._float()

    def _float(self) -> dict[str, Any]:
        precision = self.job.precision
        model = read_graph(self.graph, self.job.format)
        difference, count = self._written(model, 0), 0
        if precision == "bf16" and not difference.passes(precision):
            difference, count = self._written(model, FP32_CONVOLUTIONS), FP32_CONVOLUTIONS
        difference.require(precision)
        gate = difference.to_json() | ({"convolutions_in_fp32": count} if count else {})
        self._write(model, replace(self.metadata, gate=gate), count)
        return gate

    def _written(self, model: Any, fp32_convolutions: int) -> Difference:
        """Write the file and measure how much it differs from the model."""
        self._write(model, self.metadata, fp32_convolutions)
        real = () if self.chips is None else self.chips.some()
        batches = chain(simulated_batches(self.model, self.metadata.multiple), real)
        try:
            difference = compare(self.model, open_exported(self.job.out), batches)
        except RuntimeError as error:
            if self.job.precision != "bf16":
                raise
            raise ConfigError(
                "`precision=bf16`: OpenVINO cannot run this network in bf16 on this processor; nothing is written: "
                "export it as fp32"
            ) from error
        self.note(f"differs by at most {difference.largest:.2g}, by over 0.01 on {1 - difference.share_within:.3%}")
        return difference

    def _int8(self) -> dict[str, Any]:
        assert self.chips is not None, "int8 comes with data"
        before = self.chips.scores(self.model)
        self.note("quantising")
        model = quantised(self.graph, self.deployed, self.chips.some(), self.job.format)
        self._write(model, self.metadata)
        after = self.chips.scores(open_exported(self.job.out))
        self.note("water IoU " + ", ".join(f"{name} {before[name]:.4f} -> {after[name]:.4f}" for name in before))
        require_water_iou(before, after, self.job.split)
        gate = {"split": self.job.split, "water_iou": after, "water_iou_in_torch": before}
        self._write(model, replace(self.metadata, gate=gate))
        return gate

    def _write(self, model: Any, metadata: ExportMetadata, fp32_convolutions: int = 0) -> None:
        if self.job.format == "onnx":
            write_onnx(model, metadata, self.job.out)
        else:
            fp32_nodes = first_convolutions(self.graph, fp32_convolutions) if fp32_convolutions else ()
            write_openvino(model, metadata, self.job.out, fp32_nodes)


def metadata_of(model: FloodModel, precision: ExportPrecision, multiple: int) -> ExportMetadata:
    """Return the metadata of an exported model, without figures of a parity check."""
    decisions = model.decisions
    by_code = {code: decisions.of(sensors).threshold for sensors, code in VALIDITY_CODES.items()}
    return ExportMetadata(
        description=describe(model),
        precision=precision,
        thresholds=(by_code[3], by_code[1], by_code[2], by_code[3]),
        overlap=overlap_of(model),
        multiple=multiple,
    )
