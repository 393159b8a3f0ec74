"""The nodes of an exported graph by where they stand: which may stay in higher precision."""

import re
from collections.abc import Sequence
from pathlib import Path

import onnx


class Nodes:
    """Names of nodes in the order of the computation; each begins with the module that it comes from.

    A model with specialists has three networks, of each of which the first and last convolutions are meant.
    """

    def __init__(self, graph: Path) -> None:
        loaded = onnx.load(graph).graph
        found = loaded.node
        self._of_validity = _following(loaded, {port.name for port in loaded.input if port.name.endswith("_valid")})
        self._names = [node.name for node in found]
        self._convolutions: dict[str, list[int]] = {}
        for index, node in enumerate(found):
            owner, network, _ = node.name.partition("network")
            if node.op_type == "Conv" and network:
                self._convolutions.setdefault(owner, []).append(index)
        made_by = {value: index for index, node in enumerate(found) for value in node.output}
        self._sources = [[made_by[value] for value in node.input if value in made_by] for node in found]

    def up_to(self, convolutions: int) -> list[str]:
        """Return normalisation and that many of the first convolutions, with all that leads to the next one."""
        networks = self._convolutions.values()
        waiting = [index for each in networks for index in each[: convolutions + 1]]
        found = {index for each in networks for index in each[:convolutions]}
        while waiting:
            new = set(self._sources[waiting.pop()]) - found
            found |= new
            waiting.extend(new)
        return [
            name for index, name in enumerate(self._names) if index in found or "normalise_" in name.partition("/")[0]
        ]

    def last(self, convolutions: int) -> list[str]:
        """Return that many of the last convolutions."""
        networks = self._convolutions.values()
        return [self._names[index] for each in networks for index in each[len(each) - convolutions :]]

    def within(self, modules: Sequence[str]) -> list[str]:
        """Return the nodes of some modules."""
        starts = tuple(f"{module}{end}" for module in modules for end in "./")
        return [name for name in self._names if name.startswith(starts)]

    def of_the_whole(self) -> list[str]:
        """Return the nodes of the exported module and of its model that belong to no module within them."""
        return [name for name in self._names if name.startswith(("/", "model/"))]

    def of_validity(self) -> list[str]:
        """Return the nodes that follow from validity alone."""
        return self._of_validity


def _following(graph: onnx.GraphProto, known: set[str]) -> list[str]:
    """Return the nodes whose inputs are ``known`` tensors, constants, or what other such nodes make of them."""
    known, names = known | {tensor.name for tensor in graph.initializer} | {""}, []
    for node in graph.node:
        if set(node.input) <= known:
            known |= set(node.output)
            names.append(node.name)
    return names


def pattern(name: str) -> str:
    """Return a pattern for the operations that OpenVINO makes of a node: their names begin with that of the node."""
    return f"{re.escape(name)}(/.*)?$"
