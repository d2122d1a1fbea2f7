"""The norms in float64, written from their papers in plain tensor operations; nothing here is shared with normlib."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5


def standardize(x: Tensor, axes: list[int], eps: float = EPS) -> Tensor:
    """(x - mean) / sqrt(biased variance + eps) over `axes`."""
    mean = x.sum(axes, keepdim=True) / count(x, axes)
    variance = ((x - mean) ** 2).sum(axes, keepdim=True) / count(x, axes)
    return (x - mean) / torch.sqrt(variance + eps)


def count(x: Tensor, axes: list[int]) -> int:
    product = 1
    for axis in axes:
        product *= x.shape[axis]
    return product


def positions(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def batch_norm(x: Tensor) -> Tensor:
    """Ioffe, Szegedy 2015, algorithm 1."""
    return standardize(x, [0, *positions(x)])


def layer_norm(x: Tensor) -> Tensor:
    """Ba, Kiros, Hinton 2016, equation 3, over all units of the layer."""
    return standardize(x, [1, *positions(x)])


def layer_norm_by_position(x: Tensor) -> Tensor:
    """The same with the channels of one position as the layer."""
    return standardize(x, [1])


def instance_norm(x: Tensor) -> Tensor:
    """Ulyanov, Vedaldi, Lempitsky 2016, equation 4."""
    return standardize(x, positions(x))


def group_norm(x: Tensor, num_groups: int) -> Tensor:
    """Wu, He 2018, equations 1, 2 and 7."""
    size = x.shape[1] // num_groups
    groups = [standardize(part, [1, *positions(x)]) for part in x.split(size, dim=1)]
    return torch.cat(groups, dim=1)


def batch_renorm(
    x: Tensor, mu: Tensor, sigma: Tensor, r_max: float, d_max: float, alpha: float, eps: float = EPS
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Ioffe 2017, algorithm 1: the output (gamma = 1, beta = 0), r, d, and the moved mu and sigma."""
    axes = [0, *positions(x)]
    shape = (1, -1) + (1,) * len(positions(x))
    mu_batch = x.sum(axes) / count(x, axes)
    sigma_batch = torch.sqrt(eps + ((x - mu_batch.view(shape)) ** 2).sum(axes) / count(x, axes))
    r = torch.clamp(sigma_batch.detach() / sigma, 1 / r_max, r_max)
    d = torch.clamp((mu_batch.detach() - mu) / sigma, -d_max, d_max)
    y = (x - mu_batch.view(shape)) / sigma_batch.view(shape) * r.view(shape) + d.view(shape)
    new_mu = mu + alpha * (mu_batch.detach() - mu)
    new_sigma = sigma + alpha * (sigma_batch.detach() - sigma)
    return y, r, d, new_mu, new_sigma
