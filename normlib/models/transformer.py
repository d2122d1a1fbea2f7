"""A small transformer encoder over patches of images (arXiv:1706.03762, arXiv:2010.11929)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import register
from normlib.models.site import GAINS, Sites

HIDDEN = 4  # times `width`: the hidden layer of a block's perceptron, as in both papers


class Attention(nn.Module):
    """Multi-head self-attention of tokens (N, T, width) to the same, without dropout; the last layer has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.project_in(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, N, heads, T, -1)
        query, key, value = parts.unbind()
        y = F.scaled_dot_product_attention(query, key, value)  # (N, heads, T, width / heads)
        return self.project_out(y.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two linear layers with the network's activation between them, on each token alone; the last has no bias."""

    def __init__(self, sites: Sites, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, HIDDEN * width)
        self.activation = sites.activation_function
        self.project_out = nn.Linear(HIDDEN * width, width, bias=False)
        sites.gains[self.widen] = GAINS[sites.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.project_out(self.activation(self.widen(x)))


class Block(nn.Module):
    """Two residual branches, attention and a perceptron, each with a site where `norm_placement` says."""

    def __init__(self, sites: Sites, width: int, heads: int, norm_placement: str) -> None:
        super().__init__()
        self.norm_placement = norm_placement
        branches = (Attention(width, heads), Perceptron(sites, width))
        self.branches = nn.ModuleList(branches)
        self.sites = nn.ModuleList()
        for branch in branches:
            if norm_placement == "branch_end":
                with sites.branch():
                    site = sites(width, ahead=branch.project_out, activation=False, channel_dim=-1)
            else:
                site = sites(width, ahead=None, activation=False, channel_dim=-1)
            self.sites.append(site)

    def forward(self, x: Tensor) -> Tensor:
        for branch, site in zip(self.branches, self.sites, strict=True):
            if self.norm_placement == "pre":
                x = x + branch(site(x))
            elif self.norm_placement == "post":
                x = site(x + branch(x))
            else:
                x = x + site(branch(x))
        return x  # (N, T, width)


@register("transformer")
class Transformer(nn.Module):
    """`depth` transformer blocks of `width` and `heads` on square patches of side `patch`, with a site for each residual branch.

    `norm_placement`: "pre" norms what enters a branch, and once what leaves the last block (arXiv:2002.04745); "post" norms the
    sum of shortcut and branch (arXiv:1706.03762); "branch_end" norms what a branch adds to its shortcut (arXiv:2111.09883,
    section 3.2), and is the one with layers ahead of its sites and with sites in branches, as methods on weights and on branches
    need. The trunk is the same in all three. `pooling`: a "cls" token of its own, or the
    "mean" of the tokens, which instance norm at the end leaves at zero.
    Input (N, C, H, W), output (N, num_outputs). Sites see tokens (N, T, width), channels last, and only normalize:
    `site.activation` is that of the perceptrons. There is no dropout, and no bias in the last layer of a branch. Positions and
    the class token start normal with variance 1, as large as the patches' own embedding.
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
        norm_placement: Literal["pre", "post", "branch_end"] = "pre",
        pooling: Literal["cls", "mean"] = "cls",
    ) -> None:
        super().__init__()
        if min(depth, width, heads, patch) < 1 or width % heads:
            raise ValueError(
                "transformer: depth, width, heads and patch are at least 1, and width is a multiple of heads, got "
                f"depth={depth}, width={width}, heads={heads}, patch={patch}"
            )
        known = {
            "norm_placement": (norm_placement, ("pre", "post", "branch_end")),
            "pooling": (pooling, ("cls", "mean")),
        }
        for setting, (value, choices) in known.items():
            if value not in choices:
                raise ValueError(f"transformer: {setting} is one of {', '.join(choices)}, got {value!r}")
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
        self.last_site = sites(width, ahead=None, activation=False, channel_dim=-1) if norm_placement == "pre" else None
        self.classifier = sites.classifier = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2) + self.positions.weight  # (N, T, width)
        if self.token is not None:
            x = torch.cat([self.token.weight.expand(len(x), 1, -1), x], 1)
        x = self.blocks(x)
        if self.last_site is not None:
            x = self.last_site(x)
        return self.classifier(x.mean(1) if self.token is None else x[:, 0])
