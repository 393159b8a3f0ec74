import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from exported_models import Exported, fused_lite

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


@pytest.fixture(scope="session", autouse=True)
def takes_hang_ups() -> None:
    """Nohup has the tests, and the commands they start, ignore the end of a terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def takes_interrupts() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A model of both sensors as the command writes it to ONNX, and the same graph as an OpenVINO model."""
    import onnx
    import openvino

    import floodseg
    from floodseg.inference.exported import KEY, ExportedFacts
    from floodseg.release.conversion.forms import write_openvino

    folder = tmp_path_factory.mktemp("exported")
    model = fused_lite()
    path = folder / "fused.onnx"
    gate = floodseg.export(model, format="onnx", out=path)
    text = next(entry.value for entry in onnx.load(path).metadata_props if entry.key == KEY)
    facts = ExportedFacts.from_text(text, path)
    write_openvino(openvino.Core().read_model(path), facts, folder / "fused.xml")
    return Exported(model, gate, path, folder / "fused.xml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that fork commands first: threads that GDAL starts when it writes do not survive a fork."""
    items.sort(key=lambda item: item.path.name != "test_endings.py")
