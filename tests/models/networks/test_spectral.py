"""Network ``spectral``: indices, receptive field, garbage, sizes, bands and untrained maps."""

import math

import pytest
import torch
from torch import Tensor

from floodseg.bands import Bands, BandStatistics
from floodseg.errors import ConfigError
from floodseg.models.model import FloodModel
from floodseg.models.networks.spectral import (
    CORRECTION_PENALTY,
    LARGEST_CORRECTION,
    RADIUS,
    SpectralNet,
    WaterIndices,
)
from floodseg.models.registry import ARCHITECTURES, build_model

BANDS = ARCHITECTURES["spectral"].bands
assert BANDS is not None


@pytest.fixture(scope="module")
def model() -> FloodModel:
    """Return a model with random weights, whose correction is not 0."""
    torch.manual_seed(0)
    built = build_model("spectral").eval()
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if name.startswith("network.head"):
                parameter.normal_(0, 0.3)
    return built


def image(height: int, width: int, seed: int = 0) -> Tensor:
    """Return random reflectance (1, 6, H, W)."""
    return 0.4 * torch.rand(1, 6, height, width, generator=torch.Generator().manual_seed(seed))


def log_odds(model: FloodModel, optical: Tensor, valid: Tensor | None = None) -> Tensor:
    with torch.inference_mode():
        logits = model(optical=optical, optical_valid=valid)
    difference: Tensor = logits[0, 1] - logits[0, 0]
    return difference


def test_ndwi_and_mndwi_of_known_reflectance() -> None:
    water = torch.tensor([0.05, 0.06, 0.04, 0.02, 0.01, 0.01]).view(1, 6, 1, 1)
    features = WaterIndices()(water, torch.ones(1, 1, 1, 1)).flatten()
    assert features.shape == (16,)
    assert features[0] == pytest.approx(0.04 / 0.08)
    assert features[1] == pytest.approx(0.05 / 0.07)
    # 0.05 + 2.5 * 0.06 - 1.5 * 0.03 - 0.25 * 0.01, and 4 * 0.05 - 0.005 - 0.0275, both times 5
    assert features[7] == pytest.approx(5 * 0.1525)
    assert features[8] == pytest.approx(5 * 0.1675)
    assert features[15] == 1


def test_an_untrained_network_is_ndwi() -> None:
    model = build_model("spectral").eval()
    optical = image(40, 50)
    green, nir = optical[0, 1], optical[0, 3]
    assert torch.equal(log_odds(model, optical) > 0, green > nir)


def test_correction_is_bounded(model: FloodModel) -> None:
    network = model.network
    optical = image(40, 50)
    ndwi = (optical[0, 1] - optical[0, 3]) / (optical[0, 1] + optical[0, 3]).clamp(min=0.02)
    correction = log_odds(model, optical) - network.slope * ndwi - network.offset  # type: ignore[operator]
    assert 0.1 < correction.abs().max() <= LARGEST_CORRECTION + 1e-4


def test_penalty_is_the_mean_square_of_the_correction_over_valid_pixels(model: FloodModel) -> None:
    network = model.network
    assert isinstance(network, SpectralNet)
    optical, valid = image(40, 50), torch.ones(1, 1, 40, 50)
    valid[..., :10] = 0
    optical = optical * valid
    logits = network(optical[:, :0], optical, valid[:, :0], valid)
    ndwi = (optical[0, 1] - optical[0, 3]) / (optical[0, 1] + optical[0, 3]).clamp(min=0.02)
    correction = (logits[0, 1] - network.slope * ndwi - network.offset)[:, 10:]
    penalty = network.correction_penalty(logits, optical, valid)
    torch.testing.assert_close(penalty, CORRECTION_PENALTY * correction.square().mean())
    assert penalty > 0
    assert network.correction_penalty(logits, optical * 0, valid * 0) == 0


def test_output_depends_on_pixels_within_the_radius_only(model: FloodModel) -> None:
    side = 2 * RADIUS + 21
    row = column = side // 2
    optical, valid = image(side, side), torch.ones(1, 1, side, side, dtype=torch.bool)
    before = log_odds(model, optical, valid)
    changed_image, changed_valid = optical.clone(), valid.clone()
    changed_image[..., row, column] = 0.9
    changed_valid[..., row, column] = False
    for after in (log_odds(model, changed_image, valid), log_odds(model, optical, changed_valid)):
        rows, columns = torch.nonzero(after != before, as_tuple=True)
        assert (rows - row).abs().max() == RADIUS
        assert (columns - column).abs().max() == RADIUS
    assert ARCHITECTURES["spectral"].overlap >= 2 * RADIUS


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e38, -3.0])
def test_values_at_invalid_pixels_have_no_effect(model: FloodModel, garbage: float) -> None:
    optical = image(37, 52)
    valid = torch.rand(1, 1, 37, 52, generator=torch.Generator().manual_seed(1)) < 0.8
    expected = log_odds(model, optical, valid)
    assert expected.isfinite().all()
    assert torch.equal(log_odds(model, torch.where(valid, optical, garbage), valid), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (31, 33), (64, 47)])
def test_images_of_any_size_are_windows_of_larger_ones(model: FloodModel, size: tuple[int, int]) -> None:
    height, width = size
    small = image(height, width)
    large = torch.full((1, 6, height + 20, width + 20), math.nan)
    large[..., 10 : 10 + height, 10 : 10 + width] = small
    found = log_odds(model, small)
    assert found.shape == size
    torch.testing.assert_close(log_odds(model, large)[10 : 10 + height, 10 : 10 + width], found, rtol=1e-5, atol=1e-5)


def test_the_range_of_the_training_data_clips_and_reflectance_is_not_standardised() -> None:
    statistics = [BandStatistics(0.1, 0.05, 0.25, 0.5)] * 6
    model = build_model("spectral", optical_statistics=statistics)
    assert model.normalise_optical.statistics() == [BandStatistics(0.0, 1.0, 0.25, 0.5)] * 6
    inputs = model.normalise(None, torch.tensor([-1.0, 0.375, 3.0]).view(1, 1, 1, 3).expand(1, 6, 1, 3), None, None)
    torch.testing.assert_close(inputs.optical[0, 0, 0], torch.tensor([0.25, 0.375, 0.5]))


@pytest.mark.parametrize(
    "arguments",
    [
        {"sar_channels": 2, "optical_channels": 6},
        {"optical_channels": 13},
        {"bands": Bands((), ("B02", "B03", "B04", "B8A", "B11", "B12"))},
        {"bands": Bands((), BANDS.optical, optical_unit="dn")},
    ],
)
def test_other_bands_are_refused(arguments: dict[str, object]) -> None:
    advice = "set `sensors=optical` and `optical_bands=B02 B03 B04 B08 B11 B12`"
    with pytest.raises(ConfigError, match=f"model 'spectral': takes B02, .* in reflectance, .*; {advice}"):
        build_model("spectral", **arguments)  # type: ignore[arg-type]
