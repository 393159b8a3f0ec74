"""Setup of the workers of a local cluster, which Dask loads in each of them."""

import signal
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Ignore Ctrl-C, which a terminal sends to all processes; the main process ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
