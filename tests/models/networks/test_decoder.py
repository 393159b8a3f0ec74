"""Decoder of ``efficient``: sizes, gradients, weights of the branches and mixed precision."""

import math

import pytest
import torch
from torch import Tensor

from floodseg.models.networks.decoder import EfficientDualBranchDecoder, UpBlock


def pyramid(channels: list[int], strides: list[int], height: int, width: int) -> list[Tensor]:
    return [
        torch.randn(2, c, -(-height // stride), -(-width // stride))
        for c, stride in zip(channels, strides, strict=True)
    ]


@pytest.mark.parametrize(
    ("channels", "strides"), [([4, 6, 8, 10], [2, 4, 8, 16]), ([6, 8, 10], [4, 8, 16]), ([5], [16])]
)
@pytest.mark.parametrize("size", [(32, 32), (47, 61)])
def test_logits_have_the_size_of_the_detail(channels: list[int], strides: list[int], size: tuple[int, int]) -> None:
    decoder = EfficientDualBranchDecoder(channels, strides, detail_channels=3, classes=5)
    logits = decoder(pyramid(channels, strides, *size), torch.randn(2, 3, *size))
    assert logits.shape == (2, 5, *size)
    assert logits.isfinite().all()


def test_all_parameters_get_a_gradient() -> None:
    torch.manual_seed(0)
    decoder = EfficientDualBranchDecoder([4, 6, 8], [2, 4, 8], detail_channels=3)
    (decoder(pyramid([4, 6, 8], [2, 4, 8], 40, 40), torch.randn(2, 3, 40, 40)) ** 2).sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.fixture
def decoder() -> EfficientDualBranchDecoder:
    torch.manual_seed(0)
    return EfficientDualBranchDecoder([4, 8], [2, 16], detail_channels=3).eval()


def changed_logits(decoder: EfficientDualBranchDecoder, branch: torch.nn.Module) -> Tensor:
    """Return True at the logits that change with the parameters of one branch."""
    features, detail = pyramid([4, 8], [2, 16], 64, 64), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = decoder(features, detail)
        for parameter in branch.parameters():
            parameter.add_(0.5)
        return torch.ne(before, decoder(features, detail))


def test_transformer_branch_with_weight_0_has_no_effect(decoder: EfficientDualBranchDecoder) -> None:
    torch.nn.init.constant_(decoder.alpha, -math.inf)
    assert decoder.transformer_weight == 0
    assert not changed_logits(decoder, decoder.transformer).any()


def test_cnn_branch_with_weight_0_has_no_effect(decoder: EfficientDualBranchDecoder) -> None:
    torch.nn.init.constant_(decoder.alpha, math.inf)
    assert decoder.transformer_weight == 1
    assert not changed_logits(decoder, decoder.cnn).any()


def test_branches_have_equal_initial_weights(decoder: EfficientDualBranchDecoder) -> None:
    assert decoder.alpha.shape == ()
    assert decoder.transformer_weight == 0.5
    assert changed_logits(decoder, decoder.transformer).any()
    assert changed_logits(decoder, decoder.cnn).any()


def test_all_features_and_the_detail_map_affect_the_logits(decoder: EfficientDualBranchDecoder) -> None:
    features = [x.requires_grad_() for x in pyramid([4, 8], [2, 16], 64, 64)]
    detail = torch.randn(2, 3, 64, 64, requires_grad=True)
    torch.nn.init.constant_(decoder.alpha, -math.inf)
    decoder(features, detail).square().sum().backward()
    assert all(x.grad is not None and x.grad.any() for x in [*features, detail])


def test_up_block_is_a_convolution_of_the_concatenated_maps() -> None:
    torch.manual_seed(0)
    block = UpBlock(6, 4, 5).eval()
    coarse, skip = torch.randn(1, 6, 5, 4), torch.randn(1, 4, 9, 8)
    joined = torch.cat([torch.nn.functional.interpolate(coarse, size=(9, 8), mode="bilinear"), skip], dim=1)
    weight = torch.cat([block.reduce.weight, block.lateral.weight], dim=1)
    expected = block.conv(block.relu(block.norm(torch.nn.functional.conv2d(joined, weight))))
    torch.testing.assert_close(block(coarse, skip), expected, rtol=1e-4, atol=1e-5)


def test_decoder_joins_branches_of_different_types(decoder: EfficientDualBranchDecoder) -> None:
    decoder.transformer.register_forward_hook(lambda *arguments: arguments[-1].float())  # as with autocast on some GPUs
    features, detail = pyramid([4, 8], [2, 16], 64, 64), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        full_precision = decoder(features, detail)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = decoder(features, detail).float()
    assert (mixed - full_precision).abs().max() < 0.05 * full_precision.abs().max()
