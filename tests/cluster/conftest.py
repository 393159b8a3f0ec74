from collections.abc import Iterator
from typing import Any

import pytest

import many_runs


@pytest.fixture
def start() -> Iterator[Any]:
    """``many_runs.start``; whatever still runs at the end of the test is ended."""
    runs = []

    def started(*arguments: object, **options: Any) -> Any:
        runs.append(many_runs.start(*arguments, **options))
        return runs[-1]

    yield started
    for run in runs:
        if run.poll() is None:
            run.kill()
        run.communicate()
