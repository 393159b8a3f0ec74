import logging
from collections.abc import Iterator

import pytest
import torch

# tests compute on tiny tensors, where a second thread costs more than it brings
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _logging_level() -> Iterator[None]:
    """Take back the level that the command line sets, or tests of warnings would depend on the order of the tests."""
    logger = logging.getLogger("floodseg")
    level = logger.level
    yield
    logger.setLevel(level)
