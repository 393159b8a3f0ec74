"""From a model to files that other runtimes run: graph, conversion, quantisation, and the gates that they pass."""
