"""Self-attention whose cost stops growing with the square of the pixels."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from floodseg.models.layers.blocks import init_new_layers


def area_pooling_matrix(size: int, tokens: int, like: Tensor) -> Tensor:
    """Return the (tokens, size) matrix that averages ``size`` pixels of one axis over ``tokens`` equal intervals.

    Token i covers the pixels from ``i * size / tokens`` to ``(i + 1) * size / tokens``; a pixel cut by a border counts
    with the share that lies inside. Rows sum to 1, and for ``tokens == size`` the matrix is exactly the identity.
    """
    border = torch.arange(tokens + 1, device=like.device, dtype=torch.float32) * size / tokens
    pixel = torch.arange(size, device=like.device, dtype=torch.float32)
    overlap = torch.minimum(border[1:, None], pixel + 1) - torch.maximum(border[:-1, None], pixel)
    return (overlap.clamp(min=0) * tokens / size).to(like.dtype)


_ROUNDING = 1e-3
"""Tolerance of comparisons: the last digit of a quotient differs from runtime to runtime."""


class EfficientSelfAttention(nn.Module):
    """Non-local self-attention on at most ``max_tokens_side`` x ``max_tokens_side`` tokens.

    Tokens are means over cells of ``cell`` x ``cell`` pixels of the map; if there are more of them, means over equal
    areas instead, for any size of the map. With ``cell`` 1 a small map keeps its pixels, so that this is exact
    attention. Queries and keys have ``channels / reduction`` channels, values all channels; tokens are
    batch-normalised first. The context of the tokens is interpolated bilinearly to every pixel and added to the input
    with a learned gain (Wang 2018, "Non-local Neural Networks", equations 2 and 6; Zhang 2019, "Self-Attention
    GANs", equation 3; scaling by the root of the key channels after Vaswani 2017, equation 1). Zhang's gain starts at
    0, which keeps queries, keys and values without a gradient in the first step: ours starts at 0.1.

    A token attends to tokens whose centres are at most ``radius`` pixels of the map away along each axis (Ramachandran
    2019, "Stand-Alone Self-Attention", equation 1), so that the receptive field of a pixel is the same in a small
    training crop and in a large window of a scene, wherever the window begins; None attends to all of the map. Tokens
    without a valid pixel are attended to by themselves alone: the area beyond a swath is no context.
    """

    def __init__(
        self, channels: int, reduction: int = 4, max_tokens_side: int = 32, *, cell: int = 1, radius: int | None = None
    ) -> None:
        super().__init__()
        self.max_tokens_side, self.cell, self.radius = max_tokens_side, cell, radius
        # one norm on the tokens: a shift of the keys alone would cancel in the softmax and never learn
        self.norm = nn.BatchNorm2d(channels)
        self.query = nn.Conv2d(channels, max(1, channels // reduction), kernel_size=1, bias=False)
        self.key = nn.Conv2d(channels, max(1, channels // reduction), kernel_size=1, bias=False)
        self.value = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.gain = nn.Parameter(torch.tensor(0.1))
        init_new_layers(self)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the map with its context added, (N, C, H, W) -> (N, C, H, W), for any H and W.

        ``valid`` (N, 1, H, W) is above 0 where any sensor is valid; None is everywhere.
        """
        tokens = self.norm(self.pool(x))
        query, key, value = (
            layer(tokens).flatten(2).transpose(1, 2)  # (N, h * w, channels)
            for layer in (self.query, self.key, self.value)
        )
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=self._attended(x, tokens, valid))
        context = context.transpose(1, 2).reshape(tokens.shape)  # (N, C, h, w)
        return x + self.gain * F.interpolate(context, size=x.shape[2:], mode="bilinear", align_corners=False)

    def pool(self, x: Tensor) -> Tensor:
        """Average (N, C, H, W) over cells, then over equal areas to at most ``max_tokens_side`` tokens a side."""
        if self.cell > 1:
            x = self._means(x)
        height, width = x.shape[2:]
        rows, columns = (area_pooling_matrix(size, self._tokens(size), like=x) for size in (height, width))
        # explicit batches: the folding rules of a plain matmul would tie the exported graph to its example's size
        channels = x.flatten(0, 1)  # (N * C, H, W)
        channels = torch.bmm(channels, columns.T.expand(channels.shape[0], -1, -1))
        channels = torch.bmm(rows.expand(channels.shape[0], -1, -1), channels)
        return channels.reshape(*x.shape[:2], *channels.shape[1:])

    def _means(self, x: Tensor) -> Tensor:
        """Average (N, C, H, W) over cells; a cell that the border cuts is the mean of its pixels inside."""
        # constant padding, so that a traced size needs no case for the remainder; the share undoes the zeros
        means = F.avg_pool2d(F.pad(x, (0, self.cell - 1, 0, self.cell - 1)), self.cell)
        rows, columns = (
            (x.shape[axis] - self.cell * torch.arange(means.shape[axis], device=x.device)).clamp(max=self.cell)
            for axis in (2, 3)
        )  # pixels of each cell that the map has
        return means / ((rows[:, None] * columns).to(x.dtype) / self.cell**2)

    def _attended(self, x: Tensor, tokens: Tensor, valid: Tensor | None) -> Tensor | None:
        """Return which keys each query attends to, bool (1 or N, h * w, h * w), for ``x`` and tokens (N, C, h, w)."""
        if self.radius is None and valid is None:
            return None
        distances = []
        for axis in (2, 3):
            # numbers of a tensor, not of Python: exported, the quotient of two sizes would be a whole number
            centres = (torch.arange(tokens.shape[axis], device=x.device) + 0.5) * x.shape[axis] / tokens.shape[axis]
            distances.append((centres[:, None] - centres).abs())
        rows, columns = distances
        # (h, 1, h, 1) and (1, w, 1, w): along both axes
        distance = torch.maximum(rows[:, None, :, None], columns[None, :, None, :]).flatten(2).flatten(0, 1)[None]
        near = distance <= (torch.inf if self.radius is None else self.radius + _ROUNDING)
        if valid is None:
            return near
        # two channels: for a single one of traced size, the tracer cannot prove that it has more than one row
        keys = (self.pool(valid.expand(-1, 2, -1, -1))[:, :1] > _ROUNDING).flatten(2)  # (N, 1, h * w)
        # always itself: a query without keys has no softmax
        return (near & keys) | (distance == 0)

    def _tokens(self, size: int) -> int:
        # sym_min, unlike min, keeps a traced size symbolic: one exported graph serves every size
        return cast(int, torch.sym_min(size, self.max_tokens_side))
