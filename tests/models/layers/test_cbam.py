"""CBAM: range of the weights, values by hand, and the order of channel and spatial attention."""

import pytest
import torch
from torch import Tensor

from floodseg.models.layers.cbam import CBAM, ChannelAttention, SpatialAttention


def _features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(1, 1), (5, 8)])
def test_weights_lie_between_0_and_1(size: tuple[int, int]) -> None:
    x = 3 * _features(2, 32, *size)
    channel, spatial = ChannelAttention(32)(x), SpatialAttention()(x)
    assert channel.shape == (2, 32, 1, 1)
    assert spatial.shape == (2, 1, *size)
    for weights in (channel, spatial):
        assert ((weights > 0) & (weights < 1)).all()


def test_channel_attention_by_hand() -> None:
    """One hidden unit that adds both channels, projected by 1 and -1: sigmoid(+-(mean sum + maximum sum))."""
    attention = ChannelAttention(2, reduction=16)
    with torch.no_grad():
        attention.get_parameter("mlp.0.weight").fill_(1.0)
        attention.get_parameter("mlp.2.weight").copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    x = torch.tensor([[[0.0, 1.0]], [[0.0, 0.5]]])[None]  # means 0.5, 0.25 and maxima 1, 0.5: 0.75 + 1.5
    expected = torch.sigmoid(torch.tensor([2.25, -2.25]))
    torch.testing.assert_close(attention(x).flatten(), expected)


def test_spatial_attention_by_hand() -> None:
    """Only the centre of the kernel, mean weighted 2 and maximum 3."""
    attention = SpatialAttention()
    with torch.no_grad():
        attention.conv.weight.zero_()
        attention.conv.weight[0, :, 3, 3] = torch.tensor([2.0, 3.0])
        assert attention.conv.bias is not None
        attention.conv.bias.zero_()
    x = _features(2, 4, 9, 6)
    torch.testing.assert_close(attention(x)[:, 0], torch.sigmoid(2 * x.mean(dim=1) + 3 * x.amax(dim=1)))


def test_receptive_field_of_spatial_attention_is_7x7_pixels() -> None:
    attention = SpatialAttention()
    x = torch.zeros(1, 4, 15, 15)
    impulse = x.clone()
    impulse[:, :, 7, 7] = 1.0
    changed = (attention(impulse) != attention(x))[0, 0]
    assert changed[4:11, 4:11].all()
    assert changed.sum() == 49


def test_channel_attention_comes_first() -> None:
    block, x = CBAM(16), _features(2, 16, 6, 6)
    weighted = x * block.channel(x)
    torch.testing.assert_close(block(x), weighted * block.spatial(weighted))
    spatial_first = x * block.spatial(x)
    assert not torch.allclose(block(x), spatial_first * block.channel(spatial_first))


def test_weights_reduce_the_input() -> None:
    x = _features(2, 16, 6, 6)
    out = CBAM(16)(x)
    assert torch.equal(out.sign(), x.sign())
    assert (out.abs() < x.abs()).all()
