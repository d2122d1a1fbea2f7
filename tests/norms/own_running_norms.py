"""Norms with statistics of their own, as a user writes them: E[x^2], the mean absolute deviation, a covariance."""

from __future__ import annotations

import torch

from normlib.norms.running import RunningNorm, mean_over_batch, per_channel


class MeanSquare(RunningNorm):
    """Divides by the root of the batch's mean square."""

    buffer_count = "C+1"

    def __init__(self, num_features, **settings):
        super().__init__(num_features, {"mean_square": 1.0}, **settings)

    def measure(self, x):
        return {"mean_square": mean_over_batch(x.square())}

    def normalize(self, x, mean_square):
        return x * (per_channel(mean_square, x) + self.eps).rsqrt()


class AbsoluteDeviation(RunningNorm):
    """Divides by the batch's mean absolute deviation."""

    def __init__(self, num_features, **settings):
        super().__init__(num_features, {"mean": 0.0, "spread": 1.0}, **settings)

    def measure(self, x):
        mean = mean_over_batch(x)
        return {"mean": mean, "spread": mean_over_batch((x - per_channel(mean, x)).abs())}

    def normalize(self, x, mean, spread):
        return (x - per_channel(mean, x)) / (per_channel(spread, x) + self.eps)


class Decorrelated(RunningNorm):
    """Whitens the channels by the Cholesky factor of their covariance, a matrix for a statistic."""

    buffer_count = "C*C+C+1"

    def __init__(self, num_features, **settings):
        super().__init__(num_features, {"mean": 0.0, "covariance": torch.eye(num_features)}, **settings)

    def measure(self, x):
        mean = mean_over_batch(x)
        rows = (x - per_channel(mean, x)).movedim(1, -1).flatten(0, -2)  # (values, C)
        return {"mean": mean, "covariance": rows.T @ rows / len(rows)}

    def normalize(self, x, mean, covariance):
        eps = self.eps * torch.eye(len(covariance), dtype=covariance.dtype)
        factor = torch.linalg.cholesky(covariance + eps)
        rows = (x - per_channel(mean, x)).movedim(1, -1)
        return (
            torch.linalg.solve_triangular(factor, rows.flatten(0, -2).T, upper=False).T.view(rows.shape).movedim(-1, 1)
        )


OWN = {"mean_square": MeanSquare, "spread": AbsoluteDeviation, "covariance": Decorrelated}
