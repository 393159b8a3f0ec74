"""Conversion of a model to an exported file, with its parity check."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

from floodseg.deployment.calibration_chips import CalibrationChips
from floodseg.deployment.export_job import ExportJob
from floodseg.deployment.graph import nodes_before_convolution, write_graph
from floodseg.deployment.parity import Difference, compare, require_water_iou
from floodseg.deployment.quantise import quantise
from floodseg.deployment.samples import simulated_batches
from floodseg.deployment.writers import read_graph, write_onnx, write_openvino
from floodseg.errors import ConfigError
from floodseg.messages import percent
from floodseg.models.checkpoint.checkpoint import describe, load_folder
from floodseg.models.checkpoint.formats import ExportPrecision
from floodseg.models.deploy import DeployedModel
from floodseg.models.multi_sensor import AnyModel
from floodseg.models.registry import overlap_of
from floodseg.runtimes.metadata import ExportMetadata
from floodseg.runtimes.select import open_exported

FP32_CONVOLUTIONS = 8
"""Number of convolutions, from the first on, that compute in fp32 if the parity check fails with bf16 in all layers.

Rounding errors of the first layers propagate through all later ones.
"""


class Conversion:
    """A loaded model with its traced graph, and the chips for calibration and comparison."""

    def __init__(self, job: ExportJob, report: Callable[[str], None]) -> None:
        """Load the model, open the chips and trace the graph.

        Args:
            job: the settings.
            report: called with one line of text for each step.

        Raises:
            ConfigError: the data lack a sensor of the model, or the network cannot be traced.
            DataError: the data cannot be opened.
        """
        self.job, self.report = job, report
        self.model: AnyModel = load_folder(job.folder)
        self.chips = None if job.data is None else CalibrationChips(self.model, job.data, job.split)
        self.deployed = DeployedModel(self.model)
        self.graph = job.folder / "graph.onnx"
        report("tracing the graph")
        multiple = write_graph(self.deployed, self.model.spec.bands, self.graph)
        self.metadata = metadata_of(self.model, job.precision, multiple)

    def run(self) -> dict[str, Any]:
        """Write the file and return the results of its parity check.

        Raises:
            ConfigError: the file fails its parity check.
        """
        return self._convert_int8() if self.job.precision == "int8" else self._convert_float()

    def _convert_float(self) -> dict[str, Any]:
        precision = self.job.precision
        model = read_graph(self.graph, self.job.format)
        difference, fp32_convolutions = self._write_and_compare(model, 0), 0
        if precision == "bf16" and not difference.passes(precision):
            fp32_convolutions = FP32_CONVOLUTIONS
            difference = self._write_and_compare(model, fp32_convolutions)
        difference.raise_unless_passes(precision)
        results = difference.to_json() | ({"convolutions_in_fp32": fp32_convolutions} if fp32_convolutions else {})
        self._write(model, replace(self.metadata, gate=results), fp32_convolutions)
        return results

    def _convert_int8(self) -> dict[str, Any]:
        assert self.chips is not None, "int8 needs data"
        torch_iou = self.chips.water_iou(self.model)
        self.report("quantising")
        model = quantise(self.graph, self.deployed, self.chips.sample_batches(), self.job.format)
        self._write(model, self.metadata)
        int8_iou = self.chips.water_iou(open_exported(self.job.out))
        changes = (f"{name} {torch_iou[name]:.4f} -> {int8_iou[name]:.4f}" for name in torch_iou)
        self.report(f"water IoU {', '.join(changes)}")
        require_water_iou(torch_iou, int8_iou, self.job.split)
        results = {"split": self.job.split, "water_iou": int8_iou, "water_iou_in_torch": torch_iou}
        self._write(model, replace(self.metadata, gate=results))
        return results

    def _write_and_compare(self, model: Any, fp32_convolutions: int) -> Difference:
        """Write the file and measure its difference from the model in PyTorch."""
        self._write(model, self.metadata, fp32_convolutions)
        chips = () if self.chips is None else self.chips.sample_batches()
        batches = chain(simulated_batches(self.model, self.metadata.multiple), chips)
        try:
            difference = compare(self.model, open_exported(self.job.out), batches)
        except RuntimeError as error:
            if self.job.precision != "bf16":
                raise
            raise ConfigError(
                "`precision=bf16`: OpenVINO cannot run this network in bf16 on this processor, so nothing is written; "
                "export it as fp32"
            ) from error
        self.report(
            f"largest difference {difference.largest:.2g}, over 0.01 on {percent(1 - difference.share_within, 3)} of "
            "the pixels"
        )
        return difference

    def _write(self, model: Any, metadata: ExportMetadata, fp32_convolutions: int = 0) -> None:
        if self.job.format == "onnx":
            write_onnx(model, metadata, self.job.out)
        else:
            fp32_nodes = nodes_before_convolution(self.graph, fp32_convolutions) if fp32_convolutions else ()
            write_openvino(model, metadata, self.job.out, fp32_nodes)


def metadata_of(model: AnyModel, precision: ExportPrecision, multiple: int) -> ExportMetadata:
    """Return the metadata of an exported model, without the results of a parity check."""
    no_sensor, sar, optical, both = model.decisions.by_validity_code("threshold")
    return ExportMetadata(
        description=describe(model),
        precision=precision,
        thresholds=(no_sensor, sar, optical, both),
        overlap=overlap_of(model),
        multiple=multiple,
    )
