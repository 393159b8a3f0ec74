"""From a model to a file that has passed its gate; layers that hurt stay in higher precision until it does."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from floodseg.deployment.calibration_chips import CalibrationChips
from floodseg.deployment.forms import PRECISE_FIRST, write_onnx_form, write_openvino
from floodseg.deployment.gates import INT8_DROP, Difference, compare
from floodseg.deployment.graph import write_onnx
from floodseg.deployment.job import NOTE, Job
from floodseg.deployment.nodes import Nodes, pattern
from floodseg.deployment.quantise import quantised_onnx, quantised_openvino
from floodseg.deployment.samples import Batch, simulated_batches
from floodseg.deployment.unquantised import unquantised
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.checkpoint import describe, load_folder
from floodseg.models.decision import VALIDITY_CODES
from floodseg.models.deploy import DeployedModel
from floodseg.models.model import FloodModel
from floodseg.models.registry import overlap_of
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.metadata import ExportedFacts

_UNQUANTISED_ENDS = ((0, 0), (0, 3), (2, 3), (4, 6))
"""int8: how many of the first and of the last convolutions are not quantised."""


class Conversion:
    """One job: the graph is made once, and written in one way after the other until a file passes."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model: FloodModel = load_folder(job.weights)
        # first what is quick to refuse
        self.chips = None if job.data is None else CalibrationChips(self.model, job.data, job.split)
        self.deployed = DeployedModel(self.model)
        self.graph = job.weights / "graph.onnx"
        self._note("tracing the graph")
        multiple = write_onnx(self.deployed, self.model.spec.bands, self.graph)
        self.nodes = Nodes(self.graph)
        decisions = self.model.decisions
        by_code = {code: decisions.of(sensors).threshold for sensors, code in VALIDITY_CODES.items()}
        self.facts = ExportedFacts(
            description=describe(self.model),
            precision=job.precision,
            thresholds=(by_code[3], by_code[1], by_code[2], by_code[3]),
            overlap=overlap_of(self.model),
            multiple=multiple,
        )

    def run(self) -> dict[str, Any]:
        """Write the file and return the figures of its gate.

        Raises:
            ConfigError: no way of writing it passes.
        """
        if self.job.precision == "int8":
            return self._int8()
        if self.job.precision == "fp32":
            exact = self._difference_of(())
            exact.require("fp32")
            return self._kept(exact, 0)
        difference: Difference | None = None
        for first in PRECISE_FIRST:
            try:
                difference = self._difference_of(self._precise(first))
            except RuntimeError as error:
                # not every operation has a kernel for bf16, or between both number formats
                self._note(f"cannot run with {first} convolutions in fp32: {str(error).strip().splitlines()[-1]}")
                continue
            if difference.holds("bf16"):
                return self._kept(difference, first)
        if difference is None:
            raise ConfigError(
                "`precision=bf16`: OpenVINO cannot run this network in bf16 on this processor; nothing is written: "
                "export it as fp32"
            )
        difference.require("bf16")
        raise AssertionError("one that holds was returned")

    def _kept(self, difference: Difference, first: int) -> dict[str, Any]:
        """Write the file once more, with the figures of its gate inside, and return them."""
        gate = {**difference.to_json(), **({"convolutions_in_fp32": first} if first else {})}
        self._write(self._plain(), replace(self.facts, gate=gate), self._precise(first))
        return gate

    def _precise(self, first: int) -> list[str]:
        return [pattern(name) for name in self.nodes.up_to(first)] if first else []

    def _difference_of(self, precise: Sequence[str]) -> Difference:
        self._write(self._plain(), self.facts, precise)
        difference = self._difference()
        self._note(f"differs by at most {difference.largest:.2g}, by over 0.01 on {1 - difference.share_within:.3%}")
        return difference

    def _int8(self) -> dict[str, Any]:
        assert self.chips is not None, "int8 comes with data"
        before = self.chips.scores(self.model)
        drops: dict[str, float] = {}
        for first, last in _UNQUANTISED_ENDS:
            self._note(f"quantising all but {first + last} convolutions")
            graph = self._quantised(first, last)
            self._write(graph, self.facts)
            after = self.chips.scores(self._open())
            drops = {name: before[name] - after[name] for name in before}
            self._note("water IoU " + ", ".join(f"{name} {before[name]:.4f} -> {after[name]:.4f}" for name in before))
            if max(drops.values()) <= INT8_DROP:
                gate = {
                    "split": self.job.split, "water_iou": after, "water_iou_in_torch": before,
                    "convolutions_not_quantised": first + last,
                }  # fmt: skip
                self._write(graph, replace(self.facts, gate=gate))
                return gate
        worst = max(drops, key=lambda name: drops[name])
        raise ConfigError(
            f"`precision=int8`: water IoU on split '{self.job.split}' ({worst}) may fall by {INT8_DROP}, and falls by "
            f"{drops[worst]:.4f}; nothing is written: export it as bf16 or fp32"
        )

    def _difference(self) -> Difference:
        batches: Iterator[Batch] = simulated_batches(self.model, self.facts.multiple)
        real: Sequence[Batch] = () if self.chips is None else self.chips.some()
        return compare(self.model, self._open(), chain(batches, real))

    def _plain(self) -> Any:
        """Return the graph in the format's own form."""
        if self.job.format == "onnx":
            import onnx

            return onnx.load(self.graph)
        import openvino

        return openvino.Core().read_model(self.graph)

    def _quantised(self, first: int, last: int) -> Any:
        assert self.chips is not None, "int8 comes with data"
        kept = unquantised(self.nodes, self.deployed, first, last)
        quantise = quantised_onnx if self.job.format == "onnx" else quantised_openvino
        return quantise(self.graph, self.chips.some(), kept)

    def _write(self, graph: Any, facts: ExportedFacts, precise: Sequence[str] = ()) -> None:
        if self.job.format == "onnx":
            write_onnx_form(graph, facts, self.job.out)
        else:
            write_openvino(graph, facts, self.job.out, precise)

    def _open(self) -> Runtime:
        if self.job.format == "onnx":
            from floodseg.runtimes.onnx_runtime import OnnxRuntime

            return OnnxRuntime(self.job.out)
        from floodseg.runtimes.openvino_runtime import OpenVinoRuntime

        return OpenVinoRuntime(self.job.out)

    def _note(self, text: str) -> None:
        print(f"{NOTE}{text}", flush=True)
