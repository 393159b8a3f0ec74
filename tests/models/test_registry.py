"""Construction of models: defaults and refused arguments."""

from pathlib import Path
from typing import Any, get_args

import pytest

from floodseg.bands import L1C_BANDS, L2A_BANDS, Bands, BandStatistics
from floodseg.config.base import Architecture
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.model import ModelSpec
from floodseg.models.networks.lite import LiteFloodNet
from floodseg.models.registry import ARCHITECTURES, build_model


def test_configuration_and_registry_have_the_same_architectures() -> None:
    assert set(ARCHITECTURES) == set(get_args(Architecture))


def test_architectures_have_the_names_of_their_functions() -> None:
    assert all(entry.build.__name__ == name for name, entry in ARCHITECTURES.items())


def test_default_is_two_sar_and_thirteen_optical_bands() -> None:
    model = build_model("lite")
    assert model.spec == ModelSpec("lite", None, Bands(("VV", "VH"), L1C_BANDS))
    assert isinstance(model.network, LiteFloodNet)


def test_spec_records_the_encoder() -> None:
    assert build_model("efficient", optical_channels=0).spec.encoder == "resnet34"
    assert build_model("efficient", encoder="resnet18", optical_channels=0).spec.encoder == "resnet18"


def test_twelve_optical_bands_are_level_2a() -> None:
    assert build_model("lite", optical_channels=12).spec.bands.optical == L2A_BANDS


def test_bands_without_a_standard_are_numbered() -> None:
    bands = build_model("lite", sar_channels=1, optical_channels=3).spec.bands
    assert bands == Bands(("sar_1",), ("optical_1", "optical_2", "optical_3"))


def test_bands_and_statistics_reach_the_model() -> None:
    bands = Bands(("VH",), ("B03", "B08"), optical_unit="dn")
    sar = [BandStatistics(-17.0, 4.0, -30.0, 0.0)]
    optical = [BandStatistics(80.0, 20.0, 0.0, 255.0), BandStatistics(90.0, 30.0, 1.0, 254.0)]
    model = build_model("lite", bands=bands, sar_statistics=sar, optical_statistics=optical)
    assert model.spec.bands == bands
    assert model.normalise_sar.statistics() == sar
    assert model.normalise_optical.statistics() == optical


@pytest.mark.parametrize(("sar", "optical"), [(2, 13), (2, 0), (0, 13), (20, 20)])
def test_lite_has_fewer_than_a_million_parameters(sar: int, optical: int) -> None:
    model = build_model("lite", sar_channels=sar, optical_channels=optical)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1e6


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "efficiant",
            {},
            r"model 'efficiant' \(did you mean efficient\?\): must be one of efficient, baseline, lite, spectral",
        ),
        ("zebra", {}, "model 'zebra': must be one of efficient, baseline, lite, spectral"),
        ("lite", {"encoder": "resnet18"}, "`encoder=resnet18`: model 'lite' has no encoder; leave it out"),
        ("lite", {"pretrained": "required"}, "`pretrained=required`: model 'lite' has no encoder; leave it out"),
        (
            "baseline",
            {"encoder": "resnet18"},
            "`encoder=resnet18`: model 'baseline' always has encoder resnet50; leave it out",
        ),
        ("efficient", {"encoder": "resnet81"}, "`encoder=resnet81`: .* did you mean resnet18"),
        ("lite", {"sar_channels": 0, "optical_channels": 0}, "at least one band"),
        ("lite", {"bands": Bands((), ())}, "at least one band"),
        ("lite", {"sar_channels": -1}, "`sar_channels=-1`: must be 0 or more"),
        ("lite", {"bands": Bands(("VV",), ()), "sar_channels": 1}, "are mutually exclusive; pass one of them"),
        ("lite", {"sar_statistics": []}, "0 radar statistics for 2 bands"),
        ("efficient", {"encoder": "resnet18", "pretrained": "nosuch.pth"}, "`pretrained=nosuch.pth`: must be auto"),
    ],
)
def test_build_model_refuses_arguments(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(name, **arguments)


@pytest.mark.parametrize("pretrained", [None, "none", "auto"])
def test_lite_accepts_pretrained_none_and_auto(pretrained: str | None) -> None:
    assert build_model("lite", pretrained=pretrained).spec.architecture == "lite"


def test_a_damaged_weights_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "encoder.pth"
    file.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match=r"encoder\.pth"):
        build_model("efficient", encoder="resnet18", pretrained=file)
