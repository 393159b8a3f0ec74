"""The nodes of an exported graph by where they stand: which may stay in higher precision."""

import re
from collections.abc import Sequence
from pathlib import Path

import onnx


class Nodes:
    """Names of nodes in the order of the computation; each begins with the module that it comes from."""

    def __init__(self, graph: Path) -> None:
        found = onnx.load(graph).graph.node
        self._names = [node.name for node in found]
        self._convolutions = [index for index, node in enumerate(found) if node.op_type == "Conv"]

    def up_to(self, convolutions: int) -> list[str]:
        """Return everything before the first layers and with that many of them; normalisation is always among it."""
        end = self._convolutions[min(convolutions, len(self._convolutions) - 1)]
        return [name for index, name in enumerate(self._names) if index < end or name.startswith("normalise_")]

    def last(self, convolutions: int) -> list[str]:
        """Return that many of the last convolutions."""
        return [self._names[index] for index in self._convolutions[len(self._convolutions) - convolutions :]]

    def within(self, modules: Sequence[str]) -> list[str]:
        """Return the nodes of some modules."""
        starts = tuple(f"{module}{end}" for module in modules for end in "./")
        return [name for name in self._names if name.startswith(starts)]


def pattern(name: str) -> str:
    """Return a pattern for the operations that OpenVINO makes of a node: their names begin with that of the node."""
    return f"{re.escape(name)}(/.*)?$"
