"""Every registered norm passes the contract; every check of the contract catches a norm with a planted fault."""

from __future__ import annotations

import pytest
import torch

from normlib.norms import names, norms
from normlib.norms.base import Norm
from normlib.norms.batch import BatchNorm
from normlib.norms.group import GroupNorm
from normlib.testing import CHECKS, ContractError, check_norm, findings

VARIANTS = {
    "batch": [{"momentum": None}, {"affine": False}, {"guard": True}],
    "batch_renorm": [
        {"schedule": None},
        {"schedule": "fraction"},
        {"affine": False, "schedule": None},
        {"guard": True},
    ],
    "group": [{"num_groups": 2}, {"group_size": 4}, {"affine": False}],
    "instance": [{"track_running_stats": True}, {"affine": False}],
    "layer": [{"scope": "position"}, {"affine": False}, {"scope": "position", "affine": False}],
}
CASES = [(name, settings) for name in names() for settings in [{}, *VARIANTS.get(name, [])]]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_norm_keeps_its_promise(check: str, name: str, settings: dict[str, object]) -> None:
    CHECKS[check](name, **settings)


def test_the_whole_contract_runs_in_one_call() -> None:
    found = check_norm("group", num_groups=4)
    assert [finding.check for finding in found] == list(CHECKS)
    assert all(finding.status == "ok" for finding in found)


def test_a_norm_is_a_file_of_its_own_name() -> None:
    for name in names():
        assert norms[name].cls.__module__ in (f"normlib.norms.{name}",) or not norms[name].cls.__module__.startswith(
            "normlib."
        )


# ---- planted faults: each check has one that it alone need not catch, but has to ------------------------------------


class Plain(Norm):
    """A right norm in six lines, as a stranger would write it."""

    def normalize(self, x):
        axes = list(range(1, x.dim()))
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / (x.var(axes, correction=0, keepdim=True) + self.eps).sqrt()


class SqueezesOnePosition(Plain):
    def forward(self, x):
        return super().forward(x).squeeze(-1).flatten(1)


class StartsAtTwo(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        torch.nn.init.constant_(self.weight, 2.0)


class DrawsRandomNumbers(Plain):
    def __init__(self, num_features, channel_dim=1):
        super().__init__(num_features, channel_dim=channel_dim)
        torch.randn(3)


class StopsTheGradientOfTheMean(Norm):
    def normalize(self, x):
        axes = list(range(1, x.dim()))
        return (x - x.mean(axes, keepdim=True).detach()) / (x.var(axes, correction=0, keepdim=True) + self.eps).sqrt()


class SquaresFirst(Norm):
    def normalize(self, x):
        axes = list(range(1, x.dim()))
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / (x.square().mean(axes, keepdim=True) - mean.square()).clamp(min=0).add(self.eps).sqrt()


class StatisticsInHalf(Plain):
    def forward(self, x):
        mean = x.mean(list(range(1, x.dim())), keepdim=True)
        var = (x - mean).square().mean(list(range(1, x.dim())), keepdim=True)
        return (x - mean) / (var + self.eps).sqrt()


class DropsTheMemoryFormat(Plain):
    def forward(self, x):
        return super().forward(x).contiguous()


class MovesInEvalMode(BatchNorm):
    def transform(self, x, guarded):
        self.num_batches_tracked.add_(1)
        return super().transform(x, guarded)


class ThawsOnTrain(BatchNorm):
    def train(self, mode=True):
        if mode:
            self.unfreeze()
        return super().train(mode)


class KeepsStateInPython(BatchNorm):
    def transform(self, x, guarded):
        self.seen = getattr(self, "seen", 0) + 1
        return super().transform(x, guarded) * self.seen


class ReturnsZeroForOneValue(GroupNorm):
    def require_several_values(self, count, x, over, fix):
        pass


class LeaksAcrossSamples(BatchNorm):
    depends_on_batch = False


class ReadsAValue(Plain):
    def normalize(self, x):
        return super().normalize(x) if float(x.detach().abs().max()) > 0 else x


class KeepsThePoison(BatchNorm):
    def transform(self, x, guarded):
        return super().transform(x, False)


FAULTS = {
    SqueezesOnePosition: "shapes",
    StartsAtTwo: "parameters",
    DrawsRandomNumbers: "parameters",
    StopsTheGradientOfTheMean: "gradients",
    SquaresFirst: "precision",
    StatisticsInHalf: "dtypes",
    DropsTheMemoryFormat: "memory_formats",
    MovesInEvalMode: "modes",
    ThawsOnTrain: "modes",
    KeepsStateInPython: "state",
    ReturnsZeroForOneValue: "degenerate",
    LeaksAcrossSamples: "dependence",
    ReadsAValue: "meta",
    KeepsThePoison: "non_finite",
}


def test_every_check_has_a_planted_fault() -> None:
    assert set(FAULTS.values()) == set(CHECKS)


@pytest.mark.parametrize(("faulty", "check"), FAULTS.items(), ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_fault_is_caught(faulty: type[Norm], check: str) -> None:
    caught = {finding.check: finding for finding in findings(faulty) if finding.status == "FAILED"}
    assert check in caught, f"caught only {list(caught)}"
    with pytest.raises(ContractError, match=f"FAILED   {check}: "):
        check_norm(faulty)


def test_a_norm_of_one_method_passes() -> None:
    check_norm(Plain)
