"""ASPP: branches, dilation, image pooling, batches of one sample and maps of one pixel."""

import pytest
import torch
from torch import Tensor, nn

from floodseg.models.layers.aspp import ASPP, ImagePooling
from floodseg.models.layers.blocks import conv_bn_relu


def _features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_branches_are_those_of_the_paper() -> None:
    aspp = ASPP(8, 6)
    convolutions = [module for module in aspp.modules() if isinstance(module, nn.Conv2d)]
    layers = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.dilation[0]) for layer in convolutions
    ]
    assert layers == [(8, 6, 1, 1), (8, 6, 3, 6), (8, 6, 3, 12), (8, 6, 3, 18), (8, 6, 1, 1), (30, 6, 1, 1)]
    assert isinstance(aspp.branches[-1], ImagePooling)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 40)])
def test_output_has_the_size_of_the_input(size: tuple[int, int]) -> None:
    assert ASPP(8, 6).eval()(_features(2, 8, *size)).shape == (2, 6, *size)


def test_dilated_branch_has_nine_sampling_points() -> None:
    branch = conv_bn_relu(1, 4, dilation=6)[0]
    impulse = torch.zeros(1, 1, 19, 19)
    impulse[..., 9, 9] = 1.0
    rows, columns = branch(impulse)[0].abs().sum(dim=0).nonzero().unbind(dim=1)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(r, c) for r in (3, 9, 15) for c in (3, 9, 15)}


def test_image_pooling_is_the_projected_mean_at_every_pixel() -> None:
    pooling, x = ImagePooling(3, 4), _features(2, 3, 5, 7)
    out = pooling(x)
    weight, bias = pooling.get_parameter("project.0.weight"), pooling.get_parameter("project.0.bias")
    expected = (x.mean(dim=(2, 3)) @ weight[:, :, 0, 0].T + bias).relu()
    torch.testing.assert_close(out, expected[:, :, None, None].expand(2, 4, 5, 7))


def test_image_pooling_does_not_depend_on_size() -> None:
    pooling, x = ImagePooling(3, 4), _features(2, 3, 5, 7)
    torch.testing.assert_close(pooling(x.repeat(1, 1, 2, 3))[..., :1, :1], pooling(x)[..., :1, :1])


@pytest.mark.parametrize("shape", [(2, 8, 1, 1), (1, 8, 4, 4)])
def test_training_with_one_pixel_or_one_sample(shape: tuple[int, int, int, int]) -> None:
    aspp = ASPP(8, 6).train()
    out = aspp(_features(*shape))
    assert out.isfinite().all()
    out.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in aspp.parameters())
