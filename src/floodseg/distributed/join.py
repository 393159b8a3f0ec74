"""Processes that share an evaluation: one alone, without PyTorch, or those that a launcher started."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from floodseg.distributed.launcher import started_processes
from floodseg.system.extras import require_extra

if TYPE_CHECKING:
    from floodseg.distributed.processes import Processes

T = TypeVar("T")


class OneProcess:
    """The only process of an evaluation, with the calls of ``floodseg.distributed.processes.Processes``."""

    main = True
    count = 1

    def share(self, count: int) -> range:
        """Return the indices of all ``count`` items."""
        return range(count)

    def gather(self, mine: Sequence[T], count: int) -> list[T]:
        """Return the results for all ``count`` items, which this process has."""
        return list(mine)

    def reporting_losses(self) -> AbstractContextManager[None]:
        """Return a context without effect: there is no other process to lose."""
        return nullcontext()

    def from_main(self, compute: Callable[[], T]) -> T:
        """Return the result of ``compute``."""
        return compute()


def join_processes() -> "OneProcess | Processes":
    """Return the processes that a launcher started, connected to each other, or this one alone.

    Raises:
        ConfigError: the launcher started several processes, and they do not find each other or lack PyTorch.
    """
    if started_processes() == 1:
        return OneProcess()
    require_extra("train", "torch", "accelerate", purpose="an evaluation in several processes")
    from floodseg.distributed.processes import Processes

    return Processes()


def leave_processes() -> None:
    """Disconnect from the other processes, where there are any, at the end of a command."""
    if started_processes() > 1:
        from floodseg.distributed.processes import leave

        leave()
