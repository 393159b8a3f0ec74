"""A Dask client that runs each task in this process, at once, or does what a script says instead."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeFuture:
    """A task that is done."""

    key: str
    status: str
    value: Any

    def result(self, timeout: float) -> Any:
        """Return or raise what came of it."""
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        """Tell of the end, which was long ago."""
        function(self)


@dataclass
class FakeClient:
    """``script`` is asked first: it returns a value, an exception that Dask would raise, ``LOST``, or None."""

    script: Callable[[Callable[..., Any], tuple[Any, ...]], Any] = lambda function, arguments: None
    status: str = "running"
    workers: int = 1
    calls: list[tuple[str, str, int]] = field(default_factory=list)
    """Name of the function, scene and priority of each task."""
    connections: int = 0

    def submit(self, function: Any, *arguments: Any, key: str, priority: int, pure: bool) -> FakeFuture:
        """Run a task."""
        assert not pure
        self.calls.append((function.__name__, arguments[0].id, priority))
        scripted = self.script(function, arguments)
        if scripted == LOST:
            return FakeFuture(key, "cancelled", None)
        value = function(*arguments) if scripted is None else scripted
        return FakeFuture(key, "error" if isinstance(value, Exception) else "finished", value)

    def ncores(self) -> dict[str, int]:
        """Return the cores of each worker."""
        return {f"worker {number}": 1 for number in range(self.workers)}

    @contextmanager
    def connect(self, *_: Any) -> Any:
        """Stand for ``engine.connected``."""
        self.connections += 1
        yield self


LOST = "lost"
