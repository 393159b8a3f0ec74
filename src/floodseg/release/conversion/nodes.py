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
        made_by = {value: index for index, node in enumerate(found) for value in node.output}
        self._sources = [[made_by[value] for value in node.input if value in made_by] for node in found]

    def up_to(self, convolutions: int) -> list[str]:
        """Return normalisation and that many of the first convolutions, with all that leads to the next one."""
        ends = self._convolutions[: convolutions + 1]
        waiting, found = list(ends), set(ends[:convolutions])
        while waiting:
            new = set(self._sources[waiting.pop()]) - found
            found |= new
            waiting.extend(new)
        return [name for index, name in enumerate(self._names) if index in found or name.startswith("normalise_")]

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
