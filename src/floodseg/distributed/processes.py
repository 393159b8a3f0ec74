"""Processes that share a training run or an evaluation.

torchrun or Accelerate starts and supervises them. All run the same code. The main process (rank 0) also prepares,
writes and reports. If one process ends with an error, the launcher ends the others.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from torch import Tensor, distributed

from floodseg.bands import Bands
from floodseg.chips.chip import Chip, ChipSet
from floodseg.distributed.launcher import cpu_is_forced, started_processes
from floodseg.errors import ConfigError, OtherProcessError, ProcessError
from floodseg.geo.grid import Window
from floodseg.messages import note_once

T = TypeVar("T")

TIMEOUT = timedelta(hours=1)
"""Longest wait for another process; the main process may read a complete data set meanwhile."""


class Processes:
    """Processes of this run. The first instance of this class connects them.

    Attributes:
        world_size: number of processes.
        rank: index of this process, from 0.
        device: device of this process.

    Raises:
        ConfigError: the launcher started several processes that do not find each other.
    """

    def __init__(self) -> None:
        # without a GPU and without cpu=True, Accelerate connects no processes
        self.on_cpu = cpu_is_forced() or not torch.accelerator.is_available()
        self._state = state = PartialState(cpu=self.on_cpu, timeout=TIMEOUT)
        self.world_size: int = state.num_processes
        self.rank: int = state.process_index
        self.device: torch.device = state.device
        if self.world_size != started_processes():
            raise ConfigError(
                f"the launcher started {started_processes()} processes, which cannot connect to each other; start them "
                "with accelerate launch or torchrun"
            )
        if self.world_size == 1 and cpu_is_forced() and "MASTER_PORT" in os.environ:
            note_once(
                logging.WARNING,
                "the launcher started only one process, because accelerate launch --cpu needs MPI to start several; on "
                "CPUs use torchrun --nproc-per-node N",
            )
        if not self.is_main:
            # the main process logs the same messages
            logging.getLogger("floodseg").setLevel(logging.ERROR)

    @property
    def is_main(self) -> bool:
        """True in the main process, which prepares, writes and reports."""
        return self.rank == 0

    def run_on_main(self, compute: Callable[[], T]) -> T:
        """Call ``compute`` in the main process, and return its result in every process.

        The result must be picklable.

        Raises:
            Exception: the error of ``compute``, in the main process.
            OtherProcessError: ``compute`` failed, in the other processes.
        """
        if self.world_size == 1:
            return compute()
        outcome: list[Any] = [None, None]
        """Result and error message, one of which is None."""
        error: Exception | None = None
        if self.is_main:
            try:
                outcome[0] = compute()
            except Exception as raised:
                error, outcome[1] = raised, str(raised)
        distributed.broadcast_object_list(outcome, device=self.device)
        if error is not None:
            raise error
        result, message = outcome
        if message is not None:
            raise OtherProcessError(f"the main process failed: {message}")
        return cast(T, result)

    def wait(self) -> None:
        """Wait until all processes reach this call."""
        self._state.wait_for_everyone()

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, on the same device."""
        if self.world_size == 1:
            return tensor
        # some backends exchange tensors only on the device of the process
        total = tensor.to(self.device, copy=True)
        distributed.all_reduce(total)
        return total.to(tensor.device)

    def share(self, item_count: int) -> range:
        """Return the indices of the items that this process handles, every ``world_size``-th of ``item_count``."""
        return range(self.rank, item_count, self.world_size)

    def gather_one(self, result: T) -> list[T]:
        """Return one result of each process, by rank, in every process."""
        return self.gather([result], self.world_size)

    def gather(self, results: Sequence[T], item_count: int) -> list[T]:
        """Return the results of all ``item_count`` items in order, in every process.

        ``results`` are those of the items in the :meth:`share` of this process.
        """
        if self.world_size == 1:
            return list(results)
        parts: list[Sequence[T]] = [results] * self.world_size
        distributed.all_gather_object(parts, results)
        return [parts[index % self.world_size][index // self.world_size] for index in range(item_count)]

    @torch.no_grad()
    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Copy the values of tensors from the main process to the others, in place; shapes must be equal."""
        if self.world_size == 1:
            return
        for tensor in tensors:
            values = tensor.to(self.device, copy=True).contiguous()
            distributed.broadcast(values, src=0)
            tensor.copy_(values)

    @contextlib.contextmanager
    def reporting_lost_processes(self) -> Iterator[None]:
        """Replace communication errors with one that says that another process ended.

        Raises:
            ProcessError: in the main process.
            OtherProcessError: in the others, because the launcher reports the end of the main process.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world_size == 1 or not _is_communication_error(error):
                raise
            raise (ProcessError if self.is_main else OtherProcessError)(
                f"another of the {self.world_size} processes ended early, perhaps because memory ran out; read its "
                "message or the launcher's report, then start all processes again, with `resume` if they were training"
            ) from error


def _is_communication_error(error: RuntimeError) -> bool:
    # Gloo raises plain RuntimeErrors, which differ from others only in their text
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


class ChipShare:
    """Chips of a set that one process handles (see :meth:`Processes.share`), in the order of the set."""

    def __init__(self, chips: ChipSet, processes: Processes) -> None:
        self._chips, self._indices = chips, processes.share(len(chips.names))

    @property
    def bands(self) -> Bands:
        """The channels of each chip."""
        return self._chips.bands

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each chip of the share."""
        return tuple(self._chips.names[index] for index in self._indices)

    @property
    def events(self) -> tuple[str, ...]:
        """The event of each chip of the share."""
        return tuple(self._chips.events[index] for index in self._indices)

    def read_label(self, index: int) -> NDArray[np.uint8]:
        """Return the label of one chip, (H, W) uint8, codes 0, 1 and 255."""
        return self._chips.read_label(self._indices[index])

    def read(self, index: int, window: Window | None = None) -> Chip:
        """Return one chip, or its part inside ``window``."""
        return self._chips.read(self._indices[index], window)
