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


def root_mean_square(x: Tensor, axes: list[int], eps: float = EPS) -> Tensor:
    """sqrt(mean of squares + eps) over `axes`."""
    return torch.sqrt((x**2).sum(axes, keepdim=True) / count(x, axes) + eps)


def rms_norm(x: Tensor) -> Tensor:
    """Zhang, Sennrich 2019, equation 4, over all units of the layer."""
    return x / root_mean_square(x, [1, *positions(x)])


def rms_norm_by_position(x: Tensor) -> Tensor:
    """The same with the channels of one position as the layer."""
    return x / root_mean_square(x, [1])


def positional_norm(x: Tensor, unbiased: bool = False, eps: float = EPS) -> Tensor:
    """Li, Wu, Weinberger, Belongie 2019, equation 2; `unbiased` as in the authors' code."""
    mean = x.sum(1, keepdim=True) / x.shape[1]
    variance = ((x - mean) ** 2).sum(1, keepdim=True) / (x.shape[1] - (1 if unbiased else 0))
    return (x - mean) / torch.sqrt(variance + eps)


def scale_norm(x: Tensor, g: Tensor) -> Tensor:
    """Nguyen, Salazar 2019: g x / |x|."""
    return g * x / torch.sqrt((x**2).sum(1, keepdim=True))


def global_response_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = EPS) -> Tensor:
    """Woo et al. 2023, algorithm 1; gamma and beta are shaped as one position."""
    response = torch.sqrt((x**2).sum(positions(x), keepdim=True)) if positions(x) else x.abs()
    return gamma * x * (response / (response.mean(1, keepdim=True) + eps)) + beta + x


def local_response_norm(x: Tensor, n: int, alpha: float, beta: float, k: float) -> Tensor:
    """Krizhevsky, Sutskever, Hinton 2012, section 3.3, channel by channel."""
    width, channels = x.shape[1], []
    for i in range(width):
        neighbours = x[:, max(0, i - n // 2) : min(width - 1, i + n // 2) + 1]
        channels.append(x[:, i] / (k + alpha * (neighbours**2).sum(1)) ** beta)
    return torch.stack(channels, dim=1)


def filter_response_norm(x: Tensor, eps: float | Tensor = EPS) -> Tensor:
    """Singh, Krishnan 2020, equation 1."""
    return x / torch.sqrt((x**2).sum(positions(x), keepdim=True) / count(x, positions(x)) + eps)


def evonorm_b0(x: Tensor, v: Tensor, batch_variance: Tensor | None = None, eps: float = EPS) -> Tensor:
    """Liu et al. 2020, EvoNorm-B0; v is shaped as one position. `batch_variance` as v, at inference."""
    of_batch = variance(x, [0, *positions(x)]) if batch_variance is None else batch_variance
    of_sample = variance(x, positions(x))
    return x / torch.maximum(torch.sqrt(of_batch + eps), v * x + torch.sqrt(of_sample + eps))


def evonorm_s0(x: Tensor, v: Tensor, num_groups: int, eps: float = EPS) -> Tensor:
    """Liu et al. 2020, EvoNorm-S0."""
    groups = []
    for part, slope in zip(x.chunk(num_groups, dim=1), v.chunk(num_groups, dim=0), strict=True):
        deviation = torch.sqrt(variance(part, [1, *positions(x)]) + eps)
        groups.append(part / (1 + torch.exp(-slope * part)) / deviation)
    return torch.cat(groups, dim=1)


def variance(x: Tensor, axes: list[int]) -> Tensor:
    """The biased variance over `axes`, which stay with length 1."""
    mean = x.sum(axes, keepdim=True) / count(x, axes)
    return ((x - mean) ** 2).sum(axes, keepdim=True) / count(x, axes)


def dynamic_tanh(x: Tensor, alpha: Tensor) -> Tensor:
    """Zhu et al. 2025, algorithm 1."""
    return 1 - 2 / (torch.exp(2 * alpha * x) + 1)
