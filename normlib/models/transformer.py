"""A small transformer encoder over patches of images (arXiv:1706.03762, arXiv:2010.11929)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from normlib.models import register
from normlib.models.attention_block import Block, require_placement
from normlib.models.site import Sites


@register("transformer")
class Transformer(nn.Module):
    """`depth` transformer blocks of `width` and `heads` on square patches of side `patch`.

    There is a site for each residual branch.

    `norm_placement`: "pre", "post", "peri" and "branch_end" as in `attention_block.py`. "pre" and "peri" have one more
    site, on what leaves the last block. The trunk is the same in all four. `pooling`: a "cls" token of its own, or the
    "mean" of the tokens, which instance norm at the end leaves at zero. Input (N, C, H, W), output (N, num_outputs).
    Sites see tokens (N, T, width), channels last, and only normalize. `site.activation` is that of the perceptrons.
    There is no dropout, and no bias in the last layer of a branch. Positions and the class token start normal with
    variance 1, as large as the patches' own embedding.

    Settings:
        depth: transformer blocks
        width: channels of a token
        heads: attention heads
        patch: side of a square patch in pixels
        norm_placement: where the norm stands: before a branch, after it, on both sides, or at its end
        pooling: what is classified: a token of its own, or the mean of all tokens
    """

    def __init__(
        self,
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        depth: int = 4,
        width: int = 64,
        heads: int = 4,
        patch: int = 2,
        norm_placement: Literal["pre", "post", "peri", "branch_end"] = "pre",
        pooling: Literal["cls", "mean"] = "cls",
    ) -> None:
        super().__init__()
        if min(depth, width, heads, patch) < 1 or width % heads:
            raise ValueError(
                "transformer: depth, width, heads and patch are at least 1, and width is a multiple of heads, got "
                f"depth={depth}, width={width}, heads={heads}, patch={patch}"
            )
        require_placement("transformer", norm_placement)
        if pooling not in ("cls", "mean"):
            raise ValueError(f"transformer: pooling is one of cls, mean, got {pooling!r}")
        if len(input_shape) != 3 or any(side % patch for side in input_shape[1:]):
            raise ValueError(
                f"transformer: needs images (C, H, W) whose sides are multiples of patch={patch}, but the data's input is "
                f"{tuple(input_shape)}; use another model.patch, model=mlp or other data"
            )
        sites.require_no_order("transformer")
        channels, *sides = input_shape
        num_patches = (sides[0] // patch) * (sides[1] // patch)
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Embedding(num_patches, width)
        self.token = nn.Embedding(1, width) if pooling == "cls" else None
        self.blocks = nn.Sequential(*(Block(sites, width, heads, norm_placement) for _ in range(depth)))
        ends_bare = norm_placement in ("pre", "peri")
        self.last_site = sites(width, ahead=None, activation=False, channel_dim=-1) if ends_bare else None
        self.classifier = sites.classifier = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2) + self.positions.weight  # (N, T, width)
        if self.token is not None:
            x = torch.cat([self.token.weight.expand(len(x), 1, -1), x], 1)
        x = self.blocks(x)
        if self.last_site is not None:
            x = self.last_site(x)
        return self.classifier(x.mean(1) if self.token is None else x[:, 0])
