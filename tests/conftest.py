import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# tests compute on tiny tensors, where a second thread costs more than it brings
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep decoded chips out of the user's cache folder, also in subprocesses."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOODSEG_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _logging_level() -> Iterator[None]:
    """Take back the level that the command line sets, or tests of warnings would depend on the order of the tests."""
    logger = logging.getLogger("floodseg")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def takes_interrupts() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
