"""The block of a transformer: attention and a perceptron, each in a residual branch, with norms where the network says.

The networks for images and for text use it. This file knows neither images nor words, only tokens (N, T, width).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models.site import GAINS, Sites

HIDDEN = 4  # times `width`: the hidden layer of a block's perceptron, as in arXiv:1706.03762
PLACEMENTS = ("pre", "post", "peri", "branch_end")


def require_placement(model: str, norm_placement: str) -> None:
    """Raises ValueError for a placement that no block has."""
    if norm_placement not in PLACEMENTS:
        raise ValueError(f"{model}: norm_placement is one of {', '.join(PLACEMENTS)}, got {norm_placement!r}")


class Attention(nn.Module):
    """Multi-head self-attention of tokens (N, T, width) to the same, without dropout. The last layer has no bias.

    With `causal_length` no token sees a later one, there is no bias at all, and the longest text has that many tokens.
    With `qk_norm` a site normalizes the queries of each head and token, and another the keys (arXiv:2302.05442, section
    2.1). These have width / heads channels. Scale and shift are the same in all heads.
    """

    def __init__(self, sites: Sites, width: int, heads: int, causal_length: int = 0, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal_length > 0
        self.project_in = nn.Linear(width, 3 * width, bias=not self.causal)
        self.project_out = nn.Linear(width, width, bias=False)
        self.query_key_sites = nn.ModuleList()
        for _ in range(2 if qk_norm else 0):
            apart = causal_length * heads
            site = sites(width // heads, ahead=None, activation=False, channel_dim=-1, positions_apart=apart)
            self.query_key_sites.append(site)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project_in(x).unflatten(-1, (3, self.heads, -1)).unbind(2)  # (N, T, heads, -1) each
        if len(self.query_key_sites):
            query, key = (site(each) for site, each in zip(self.query_key_sites, (query, key), strict=True))
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))  # (N, heads, T, width / heads)
        y = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.project_out(y.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two linear layers with the network's activation between them, on each token alone. The last has no bias."""

    def __init__(self, sites: Sites, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, HIDDEN * width)
        self.activation = sites.activation_function
        self.project_out = nn.Linear(HIDDEN * width, width, bias=False)
        sites.gains[self.widen] = GAINS[sites.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.project_out(self.activation(self.widen(x)))


class Block(nn.Module):
    """Two residual branches, attention and a perceptron, on tokens (N, T, width), with sites where `norm_placement`
    says.

    - "pre": on what enters a branch (arXiv:2002.04745).
    - "post": on the sum of shortcut and branch (arXiv:1706.03762).
    - "peri": on what enters a branch, and on what the branch adds to its shortcut (arXiv:2502.02732).
    - "branch_end": on what a branch adds to its shortcut (arXiv:2111.09883, section 3.2).

    The other parameters are the same in all four. In "peri" and "branch_end" there are sites in residual branches. In
    "branch_end" each site has a layer ahead of it, as methods on branches and on weights need.
    """

    def __init__(
        self,
        sites: Sites,
        width: int,
        heads: int,
        norm_placement: str,
        causal_length: int = 0,
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        self.norm_placement = norm_placement
        branches = (Attention(sites, width, heads, causal_length, qk_norm), Perceptron(sites, width))
        self.branches = nn.ModuleList(branches)
        self.sites = nn.ModuleList()
        self.end_sites = nn.ModuleList()
        for branch in branches:
            if norm_placement in ("pre", "post", "peri"):
                site = sites(width, ahead=None, activation=False, channel_dim=-1, positions_apart=causal_length)
                self.sites.append(site)
            if norm_placement in ("peri", "branch_end"):
                with sites.branch():
                    site = sites(
                        width, ahead=branch.project_out, activation=False, channel_dim=-1, positions_apart=causal_length
                    )
                self.end_sites.append(site)

    def forward(self, x: Tensor) -> Tensor:
        for index, branch in enumerate(self.branches):
            if self.norm_placement == "post":
                x = self.sites[index](x + branch(x))
                continue
            y = branch(self.sites[index](x) if len(self.sites) else x)
            x = x + (self.end_sites[index](y) if len(self.end_sites) else y)
        return x  # (N, T, width)
