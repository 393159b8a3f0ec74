"""Processes that share one run or one evaluation: a single one, or those that a launcher started.

torchrun or Accelerate starts and supervises them. All run the same code; the main process (rank 0) prepares, writes and
reports. An error in one process ends that process, and the launcher then ends the others.
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
from floodseg.distributed.launcher import cpu_asked_for, is_joined, started_processes
from floodseg.errors import ConfigError, OtherProcessError, ProcessError
from floodseg.geo.grid import Window
from floodseg.messages import note_once

T = TypeVar("T")

WAIT = timedelta(hours=1)
"""Longest time that processes wait for each other; the main one may have to read a whole data set meanwhile."""


class Processes:
    """All processes of this run. The first instance connects them; further instances cost nothing.

    Attributes:
        count: number of processes.
        rank: number of this one, from 0.
        device: where this process computes.

    Raises:
        ConfigError: the launcher started several processes in a way that does not let them find each other.
    """

    def __init__(self) -> None:
        # without a GPU Accelerate has to be asked for the CPU, or each process takes itself to be the only one
        self.on_cpu = cpu_asked_for() or not torch.accelerator.is_available()
        self._state = state = PartialState(cpu=self.on_cpu, timeout=WAIT)
        self.count: int = state.num_processes
        self.rank: int = state.process_index
        self.device: torch.device = state.device
        if self.count != started_processes():
            raise ConfigError(
                f"the launcher started {started_processes()} processes, which do not find each other; start them with "
                "accelerate launch or torchrun"
            )
        if self.count == 1 and cpu_asked_for() and "MASTER_PORT" in os.environ:
            note_once(
                logging.WARNING,
                "the launcher started one process only: accelerate launch --cpu starts several through MPI alone; "
                "on CPUs use torchrun --nproc-per-node N",
            )
        if not self.main:
            # the main process reads the same data and logs the same
            logging.getLogger("floodseg").setLevel(logging.ERROR)

    @property
    def main(self) -> bool:
        """True in the one process that prepares, writes and reports."""
        return self.rank == 0

    def from_main(self, compute: Callable[[], T]) -> T:
        """Return in every process the result of ``compute``, which the main process alone calls.

        The result is pickled for the other processes.

        Raises:
            Exception: the error of ``compute``, in the main process.
            OtherProcessError: in the others, where ``compute`` failed.
        """
        if self.count == 1:
            return compute()
        outcome: list[Any] = [None, None]
        """The result, or else the message of an error."""
        error: Exception | None = None
        if self.main:
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
        """Wait until every process has come here."""
        self._state.wait_for_everyone()

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, of the same shape and type, on its own device."""
        if self.count == 1:
            return tensor
        # some backends exchange tensors on the device of the process only
        total = tensor.to(self.device, copy=True)
        distributed.all_reduce(total)
        return total.to(tensor.device)

    def share(self, count: int) -> range:
        """Return the indices among ``count`` items that this process handles: every ``self.count``-th."""
        return range(self.rank, count, self.count)

    def gather(self, mine: Sequence[T], count: int) -> list[T]:
        """Return the results for all ``count`` items in order, in every process, from those of each :meth:`share`."""
        if self.count == 1:
            return list(mine)
        parts: list[Sequence[T]] = [mine] * self.count
        distributed.all_gather_object(parts, mine)
        return [parts[index % self.count][index // self.count] for index in range(count)]

    @torch.no_grad()
    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Fill tensors, which have the same shapes in every process, with the values of the main one, in place."""
        if self.count == 1:
            return
        for tensor in tensors:
            values = tensor.to(self.device, copy=True).contiguous()
            distributed.broadcast(values, src=0)
            tensor.copy_(values)

    @contextlib.contextmanager
    def reporting_losses(self) -> Iterator[None]:
        """Turn the failed exchange with a process that ended into one sentence of the main process.

        Raises:
            ProcessError: in the main process.
            OtherProcessError: in the others; the launcher reports that the main one ended.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not _is_failed_exchange(error):
                raise
            raise (ProcessError if self.main else OtherProcessError)(
                f"another of the {self.count} processes ended early; read its message or the launcher's report (memory "
                "may have run out), then start all of them again, a training with `resume`"
            ) from error


def leave() -> None:
    """Disconnect from the other processes at the end of a command."""
    if is_joined():
        distributed.destroy_process_group()


def _is_failed_exchange(error: RuntimeError) -> bool:
    # Gloo raises plain RuntimeErrors, which only their text tells from others
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


class ShareOfChips:
    """The chips of a set that one process handles, in the order of the set; see :meth:`Processes.share`."""

    def __init__(self, chips: ChipSet, processes: Processes) -> None:
        self._chips, self._indices = chips, processes.share(len(chips.names))

    @property
    def bands(self) -> Bands:
        """The channels of every chip."""
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
        """Return one chip, or the part of it inside ``window``."""
        return self._chips.read(self._indices[index], window)
