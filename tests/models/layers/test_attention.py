"""Self-attention with a bounded number of tokens: values, receptive field, cost, validity and export."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from floodseg.models.layers.attention import EfficientSelfAttention, area_pooling_matrix


def exact_attention(layer: EfficientSelfAttention, x: Tensor) -> Tensor:
    """Return softmax(Q K^T / sqrt(d)) V over all pixels, added to the input."""
    tokens = layer.norm(x)
    query, key, value = (conv(tokens).flatten(2) for conv in (layer.query, layer.key, layer.value))  # (N, C, H * W)
    scores = torch.einsum("ncq,nck->nqk", query, key) / query.shape[1] ** 0.5
    context = torch.einsum("nqk,nck->ncq", scores.softmax(dim=-1), value)
    return x + layer.gain * context.reshape(x.shape)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 31), (32, 32)])
def test_attention_is_exact_up_to_32_tokens_a_side(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = EfficientSelfAttention(8).eval()
    x = torch.randn(2, 8, *size)
    torch.testing.assert_close(layer(x), exact_attention(layer, x), rtol=1e-5, atol=1e-6)


def test_attention_on_a_larger_map_is_exact_over_area_means() -> None:
    torch.manual_seed(0)
    layer = EfficientSelfAttention(8, max_tokens_side=4).eval()
    x = torch.randn(2, 8, 12, 8)
    tokens = torch.nn.functional.avg_pool2d(x, (3, 2))
    context = exact_attention(layer, tokens) - tokens
    expected = x + torch.nn.functional.interpolate(context, size=(12, 8), mode="bilinear")
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("cell", "size"), [(1, (12, 9)), (2, (24, 18)), (2, (23, 17))])
def test_attention_ends_at_its_radius(cell: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = EfficientSelfAttention(8, cell=cell, radius=3 * cell).eval()
    x = torch.randn(1, 8, *size)
    changed = x.clone()
    changed[..., 11 * cell :, :] += 5  # the last of 12 rows of tokens
    moved = (layer(changed) - layer(x))[..., : 11 * cell, :].abs().amax(dim=(0, 1, 3))
    # keys up to three tokens away, and one token more by interpolation of the context
    affected = torch.arange(len(moved)) >= cell * (11 - 3 - 1)
    assert (moved[affected][cell:] > 0).all()
    assert not moved[~affected].any()


def test_receptive_field_is_equal_in_a_crop_and_in_a_large_map() -> None:
    torch.manual_seed(0)
    layer = EfficientSelfAttention(8, cell=2, radius=8).eval()
    x = torch.randn(1, 8, 60, 60)
    crop = layer(x[..., 10:50, 20:60])
    # the border has an effect up to the radius and one token of interpolation
    torch.testing.assert_close(crop[..., 12:-12, 12:-12], layer(x)[..., 22:38, 32:48], rtol=1e-5, atol=1e-6)
    without_bound = EfficientSelfAttention(8, cell=2).eval()
    large, small = without_bound(x)[..., 22:38, 32:48], without_bound(x[..., 10:50, 20:60])[..., 12:-12, 12:-12]
    assert (large - small).abs().max() > 1e-3


def test_cells_are_means_of_their_pixels() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    pooled = EfficientSelfAttention(1, cell=2).pool(x)
    torch.testing.assert_close(pooled, torch.tensor([[[[2.5, 4.5], [8.5, 10.5]]]]))


@pytest.mark.parametrize("size", [1, 5, 31, 32])
def test_pooling_matrix_of_equal_sizes_is_the_identity(size: int) -> None:
    assert torch.equal(area_pooling_matrix(size, size, like=torch.ones(())), torch.eye(size))


@pytest.mark.parametrize("size", [33, 61, 64, 100, 1000])
def test_pooling_matrix_has_equal_weights_for_all_pixels(size: int) -> None:
    matrix = area_pooling_matrix(size, 32, like=torch.ones(()))
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(32), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(matrix.sum(dim=0), torch.full((size,), 32 / size), rtol=1e-4, atol=1e-5)


def test_pooling_matrix_splits_a_pixel_at_a_token_border() -> None:
    expected = torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    torch.testing.assert_close(area_pooling_matrix(3, 2, like=torch.ones(())), expected)


def attention_flops(size: int) -> int:
    """Return the operations without pooling and 1x1 convolutions."""
    layer, x = EfficientSelfAttention(16).eval(), torch.zeros(1, 16, size, size)
    with torch.no_grad(), FlopCounterMode(display=False) as total:
        layer(x)
    with torch.no_grad(), FlopCounterMode(display=False) as rest:
        tokens = layer.pool(x)
        for convolution in (layer.query, layer.key, layer.value):
            convolution(tokens)
    return int(total.get_total_flops() - rest.get_total_flops())


def test_cost_is_constant_above_32_tokens_a_side() -> None:
    # 2 * tokens^2 * (4 key + 16 value channels), tokens = 16^2 and 32^2
    assert attention_flops(16) == 2 * 256**2 * 20
    assert attention_flops(32) == attention_flops(64) == attention_flops(97) == 2 * 1024**2 * 20


@pytest.mark.parametrize(("height", "width", "tokens"), [(16, 40, (16, 32)), (33, 500, (32, 32)), (7, 7, (7, 7))])
def test_tokens_are_at_most_32_a_side(height: int, width: int, tokens: tuple[int, int]) -> None:
    assert EfficientSelfAttention(4).pool(torch.zeros(1, 4, height, width)).shape[2:] == tokens


def test_default_reduction_of_queries_and_keys_is_4() -> None:
    layer = EfficientSelfAttention(128)
    assert (layer.query.out_channels, layer.key.out_channels, layer.value.out_channels) == (32, 32, 128)


def test_all_parameters_get_a_gradient() -> None:
    torch.manual_seed(0)
    layer = EfficientSelfAttention(8)
    (layer(torch.randn(2, 8, 40, 6)) ** 2).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-6, name


def test_exported_graph_takes_maps_of_any_size() -> None:
    torch.manual_seed(0)
    layer = EfficientSelfAttention(8, cell=2, radius=8).eval()
    # at least two tokens a side, because the tracer takes a size of 1 as a constant
    sizes = {2: torch.export.Dim("height", min=3, max=4096), 3: torch.export.Dim("width", min=3, max=4096)}
    program = torch.export.export(layer, (torch.randn(1, 8, 40, 24),), dynamic_shapes=(sizes,), strict=False)
    for size in [(40, 24), (24, 40), (7, 5), (32, 33), (61, 47)]:
        x = torch.randn(1, 8, *size)
        torch.testing.assert_close(program.module()(x), layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("radius", [None, 2])
def test_tokens_do_not_attend_to_pixels_without_a_valid_sensor(radius: int | None) -> None:
    torch.manual_seed(0)
    attention = EfficientSelfAttention(8, radius=radius).eval()
    image, valid = torch.randn(2, 8, 6, 7), torch.ones(2, 1, 6, 7)
    with torch.no_grad():
        torch.testing.assert_close(attention(image, valid), attention(image))
        valid[1, :, :, 4:] = 0
        other = image.clone()
        other[1, :, :, 4:] = 100
        # columns whose context is not interpolated with that of invalid tokens
        torch.testing.assert_close(attention(other, valid)[..., :4], attention(image, valid)[..., :4])
        assert not torch.allclose(attention(other)[1, ..., :4], attention(image)[1, ..., :4], atol=1e-3)
        assert attention(image, torch.zeros_like(valid)).isfinite().all()
