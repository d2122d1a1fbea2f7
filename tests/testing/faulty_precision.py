"""Norms with a fault in precision and gradients; each with the check of the contract that has to catch it, and words of the message."""

from __future__ import annotations

import torch

from normlib.norms.base import Norm
from normlib.norms.skipinit import SkipInit
from tests.testing.right_norms import Centres, OnWeights, Plain, axes_of_a_sample, standardize


class SquaresFirst(Norm):
    def normalize(self, x):
        axes = axes_of_a_sample(x)
        mean = x.mean(axes, keepdim=True)
        return standardize(x, axes, self.eps, mean, (x.square().mean(axes, keepdim=True) - mean.square()).clamp(min=0))


class StatisticsInHalf(Plain):
    def forward(self, x, mask=None):
        mean = x.mean(axes_of_a_sample(x), keepdim=True)
        var = (x - mean).square().mean(axes_of_a_sample(x), keepdim=True)
        return (x - mean) / (var + self.eps).sqrt()


class MultipliesUnderAutocast(Plain):
    def forward(self, x, mask=None):
        return super().forward((x.movedim(1, -1) @ torch.eye(x.shape[1], dtype=x.dtype)).movedim(-1, 1).to(x.dtype))


class CentresInSquares(Centres):
    def transform_rows(self, rows):
        mean = rows.mean(1, keepdim=True)
        var = (rows.square().mean(1, keepdim=True) - mean.square()).clamp(min=0)
        return standardize(rows, [1], 1e-5, mean, var)


class WeightsInSquares(OnWeights):
    function = CentresInSquares


class CentresInHalf(Centres):
    def forward(self, weight):
        return self.transform_rows(weight.flatten(1)).view_as(weight)

    def transform_rows(self, rows):
        mean = rows.mean(1, keepdim=True)
        return (rows - mean) / ((rows - mean).square().mean(1, keepdim=True) + 1e-5).sqrt()


class WeightsInHalf(OnWeights):
    function = CentresInHalf


class CentresUnderAutocast(Centres):
    def transform_rows(self, rows):
        return super().transform_rows(rows @ torch.eye(rows.shape[1], dtype=rows.dtype))


class WeightsUnderAutocast(OnWeights):
    function = CentresUnderAutocast


class StopsTheGradientOfTheMean(Norm):
    def normalize(self, x):
        axes = axes_of_a_sample(x)
        return standardize(
            x, axes, self.eps, x.detach().mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
        )


class HoldsInSilence(Norm):
    def normalize(self, x):
        axes = axes_of_a_sample(x)
        return standardize(x, axes, self.eps, self.stop_gradient(x.mean(axes, keepdim=True)))


class DeclaresAConstantThatIsNone(Plain):
    constant_in_gradient = "the mean"


class StopsTheGradientOfLargeInputs(Plain):
    def normalize(self, x):
        return super().normalize(x.detach() if x.numel() >= 2**16 else x)


class CentresOnce(Centres):
    def transform_rows(self, rows):
        return super().transform_rows(rows.detach()) + 0 * rows


class WeightsWithoutGradient(OnWeights):
    function = CentresOnce


class SkipsWithoutGradient(SkipInit):
    def transform(self, x, mask=None):
        return super().transform(x.detach(), mask) + 0 * x


class _Standardized(torch.autograd.Function):
    """Right, but its backward takes the saved deviation as a number."""

    @staticmethod
    def forward(ctx, x, eps):
        axes = axes_of_a_sample(x)
        deviation = (x.var(axes, correction=0, keepdim=True) + eps).sqrt()
        x_hat = (x - x.mean(axes, keepdim=True)) / deviation
        ctx.save_for_backward(x_hat, deviation)
        return x_hat

    @staticmethod
    def backward(ctx, gradient):
        x_hat, deviation = ctx.saved_tensors
        axes = axes_of_a_sample(x_hat)
        along = (gradient * x_hat).mean(axes, keepdim=True)
        return (gradient - gradient.mean(axes, keepdim=True) - x_hat * along) / deviation, None


class SavesItsStatistics(Norm):
    def normalize(self, x):
        return _Standardized.apply(x, self.eps)


FAULTS = [
    (SquaresFirst, "precision", "mean 1000, spread 0.01"),
    (WeightsInSquares, "precision", "weights of mean 1000, spread 0.01"),
    (StatisticsInHalf, "half", "float16"),
    (WeightsInHalf, "half", "weights in torch.float16"),
    (MultipliesUnderAutocast, "autocast", "under autocast"),
    (WeightsUnderAutocast, "autocast", "under autocast"),
    (StopsTheGradientOfTheMean, "gradients", "are not those of finite differences"),
    (StopsTheGradientOfLargeInputs, "gradients", r"\(large, training\)"),
    (HoldsInSilence, "gradients", "declares constant_in_gradient='', but takes"),
    (DeclaresAConstantThatIsNone, "gradients", "takes nothing through self.stop_gradient"),
    (WeightsWithoutGradient, "gradients", "are not those of finite differences"),
    (SkipsWithoutGradient, "gradients", "are not those of finite differences"),
    (SavesItsStatistics, "second_gradients", "gradients of gradients"),
]
