"""The processes that share one run or one evaluation: a single one, or those that a launcher started.

Accelerate finds them by the variables that ``accelerate launch`` and ``torchrun`` set. Every process goes through the
same code; the main one (rank 0) alone writes and speaks.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from torch import Tensor, distributed

from floodseg.bands import Bands
from floodseg.chips.chip import Chip, ChipSet
from floodseg.distributed.launcher import cpu_asked_for, started_processes
from floodseg.errors import ConfigError, FloodsegError, OtherProcessError, ProcessError
from floodseg.geo.grid import Window
from floodseg.messages import note_once

T = TypeVar("T")

WAIT = timedelta(hours=1)
"""Longest time that processes wait for each other: the main one may have to read a whole data set meanwhile."""


class Processes:
    """All processes of this run, as one of them sees them; making one joins them, and making another costs nothing.

    Raises:
        ConfigError: the launcher started several processes in a way that does not let them find each other.
    """

    def __init__(self) -> None:
        # without a GPU Accelerate must be told that the CPU is meant, or each process takes itself to be the only one
        self.on_cpu = cpu_asked_for() or not torch.accelerator.is_available()
        self._state = PartialState(cpu=self.on_cpu, timeout=WAIT)
        self.count: int = self._state.num_processes
        self.rank: int = self._state.process_index
        self.device: torch.device = self._state.device
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
        if self.count > 1 and not _main_place:
            place: list[object] = [socket.gethostname(), os.getpid()]
            distributed.broadcast_object_list(place, device=self.device)
            _main_place.extend(place)
        if not self.main:
            # the main process meets the same data and says the same
            logging.getLogger("floodseg").setLevel(logging.ERROR)

    @property
    def main(self) -> bool:
        """True in the one process that writes and speaks."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, of the same shape and type, on its own device."""
        if self.count == 1:
            return tensor
        # the processes may be able to exchange tensors of their device alone
        total = tensor.to(self.device, copy=True)
        distributed.all_reduce(total)
        return total.to(tensor.device)

    def share(self, count: int) -> range:
        """Return which of ``count`` items are this process's: every ``self.count``-th; none is left out or doubled."""
        return range(self.rank, count, self.count)

    def gather(self, mine: Sequence[T], count: int) -> list[T]:
        """Return all ``count`` items in order, in every process, from what each made of its :meth:`share`."""
        if self.count == 1:
            return list(mine)
        parts = self._from_all(mine)
        return [parts[index % self.count][index // self.count] for index in range(count)]

    def _from_all(self, item: T) -> list[T]:
        parts: list[T] = [item] * self.count
        distributed.all_gather_object(parts, item)
        return parts

    @contextlib.contextmanager
    def agreeing(self) -> Iterator[None]:
        """Go through a block in every process; where it fails in one of them, fail in all.

        The main process raises the error of the lowest rank that failed, the others OtherProcessError. Inside the block
        processes exchange nothing, except through this method: one that failed would be waited for.
        """
        if self.count == 1:
            yield
            return
        failure: Exception | None = None
        try:
            yield
        except (FloodsegError, OSError) as error:
            failure = error
        failures = [error for error in self._from_all(failure) if error is not None]
        if failures and self.main:
            raise failures[0] from failure
        if failures:
            raise OtherProcessError from failure

    def from_main(self, compute: Callable[[], T]) -> T:
        """Return in every process what ``compute`` gives in the main one, which alone calls it."""
        result: list[T] = []
        with self.agreeing():
            if self.main:
                result.append(compute())
        box = [result]
        if self.count > 1:
            distributed.broadcast_object_list(box, device=self.device)
        return box[0][0]

    @torch.no_grad()
    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Fill tensors, which are of the same shapes in every process, with the values of the main one, in place."""
        if self.count == 1:
            return
        for tensor in tensors:
            values = tensor.to(self.device, copy=True).contiguous()
            distributed.broadcast(values, src=0)
            tensor.copy_(values)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Turn the loss of another process into an error with one sentence, which one process of each host says.

        Raises:
            ProcessError: in the main process; where that is the one which was lost, in the next of its host; in the
                first process of each other host.
            OtherProcessError: in the others.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not _is_lost_process(error):
                raise
            if not self._tells_of_lost_processes():
                raise OtherProcessError from error
            raise ProcessError(
                f"another of the {self.count} processes ended early; mend what it says, where it says anything (memory "
                "may have run out), and start all of them again, a training with --resume"
            ) from error

    def _tells_of_lost_processes(self) -> bool:
        if self.main:
            return True
        host, pid = _main_place
        local = int(os.environ.get("LOCAL_RANK", self.rank))
        if host != socket.gethostname():
            return local == 0
        return local == 1 and _was_killed(Path(f"/proc/{pid}/stat"))


_main_place: list[object] = []
"""Host and process number of the main process, once the processes have joined."""


_KILLED = 0x400
"""In the flags of a process: a signal ended it (PF_SIGNALED, proc(5))."""


def _was_killed(status: Path) -> bool:
    """Tell whether a signal ended a process, given its file in /proc; a launcher may have cleared that away.

    One that exits by itself has said why.
    """
    try:
        return bool(int(status.read_text().rpartition(")")[2].split()[6]) & _KILLED)
    except OSError:
        return True


def joined() -> bool:
    """Tell whether this process has joined others."""
    return distributed.is_available() and distributed.is_initialized()


def leave() -> None:
    """Part from the other processes at the end of a command."""
    if joined():
        distributed.destroy_process_group()


def _is_lost_process(error: RuntimeError) -> bool:
    # Gloo raises plain RuntimeErrors, which only their text tells from others
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


class ShareOfChips:
    """The chips of a set that fall to one process, in the order of the set; see :meth:`Processes.share`."""

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
