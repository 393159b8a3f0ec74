"""Masked fusion: weights over the valid sensors only; one encoder for all of them."""

import pytest
import torch

from floodseg.errors import ConfigError
from floodseg.models.fusion import EfficientFeatureExtractor, MaskedWeights, SensorAdapter


def validity(*pixels: tuple[int, int]) -> torch.Tensor:
    """(1, 2, 1, W): the validity of both sensors at each pixel."""
    return torch.tensor(pixels, dtype=torch.float32).T[None, :, None, :]


def test_weights_are_shared_among_the_valid_sensors_only() -> None:
    weights = MaskedWeights(2)
    assert weights.logits is not None
    with torch.no_grad():
        weights.logits.copy_(torch.tensor([0.0, 3.0]).log_softmax(dim=0))
    found = weights(validity((1, 1), (1, 0), (0, 1), (0, 0)))[0, :, 0].T
    share = torch.tensor(3.0).sigmoid()
    torch.testing.assert_close(found[0], torch.stack([1 - share, share]))
    assert torch.equal(found[1:], torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))


def test_lone_sensor_has_exactly_weight_one_however_small_its_share() -> None:
    weights = MaskedWeights(2)
    assert weights.logits is not None
    with torch.no_grad():
        weights.logits.copy_(torch.tensor([-40.0, 40.0]))
    assert torch.equal(weights(validity((1, 0)))[0, :, 0, 0], torch.tensor([1.0, 0.0]))


def test_gradient_is_finite_where_nothing_is_valid() -> None:
    weights = MaskedWeights(2)
    assert weights.logits is not None
    weights(validity((0, 0), (1, 1)))[:, 0].sum().backward()
    assert weights.logits.grad is not None
    assert weights.logits.grad.isfinite().all()
    assert weights.logits.grad.abs().min() > 0


def test_single_sensor_has_nothing_to_learn() -> None:
    weights = MaskedWeights(1)
    valid = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    assert not list(weights.parameters())
    assert torch.equal(weights(valid), valid)


def test_adapter_works_on_each_pixel_alone() -> None:
    adapter = SensorAdapter(5, detail_channels=4)
    x = torch.randn(1, 5, 6, 7)
    changed = x.clone()
    changed[:, :, 2, 3] += 1
    differs = (adapter(x) != adapter(changed)).any(dim=1)[0]
    assert differs.nonzero().tolist() == [[2, 3]]
    assert adapter(x).shape == (1, 3 + 4, 6, 7)


def test_stem_merges_the_weighted_sum_of_the_sensors_own_stem_features() -> None:
    torch.manual_seed(0)
    extractor = EfficientFeatureExtractor("resnet18", 2, 4).eval()
    sar, optical, valid = torch.randn(1, 2, 32, 32), torch.randn(1, 4, 32, 32), torch.ones(1, 1, 32, 32)
    stem = extractor.encoder.body.get_submodule("conv1")
    merged: list[torch.Tensor] = []
    stem.register_forward_hook(lambda _module, _inputs, output: merged.append(output))
    extractor(sar, optical, valid, valid)
    weight = stem.get_parameter("weight")
    own = [
        torch.nn.functional.conv2d(adapter(x)[:, :3], part, stride=2, padding=3)
        for adapter, x, part in zip(
            extractor.adapters.values(), (sar, optical), (weight[:, :3], weight[:, 3:]), strict=True
        )
    ]
    torch.testing.assert_close(merged[0], 0.5 * own[0] + 0.5 * own[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sar", "optical"), [(0, 0), (-1, 3)])
def test_model_without_any_band_is_refused(sar: int, optical: int) -> None:
    with pytest.raises(ConfigError, match=f"sar_channels={sar} and optical_channels={optical}"):
        EfficientFeatureExtractor("resnet18", sar, optical)
