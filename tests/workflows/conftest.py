from collections.abc import Iterator
from pathlib import Path

import pytest

from place_scenes import Service, World, make_world, serving_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Simulated passes on disk; made once, not changed by tests."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def service(world: World, tmp_path: Path) -> Iterator[Service]:
    """The local catalogue and file server of the world."""
    with serving_world(world, tmp_path) as running:
        yield running
