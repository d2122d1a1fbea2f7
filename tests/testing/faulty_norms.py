"""Norms with a planted fault each, by the check of the contract that has to catch it; and right ones, in the shape of a stranger's."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from normlib.norms.base import Norm
from normlib.norms.batch import BatchNorm
from normlib.norms.batch_renorm import BatchRenorm
from normlib.norms.group import GroupNorm
from normlib.norms.skipinit import SkipInit


def standardize(x, axes, eps, mean=None, var=None):
    mean = x.mean(axes, keepdim=True) if mean is None else mean
    var = x.var(axes, correction=0, keepdim=True) if var is None else var
    return (x - mean) / (var + eps).sqrt()


def axes_of_a_sample(x):
    return list(range(1, x.dim()))


class Plain(Norm):
    """A right norm in a few lines, as a stranger would write it."""

    def normalize(self, x):
        self.require_several_values(x[0].numel(), x, "a sample", "give it more channels")
        return standardize(x, axes_of_a_sample(x), self.eps)


class Averages(Norm):
    """A right norm with running statistics, likewise."""

    depends_on_batch = True
    buffer_count = "2C+1"
    momentum = 0.1

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def transform(self, x, guarded):
        axes, per_channel = [0, *range(2, x.dim())], (1, -1) + (1,) * (x.dim() - 2)
        moves, by_batch = self.moves_running_statistics, self.uses_batch_statistics
        if moves or by_batch:
            self.require_several_values(x.numel() // x.shape[1], x, "the batch", "use more samples")
        mean, var = (getattr(self, name).view(per_channel).to(x.dtype) for name in ("running_mean", "running_var"))
        if by_batch:
            mean, var = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
        y = self.scale_and_shift(standardize(x, axes, self.eps, mean, var))
        if moves:
            self.move(x.detach().mean(axes), x.detach().var(axes, correction=0), guarded)
        return y

    def move(self, mean, var, guarded):
        self.move_running_statistics({"running_mean": mean, "running_var": var}, self.momentum, guarded)


class Centres(nn.Module):
    """Right weights: each output's less their mean, over their deviation."""

    def forward(self, weight):
        rows = weight.flatten(1).float() if weight.dtype in (torch.float16, torch.bfloat16) else weight.flatten(1)
        return self.of_rows(rows).view_as(weight).to(weight.dtype)

    def of_rows(self, rows):
        return standardize(rows, [1], 1e-5)


class OnWeights(Norm):
    """A right method on weights."""

    slot = "weight"
    parameter_count = "0"
    exceptions = {"pickle": "torch pickles no parametrized layer"}
    function: Any = Centres

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, affine=False, channel_dim=channel_dim)

    def enter(self, place):
        parametrize.register_parametrization(place.ahead, "weight", self.function())

    def normalize(self, x):
        return x


class WholeSite(Plain):
    """A right norm with an activation of its own."""

    slot = "site"

    def __init__(self, num_features, activate=True, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.activate = activate

    def transform(self, x, guarded):
        y = super().transform(x, guarded)
        return y * y.sigmoid() if self.activate else y


RIGHT = (Plain, Averages, OnWeights, WholeSite)


# ---- declarations ----------------------------------------------------------------------------------------------------


class ExcusesAnUnknownCheck(Plain):
    exceptions = {"gradient": "there is no such check"}


class ExcusesWithoutAReason(Plain):
    exceptions = {"gradients": " "}


class HasASlotOfItsOwn(Plain):
    slot = "middle"  # type: ignore[assignment]


class CountsInWords(Plain):
    parameter_count = "two per channel"


class CountsOneTooFew(Averages):
    buffer_count = "2C"


class CountsForOneWidth(Plain):
    parameter_count = "32"


class StartsAtTwo(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        nn.init.constant_(self.weight, 2.0)


class DrawsWhenBuilt(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        torch.randn(3)


class DrawsWhenUsed(Plain):
    def normalize(self, x):
        return super().normalize(x) + 0 * torch.rand(())


class LeaksAcrossSamples(BatchNorm):
    depends_on_batch = False


class DeclaresTheWrongInvariance(Plain):
    invariances = frozenset({"sample_scale", "channel_scale"})


class TakesTheVarianceForTheDeviation(BatchRenorm):
    """What it averages in running_std is the variance."""

    def transform(self, x, guarded):
        before = self.running_std.clone()
        y = super().transform(x, guarded)
        if self.moves_running_statistics:
            var = x.detach().transpose(0, 1).flatten(1).var(1, correction=0)
            self.running_std.copy_(before.lerp(var.to(before.dtype), self.momentum))
        return y


class AveragesTheVariance(BatchRenorm):
    """What it averages is the variance, of which running_std then is the root: more than the average deviation."""

    def transform(self, x, guarded):
        before = self.running_std.clone()
        y = super().transform(x, guarded)
        if self.moves_running_statistics:
            var = x.detach().transpose(0, 1).flatten(1).var(1, correction=0) + self.eps
            self.running_std.copy_(before.square().lerp(var.to(before.dtype), self.momentum).sqrt())
        return y


class TakesMomentumForTheOldValue(Averages):
    def move(self, mean, var, guarded):
        self.move_running_statistics({"running_mean": mean, "running_var": var}, 1 - self.momentum, guarded)


# ---- shapes and layouts ----------------------------------------------------------------------------------------------


class SqueezesOnePosition(Plain):
    def forward(self, x, mask=None):
        return super().forward(x, mask).squeeze(-1).flatten(1)


class TakesAnyWidth(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.weight = self.bias = None

    def check_shape(self, x):
        pass


class ActivatesAlways(Plain):
    slot = "site"


class CentresImages(Centres):
    def forward(self, weight):
        return weight - weight.mean((1, 2, 3), keepdim=True)


class FitsConvolutionsOverImages(OnWeights):
    function = CentresImages


class IgnoresWhereTheChannelsAre(Plain):
    def forward(self, x, mask=None):
        return standardize(x, [2] if x.dim() > 2 else [1], self.eps)


class ReadsAValue(Plain):
    def normalize(self, x):
        return super().normalize(x) if float(x.detach().abs().max()) > 0 else x


class CountsEmptyBatches(BatchNorm):
    def forward(self, x, mask=None):
        if self.moves_running_statistics:
            self.num_batches_tracked.add_(1)
        return super().forward(x, mask)


class ReturnsZeroForOneValue(GroupNorm):
    def require_several_values(self, count, x, over, fix, outcome=""):
        pass


class DividesANumberByItself(Norm):
    def normalize(self, x):
        return x / (x.square().mean(axes_of_a_sample(x), keepdim=True) + self.eps).sqrt()


class DropsTheMemoryFormat(Plain):
    def forward(self, x, mask=None):
        return super().forward(x, mask).contiguous()


class AddsUpInTheOrderOfMemory(Plain):
    """Pairs what lies side by side in memory, whatever that is."""

    def normalize(self, x):
        axes = [1] if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) else axes_of_a_sample(x)
        return standardize(x, axes, self.eps)


# ---- precision -------------------------------------------------------------------------------------------------------


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
    def of_rows(self, rows):
        mean = rows.mean(1, keepdim=True)
        var = (rows.square().mean(1, keepdim=True) - mean.square()).clamp(min=0)
        return standardize(rows, [1], 1e-5, mean, var)


class WeightsInSquares(OnWeights):
    function = CentresInSquares


class CentresInHalf(Centres):
    def forward(self, weight):
        return self.of_rows(weight.flatten(1)).view_as(weight)

    def of_rows(self, rows):
        mean = rows.mean(1, keepdim=True)
        return (rows - mean) / ((rows - mean).square().mean(1, keepdim=True) + 1e-5).sqrt()


class WeightsInHalf(OnWeights):
    function = CentresInHalf


class CentresUnderAutocast(Centres):
    def of_rows(self, rows):
        return super().of_rows(rows @ torch.eye(rows.shape[1], dtype=rows.dtype))


class WeightsUnderAutocast(OnWeights):
    function = CentresUnderAutocast


# ---- gradients -------------------------------------------------------------------------------------------------------


class StopsTheGradientOfTheMean(Norm):
    def normalize(self, x):
        axes = axes_of_a_sample(x)
        return standardize(
            x, axes, self.eps, x.detach().mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
        )


class HoldsInSilence(Norm):
    def normalize(self, x):
        axes = axes_of_a_sample(x)
        return standardize(x, axes, self.eps, self.held_constant(x.mean(axes, keepdim=True)))


class DeclaresAConstantThatIsNone(Plain):
    constant_in_gradient = "the mean"


class StopsTheGradientOfLargeInputs(Plain):
    def normalize(self, x):
        return super().normalize(x.detach() if x.numel() >= 2**16 else x)


class CentresOnce(Centres):
    def of_rows(self, rows):
        return super().of_rows(rows.detach()) + 0 * rows


class WeightsWithoutGradient(OnWeights):
    function = CentresOnce


class SkipsWithoutGradient(SkipInit):
    def transform(self, x, guarded):
        return super().transform(x.detach(), guarded) + 0 * x


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


# ---- modes and state -------------------------------------------------------------------------------------------------


class MovesInEvalMode(BatchNorm):
    def transform(self, x, guarded):
        self.num_batches_tracked.add_(1)
        return super().transform(x, guarded)


class MovesAllTheSame(Averages):
    @property
    def moves_running_statistics(self):
        return self.training


class NeverMoves(Averages):
    def move(self, mean, var, guarded):
        pass


class ThawsOnTrain(BatchNorm):
    def train(self, mode=True):
        if mode:
            self.unfreeze()
        return super().train(mode)


class TrainsWhileFrozen(Plain):
    def train_affine(self, train=True):
        pass


class KeepsThePoison(BatchNorm):
    def transform(self, x, guarded):
        return super().transform(x, False)


class ForgetsItsAverages(Averages):
    buffer_count = "C+1"

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("running_mean", torch.zeros(num_features), persistent=False)


class KeepsStateInPython(BatchNorm):
    def transform(self, x, guarded):
        self.seen = getattr(self, "seen", 0) + 1
        return super().transform(x, guarded) * self.seen


class SharesItsStateWithCopies(Averages):
    def __deepcopy__(self, memo):
        copied = type(self)(self.num_features)
        copied.load_state_dict(self.state_dict())
        copied.running_mean = self.running_mean
        return copied


class KeepsALambda(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.root = lambda x: x.sqrt()


class ClockIsNotSaved(Plain):
    """Grows by a tenth with each step that it has seen; a copy takes the clock along, a state_dict does not."""

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.register_buffer("clock", torch.tensor(0.0), persistent=False)

    def normalize(self, x):
        if self.training:
            self.clock.add_(0.1)
        return super().normalize(x) * (1 + self.clock)


# ---- masks -----------------------------------------------------------------------------------------------------------


class TakesAMaskWithoutSayingSo(Plain):
    def forward(self, x, mask=None):
        return super().forward(x)


class IgnoresItsMask(Plain):
    takes_mask = True

    def forward(self, x, mask=None):
        return super().forward(x)


class CountsThePaddingAsZeros(Plain):
    takes_mask = True

    def transform_masked(self, x, mask, guarded):
        return self.transform(x, guarded)


class LooksIntoThePadding(CountsThePaddingAsZeros):
    def forward(self, x, mask=None):
        y = super().forward(x, mask)
        return y if mask is None else torch.where(mask.unsqueeze(1), y + x.detach()[:, :, -1:], y)


class AveragesThePadding(Averages):
    """Normalizes as it should, but its running mean takes the padding in."""

    takes_mask = True

    def transform_masked(self, x, mask, guarded):
        if not self.training:
            return self.transform(x, guarded)
        axes, count = [0, *range(2, x.dim())], mask.sum()
        mean = (x * mask).sum(axes, keepdim=True) / count
        var = ((x - mean).square() * mask).sum(axes, keepdim=True) / count
        self.move(x.detach().mean(axes), var.detach().flatten(), guarded)
        return self.scale_and_shift(standardize(x, axes, self.eps, mean, var))


# ---- torch's transformations -----------------------------------------------------------------------------------------


class KeepsItsClockInPython(Plain):
    step = 0

    def normalize(self, x):
        self.step += 1
        return super().normalize(x) * (1 + 0.1 * self.step)


class BreaksTheGraph(Plain):
    def normalize(self, x):
        torch._dynamo.graph_break()
        return super().normalize(x)


class AsksItsClock(Averages):
    def transform(self, x, guarded):
        return super().transform(x, guarded) * (1.0 if self.num_batches_tracked.item() >= 0 else 2.0)


class MovesItsOwnState(Averages):
    """Moves the buffers that it was built with, not those that it is given."""

    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        self.statistics_kept = [self.running_mean, self.running_var]

    def move(self, mean, var, guarded):
        for kept, new in zip(self.statistics_kept, (mean, var)):
            kept.lerp_(new, self.momentum)


class AsksForTheBatchSize(Plain):
    def normalize(self, x):
        return super().normalize(x) * (1 if x.shape[0] == 6 else 2)


FAULTS = [
    (ExcusesAnUnknownCheck, "declarations", "no check is named 'gradient'; did you mean 'gradients'"),
    (ExcusesWithoutAReason, "declarations", "needs a reason"),
    (HasASlotOfItsOwn, "declarations", "slot is one of norm, site, weight, branch, got 'middle'"),
    (CountsInWords, "declarations", "got 'two per channel'"),
    (CountsOneTooFew, "counts", "buffer_count='2C', which is 32 at C=16, but has 33"),
    (CountsForOneWidth, "counts", "parameter_count='32', which is 32 at C=48, but has 96"),
    (StartsAtTwo, "start", "weight starts at 1, got values from 2 to 2"),
    (DrawsWhenBuilt, "random_numbers", "building the norm draws"),
    (DrawsWhenUsed, "random_numbers", "using the norm draws"),
    (LeaksAcrossSamples, "dependence", "output changes with its batch"),
    (DeclaresTheWrongInvariance, "invariances", "declares the invariances channel_scale, but"),
    (TakesTheVarianceForTheDeviation, "running_averages", "running_std took .* from a batch where"),
    (AveragesTheVariance, "running_averages", "running_std is no average"),
    (TakesMomentumForTheOldValue, "running_averages", "momentum=0.1"),
    (SqueezesOnePosition, "shapes", "became"),
    (TakesAnyWidth, "shapes", "is accepted by a norm for 16 channels"),
    (ActivatesAlways, "shapes", "unexpected keyword argument 'activate'"),
    (FitsConvolutionsOverImages, "network", "Dimension out of range"),
    (IgnoresWhereTheChannelsAre, "channels_last", "channel_dim=-1 against channel_dim=1"),
    (ReadsAValue, "meta", "cannot be called on meta tensors"),
    (CountsEmptyBatches, "empty", "an empty batch changes the state"),
    (ReturnsZeroForOneValue, "degenerate", "comes out as zero"),
    (DividesANumberByItself, "one_number", "a statistic of one value"),
    (DropsTheMemoryFormat, "memory_formats", "channels_last strides"),
    (AddsUpInTheOrderOfMemory, "memory_formats", "channels_last against contiguous"),
    (SquaresFirst, "precision", "mean 1000, spread 0.01"),
    (WeightsInSquares, "precision", "weights of mean 1000, spread 0.01"),
    (StatisticsInHalf, "half", "float16"),
    (WeightsInHalf, "half", "weights in torch.float16"),
    (MultipliesUnderAutocast, "autocast", "under autocast"),
    (WeightsUnderAutocast, "autocast", "under autocast"),
    (StopsTheGradientOfTheMean, "gradients", "are not those of finite differences"),
    (StopsTheGradientOfLargeInputs, "gradients", r"\(large, training\)"),
    (HoldsInSilence, "gradients", "declares constant_in_gradient='', but takes"),
    (DeclaresAConstantThatIsNone, "gradients", "takes nothing through self.held_constant"),
    (WeightsWithoutGradient, "gradients", "are not those of finite differences"),
    (SkipsWithoutGradient, "gradients", "are not those of finite differences"),
    (SavesItsStatistics, "second_gradients", "gradients of gradients"),
    (MovesInEvalMode, "modes", "changes in eval mode"),
    (MovesAllTheSame, "modes", "although update_running is False"),
    (NeverMoves, "modes", "stay put in training"),
    (ThawsOnTrain, "frozen", "changes its state after train"),
    (TrainsWhileFrozen, "frozen", "still trained"),
    (KeepsThePoison, "non_finite", "a batch with inf changes the state"),
    (TakesAMaskWithoutSayingSo, "mask", "takes a mask although takes_mask is False"),
    (IgnoresItsMask, "mask", "padding does not come out as zeros"),
    (CountsThePaddingAsZeros, "mask", "twice as much padding: off by"),
    (LooksIntoThePadding, "mask", "in the padding changes the output"),
    (AveragesThePadding, "mask", ": running_mean: off by"),
    (ForgetsItsAverages, "state_dict", "does not go on bit by bit"),
    (KeepsStateInPython, "state_dict", "does not go on bit by bit"),
    (SharesItsStateWithCopies, "deepcopy", "changes what it was copied from"),
    (KeepsALambda, "pickle", "Can.t pickle"),
    (ClockIsNotSaved, "resume", "in buffers that are saved"),
    (KeepsItsClockInPython, "compile", "Detected recompile"),
    (BreaksTheGraph, "compile", "graph_break"),
    (AsksItsClock, "vmap", "data-dependent control flow"),
    (MovesItsOwnState, "functional_call", "changes the norm's own state"),
    (AsksForTheBatchSize, "export", "specialized it to be a constant"),
]
"""Each faulty norm, the check that has to catch it, and words of the message."""
