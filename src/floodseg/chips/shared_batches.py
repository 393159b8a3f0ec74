"""Batches in memory that loader processes fill and the process that trains reads: written once, and used again.

New shared memory costs a loader more than decoding, cutting and augmenting together: each page is zeroed and mapped at
its first touch. So a loader process fills one of a few buffers that all processes share, and sends its number. The
process that trains gets tensors that lie in the buffer; once it has dropped the last of them, the buffer is free again.
A consumer that keeps batches is safe: where no buffer is free, a batch is sent in memory of its own.
"""

import mmap
import multiprocessing
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.chips.chip import ChipArrays

Sample = dict[str, torch.Tensor]
"""One sample or a batch of them (N in front):

========================  ==============  ========================================================
``sar``                   (C, H, W)       float32, dB (or dn), 0 where invalid
``optical``               (C, H, W)       float32, reflectance (or dn), 0 where invalid
``sar_valid``             (1, H, W)       bool
``optical_valid``         (1, H, W)       bool
``label``                 (H, W)          uint8: 0 land, 1 water, 255 ignored
``index``                 ()              int64, position of the chip in ``ChipSet.names``
``optical_hidden``        (1, H, W)       bool: under a simulated cloud or its shadow and valid all the same; in
                                          training batches of sets with optical images alone
========================  ==============  ========================================================

C is 0 for a sensor that the set does not have.
"""

_ALIGNMENT = 64
_Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """Where each array of a batch of equal crops lies in one buffer."""

    bands: Bands
    size: int
    """Height and width of the crops in pixels."""
    batch_size: int
    """Crops that a buffer has room for."""

    @property
    def nbytes(self) -> int:
        """Size of a buffer."""
        return sum(self._room(dtype, shape) for dtype, shape in self._fields().values())

    def arrays(self, buffer: NDArray[np.uint8], crops: int) -> _Arrays:
        """Return the arrays of a batch of ``crops``, as views of a buffer; see ``Sample`` for shapes and types."""
        views: _Arrays = {}
        start = 0
        for name, (dtype, shape) in self._fields().items():
            length = crops * prod(shape) * dtype.itemsize
            views[name] = buffer[start : start + length].view(dtype).reshape(crops, *shape)
            start += self._room(dtype, shape)
        return views

    def _room(self, dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> int:
        return -(-self.batch_size * prod(shape) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT

    def _fields(self) -> "dict[str, tuple[np.dtype[Any], tuple[int, ...]]]":
        square = (self.size, self.size)
        return {
            "sar": (np.dtype(np.float32), (len(self.bands.sar), *square)),
            "optical": (np.dtype(np.float32), (len(self.bands.optical), *square)),
            "sar_valid": (np.dtype(np.bool_), (1, *square)),
            "optical_valid": (np.dtype(np.bool_), (1, *square)),
            "label": (np.dtype(np.uint8), square),
            "index": (np.dtype(np.int64), ()),
        } | ({"optical_hidden": (np.dtype(np.bool_), (1, *square))} if self.bands.optical else {})


def crop_of(arrays: _Arrays, position: int) -> ChipArrays:
    """Return where one crop of a batch is to be written."""
    return ChipArrays(
        sar=arrays["sar"][position],
        optical=arrays["optical"][position],
        sar_valid=arrays["sar_valid"][position, 0],
        optical_valid=arrays["optical_valid"][position, 0],
        label=arrays["label"][position],
    )


def as_tensors(arrays: _Arrays) -> Sample:
    """Return the arrays of a batch as tensors that share their memory, and keep it alive."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


class BatchPool:
    """A few buffers for batches, shared with the processes that are forked after it was made.

    Args:
        layout: what a buffer holds.
        buffers: their number; memory is taken only by those that are used, and the first free one is.
    """

    def __init__(self, layout: BatchLayout, buffers: int) -> None:
        self.layout = layout
        self._memory = [mmap.mmap(-1, layout.nbytes) for _ in range(buffers)]
        self._in_use = mmap.mmap(-1, buffers)
        self._taking = multiprocessing.get_context("fork").Lock()
        self._number = next(_numbers)
        _pools[self._number] = self

    def fill(self, crops: int, write: Callable[[_Arrays], None]) -> "SharedBatch | None":
        """Let ``write`` fill the arrays of a free buffer, in a loader process; returns None where none is free."""
        with self._taking:
            buffer = self._in_use[:].find(0)
            if buffer < 0:
                return None
            self._in_use[buffer] = 1
        try:
            write(self.layout.arrays(np.frombuffer(self._memory[buffer], np.uint8), crops))
        except BaseException:
            self._in_use[buffer] = 0
            raise
        return SharedBatch(self._number, buffer, crops)

    def receive(self, buffer: int, crops: int) -> Sample:
        """Return the batch that a buffer holds, which is free again when the last of the tensors is gone."""
        # views of an array that owns no memory keep that very array, so its end is theirs
        content = np.frombuffer(self._memory[buffer], np.uint8)
        weakref.finalize(content, self._in_use.__setitem__, buffer, 0).atexit = False
        return as_tensors(self.layout.arrays(content, crops))

    @property
    def free(self) -> int:
        """Number of buffers that hold no batch."""
        return self._in_use[:].count(0)


_numbers = count()
_pools: "weakref.WeakValueDictionary[int, BatchPool]" = weakref.WeakValueDictionary()
"""The pools of this process by their number, so that a batch can be sent without the memory that it lies in."""


@dataclass(frozen=True, slots=True)
class SharedBatch:
    """A batch in a buffer of a pool; a process that receives it finds a ``Sample`` in its place."""

    pool: int
    buffer: int
    crops: int

    def __reduce__(self) -> tuple[Callable[[int, int, int], Sample], tuple[int, int, int]]:
        return _received, (self.pool, self.buffer, self.crops)


def _received(pool: int, buffer: int, crops: int) -> Sample:
    return _pools[pool].receive(buffer, crops)
