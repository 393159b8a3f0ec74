"""Fusion at the stem of ``efficient``: sensor gate, adapters and encoder."""

import pytest
import torch

from floodseg.errors import ConfigError
from floodseg.models.networks.fusion import EfficientFeatureExtractor, SensorAdapter


def test_images_are_weighted_by_validity_and_the_gate() -> None:
    torch.manual_seed(0)
    extractor = EfficientFeatureExtractor("resnet18", 2, 4).eval()
    sar, optical = torch.randn(1, 2, 32, 32), torch.randn(1, 4, 32, 32)
    sar_valid, optical_valid = torch.ones(2, 1, 1, 32, 32)
    sar_valid[..., :8], optical_valid[..., :4], optical_valid[..., 16:24] = 0, 0, 0
    assert extractor.gate is not None
    with torch.no_grad():
        _, detail = extractor(sar, optical, sar_valid, optical_valid)
        adapted = [adapter(image) for adapter, image in zip(extractor.adapters.values(), (sar, optical), strict=True)]
        odds = extractor.gate(*adapted)
    by_sar, by_optical = (image[:, 3:] for image in adapted)
    for columns, expected in (
        (slice(0, 4), torch.zeros_like(by_sar)), (slice(4, 8), by_optical), (slice(16, 24), by_sar),
        (slice(24, 32), (by_sar + odds * by_optical) / (1 + odds)),
    ):  # fmt: skip
        torch.testing.assert_close(detail[..., columns], expected[..., columns])


def test_gradient_is_finite_at_pixels_without_a_valid_sensor() -> None:
    torch.manual_seed(0)
    extractor = EfficientFeatureExtractor("resnet18", 2, 4).eval()
    valid = torch.ones(1, 1, 32, 32)
    valid[..., :16] = 0
    _, detail = extractor(torch.randn(1, 2, 32, 32), torch.randn(1, 4, 32, 32), valid, valid)
    detail.sum().backward()
    assert extractor.gate is not None
    for parameter in extractor.gate.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_adapter_is_pixelwise() -> None:
    adapter = SensorAdapter(5, detail_channels=4)
    x = torch.randn(1, 5, 6, 7)
    changed = x.clone()
    changed[:, :, 2, 3] += 1
    differs = (adapter(x) != adapter(changed)).any(dim=1)[0]
    assert differs.nonzero().tolist() == [[2, 3]]
    assert adapter(x).shape == (1, 3 + 4, 6, 7)


def test_stem_output_is_the_weighted_sum_of_the_stem_features_of_each_sensor() -> None:
    torch.manual_seed(0)
    extractor = EfficientFeatureExtractor("resnet18", 2, 4).eval()
    sar, optical, valid = torch.randn(1, 2, 32, 32), torch.randn(1, 4, 32, 32), torch.ones(1, 1, 32, 32)
    stem = extractor.encoder.body.get_submodule("conv1")
    merged: list[torch.Tensor] = []
    stem.register_forward_hook(lambda _module, _inputs, output: merged.append(output))
    extractor(sar, optical, valid, valid)
    weight = stem.get_parameter("weight")
    adapted = [adapter(x) for adapter, x in zip(extractor.adapters.values(), (sar, optical), strict=True)]
    assert extractor.gate is not None
    odds = extractor.gate(*adapted)
    images = [adapted[0][:, :3] / (1 + odds), adapted[1][:, :3] * odds / (1 + odds)]
    own = [
        torch.nn.functional.conv2d(image, part, stride=2, padding=3)
        for image, part in zip(images, (weight[:, :3], weight[:, 3:]), strict=True)
    ]
    torch.testing.assert_close(merged[0], own[0] + own[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sar", "optical"), [(0, 0), (-1, 3)])
def test_extractor_refuses_numbers_of_channels(sar: int, optical: int) -> None:
    with pytest.raises(ConfigError, match=f"`sar_channels={sar}` and `optical_channels={optical}`"):
        EfficientFeatureExtractor("resnet18", sar, optical)
