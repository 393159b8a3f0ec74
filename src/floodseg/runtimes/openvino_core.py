"""The OpenVINO core of this process."""

import openvino

CORE = openvino.Core()
"""Reads and compiles every OpenVINO model; never released.

The CPU plugin of a core replaces the signal stack of its thread. When the first of two cores is released first, the
second one restores a stack that is gone, and the next signal that Python handles (Ctrl-C, a child that ends) is a
segmentation fault.
"""
