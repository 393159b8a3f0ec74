"""Self-attention with a bounded number of tokens."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from floodseg.models.layers.blocks import cell_means, init_new_layers, upsample

_TOLERANCE = 1e-3
"""Tolerance of comparisons, because runtimes round quotients differently."""


def area_pooling_matrix(size: int, tokens: int, like: Tensor) -> Tensor:
    """Return the (tokens, size) matrix that averages ``size`` pixels of one axis over ``tokens`` equal intervals.

    Token i covers the pixels from ``i * size / tokens`` to ``(i + 1) * size / tokens``. A pixel on the border of two
    intervals contributes to each by its overlap. Rows sum to 1. For ``tokens == size`` the matrix is the identity.
    """
    border = torch.arange(tokens + 1, device=like.device, dtype=torch.float32) * size / tokens
    pixel = torch.arange(size, device=like.device, dtype=torch.float32)
    overlap = torch.minimum(border[1:, None], pixel + 1) - torch.maximum(border[:-1, None], pixel)
    return (overlap.clamp(min=0) * tokens / size).to(like.dtype)


class EfficientSelfAttention(nn.Module):
    """Non-local self-attention on at most ``max_tokens_side`` x ``max_tokens_side`` tokens.

    Tokens are means over cells of ``cell`` x ``cell`` pixels. If a map has more cells than the maximum, tokens are
    means over larger areas of equal size. With ``cell`` 1, attention on a small map is exact. Tokens are
    batch-normalised. Queries and keys have ``channels / reduction`` channels, values ``channels``. The context of the
    tokens is interpolated bilinearly to the pixels, multiplied by a learned gain and added to the input (Wang 2018,
    "Non-local Neural Networks", equations 2 and 6; Zhang 2019, "Self-Attention GANs", equation 3; scaling by the root
    of the key channels: Vaswani 2017, equation 1). Zhang's gain starts at 0, which leaves queries, keys and values
    without a gradient in the first step. This gain starts at 0.1.

    A token attends to tokens whose centres are at most ``radius`` pixels away along each axis (Ramachandran 2019,
    "Stand-Alone Self-Attention", equation 1). The receptive field is then the same in a small training crop and in a
    large window of a scene. With ``radius`` None, a token attends to the complete map. A token without a valid pixel,
    such as the area outside a swath, only attends to itself, and no other token attends to it.
    """

    def __init__(
        self, channels: int, reduction: int = 4, max_tokens_side: int = 32, *, cell: int = 1, radius: int | None = None
    ) -> None:
        super().__init__()
        self.max_tokens_side, self.cell, self.radius = max_tokens_side, cell, radius
        # one norm for queries, keys and values: the shift of a norm of the keys cancels in the softmax
        self.norm = nn.BatchNorm2d(channels)
        self.query = nn.Conv2d(channels, max(1, channels // reduction), kernel_size=1, bias=False)
        self.key = nn.Conv2d(channels, max(1, channels // reduction), kernel_size=1, bias=False)
        self.value = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.gain = nn.Parameter(torch.tensor(0.1))
        init_new_layers(self)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the input plus its context, (N, C, H, W) for any H and W.

        ``valid`` (N, 1, H, W) is above 0 where any sensor is valid. None means that all pixels are valid.
        """
        tokens = self.norm(self.pool(x))
        query, key, value = (
            layer(tokens).flatten(2).transpose(1, 2)  # (N, h * w, channels)
            for layer in (self.query, self.key, self.value)
        )
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=self._attention_mask(x, tokens, valid))
        context = context.transpose(1, 2).reshape(tokens.shape)  # (N, C, h, w)
        return x + self.gain * upsample(context, x.shape[2:])

    def pool(self, x: Tensor) -> Tensor:
        """Average (N, C, H, W) over cells, then over equal areas to at most ``max_tokens_side`` tokens a side."""
        if self.cell > 1:
            x = cell_means(x, self.cell)
        height, width = x.shape[2:]
        rows, columns = (area_pooling_matrix(size, self._token_count(size), like=x) for size in (height, width))
        # bmm with explicit batches: matmul would fix the size of the example in the exported graph
        channels = x.flatten(0, 1)  # (N * C, H, W)
        channels = torch.bmm(channels, columns.T.expand(channels.shape[0], -1, -1))
        channels = torch.bmm(rows.expand(channels.shape[0], -1, -1), channels)
        return channels.reshape(*x.shape[:2], *channels.shape[1:])

    def _attention_mask(self, x: Tensor, tokens: Tensor, valid: Tensor | None) -> Tensor | None:
        """Return bool (1 or N, h * w, h * w), True where a query attends to a key, for tokens (N, C, h, w) of ``x``."""
        if self.radius is None and valid is None:
            return None
        distances = []
        for axis in (2, 3):
            # tensor arithmetic: in an exported graph, the quotient of two Python sizes is an integer
            centres = (torch.arange(tokens.shape[axis], device=x.device) + 0.5) * x.shape[axis] / tokens.shape[axis]
            distances.append((centres[:, None] - centres).abs())
        rows, columns = distances
        # (h, 1, h, 1) and (1, w, 1, w)
        distance = torch.maximum(rows[:, None, :, None], columns[None, :, None, :]).flatten(2).flatten(0, 1)[None]
        near = distance <= (torch.inf if self.radius is None else self.radius + _TOLERANCE)
        if valid is None:
            return near
        # two channels, because the tracer cannot handle one channel of unknown height
        valid_keys = (self.pool(valid.expand(-1, 2, -1, -1))[:, :1] > _TOLERANCE).flatten(2)  # (N, 1, h * w)
        # a token always attends to itself, because the softmax over no keys is undefined
        return (near & valid_keys) | (distance == 0)

    def _token_count(self, size: int) -> int:
        # sym_min keeps a traced size symbolic, unlike min, so that one exported graph serves every size
        return cast(int, torch.sym_min(size, self.max_tokens_side))
