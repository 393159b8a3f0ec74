import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from torch import Tensor, nn

import pyqgis
from exported_models import Exported, fused_lite, shared_folder
from floodseg.bands import Bands, BandStatistics
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig, ModelConfig, OptimConfig, TrainConfig
from floodseg.models.model import FloodModel, ModelSpec

# the tensors of the tests are too small for a second thread
torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _temporary_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use a temporary cache folder, also in subprocesses."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOODSEG_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _logging_level() -> Iterator[None]:
    """Restore the logging level that the command line sets, so that tests do not depend on their order."""
    logger = logging.getLogger("floodseg")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def default_sighup() -> None:
    """Restore the default action of SIGHUP, which nohup ignores."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def default_sigint() -> Iterator[None]:
    """Restore the default action of SIGINT, which is ignored in background jobs of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Model of both sensors, exported to ONNX, and the same graph as an OpenVINO model."""
    import floodseg
    from floodseg.deployment.writers import read_graph, write_openvino
    from floodseg.runtimes.onnx_runtime import OnnxRuntime

    model = fused_lite()
    with shared_folder(tmp_path_factory, "exported") as folder:
        onnx, openvino = folder / "fused.onnx", folder / "fused.xml"
        if not openvino.exists():
            floodseg.export(model, format="onnx", out=onnx)
            write_openvino(read_graph(onnx, "openvino"), OnnxRuntime(onnx).metadata, openvino)
    return Exported(model, OnnxRuntime(onnx).metadata.gate, onnx, openvino)


@pytest.fixture(scope="session")
def qgis() -> None:
    """Skip without the QGIS of the distribution."""
    if not pyqgis.is_installed():
        pytest.skip("PyQGIS is not installed: apt-get install qgis python3-qgis")


SLOW_FIXTURES = {"exported", "mounted", "qgis", "shared"}
"""An export, QGIS, small file systems and a run of two processes take more than 5 s: tests that use them are slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests with slow fixtures, and run tests that fork commands first, before GDAL starts threads."""
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.path.name != "test_endings.py")


RasterWriter = Callable[..., Path]


@pytest.fixture
def write_raster() -> RasterWriter:
    """Return a function that writes (C, H, W) or (H, W) as a GeoTIFF and returns its path."""

    def write(
        path: Path,
        array: np.ndarray[Any, Any],
        *,
        names: Sequence[str] | None = None,
        nodata: float | None = None,
        scales: Sequence[float] | None = None,
        offsets: Sequence[float] | None = None,
        crs: str | None = None,
        transform: Affine | None = None,
    ) -> Path:
        bands = array[None] if array.ndim == 2 else array
        path.parent.mkdir(parents=True, exist_ok=True)
        profile: dict[str, Any] = {"crs": crs, "transform": transform} if transform else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            target = rasterio.open(
                path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
                dtype=bands.dtype, nodata=nodata, **profile,
            )  # fmt: skip
        with target:
            target.write(bands)
            if names is not None:
                target.descriptions = tuple(names)
            if scales is not None:
                target.scales = tuple(scales)
            if offsets is not None:
                target.offsets = tuple(offsets)
        return path

    return write


@pytest.fixture
def sar_array() -> np.ndarray[Any, Any]:
    """SAR in dB, (2, 16, 20) float32, VV around -10 and VH around -17; all pixels differ."""
    rng = np.random.default_rng(0)
    base = np.array([-10.0, -17.0])[:, None, None]
    return (base + rng.normal(0, 2, (2, 16, 20))).astype(np.float32)


@pytest.fixture
def optical_array() -> np.ndarray[Any, Any]:
    """Stored reflectance, (13, 16, 20) int16: band k is 100 * k + pixel number, never 0, but band 11 (B10) is dark."""
    pixels = np.arange(320).reshape(16, 20)
    array = 100 * np.arange(1, 14)[:, None, None] + pixels
    array[10] = 20 + pixels // 10
    return array.astype(np.int16)


@pytest.fixture
def real_data() -> Path:
    """Data folder in FLOODSEG_DATA."""
    root = os.environ.get("FLOODSEG_DATA")
    if not root:
        pytest.skip("FLOODSEG_DATA, the folder of real data, is not set")
    return Path(root)


MakeConfig = Callable[..., TrainConfig]

TINY = TrainConfig(
    data=DataConfig(layout="synthetic", synthetic_chips=6, synthetic_size=64),
    model=ModelConfig("lite"),
    augment=AugmentConfig(crop_size=48),
    optim=OptimConfig(epochs=3, batch_size=2, lr=3e-3, precision="fp32", workers=0, patience=0),
)


@pytest.fixture(scope="session")
def make_config() -> MakeConfig:
    """Return a function that makes the configuration of a run of about a second; settings are changed by name."""

    def make(out_dir: Path, **changes: Any) -> TrainConfig:
        groups: dict[str, Any] = {}
        for group in ("data", "model", "augment", "optim"):
            settings = getattr(TINY, group)
            known = {entry.name for entry in fields(settings)} & changes.keys()
            groups[group] = replace(settings, **{name: changes.pop(name) for name in known})
        assert not changes, f"no such setting: {changes}"
        return TrainConfig(out_dir=out_dir, **groups)

    return make


class RuleNetwork(nn.Module):
    """Network with fixed logits of water: ``-20 - VH`` for radar, ``100 (B03 - B08)`` for optical, their mean for both.

    It has one parameter, which every model needs for its device.
    """

    def __init__(self, bands: Bands) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.bands = bands

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        total = torch.zeros_like(sar_valid)
        if self.bands.sar:
            total = total + sar_valid * (-20 - sar[:, [self.bands.sar.index("VH")]])
        if self.bands.optical:
            green, infrared = (self.bands.optical.index(name) for name in ("B03", "B08"))
            total = total + optical_valid * 100 * (optical[:, [green]] - optical[:, [infrared]])
        water = self.scale * total / (sar_valid + optical_valid).clamp(min=1)
        return torch.cat((torch.zeros_like(water), water), dim=1)


@pytest.fixture(scope="session")
def rule_model() -> Callable[[Bands], FloodModel]:
    """Return a function that makes a model with ``RuleNetwork`` and an identity normalisation."""

    def make(bands: Bands) -> FloodModel:
        plain = BandStatistics(mean=0, std=1, low=-1000, high=1000)
        return FloodModel(
            RuleNetwork(bands), ModelSpec("rule", None, bands), [plain] * len(bands.sar), [plain] * len(bands.optical)
        )

    return make
