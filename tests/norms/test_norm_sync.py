"""Batch statistics over several processes are those of one large batch, whatever each process has of it."""

from __future__ import annotations

import time

import pytest
import torch
import torch.multiprocessing
from torch import nn

from normlib.testing import require_close
from tests.norms import synchronized_processes as processes

ROUNDING = 1e-11  # of float64: sums of tens of values of order one in another order


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    started = torch.multiprocessing.spawn(processes.run, (str(folder),), nprocs=processes.PROCESSES, join=False)
    deadline = time.monotonic() + 200
    while not started.join(timeout=1):
        if time.monotonic() > deadline:
            for process in started.processes:
                process.kill()
            pytest.fail("the processes are still waiting for each other")
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes.PROCESSES)]


@pytest.mark.parametrize(("name", "shares", "positions", "masked"), processes.CASES, ids=str)
def test_two_processes_are_one_large_batch(found, name, shares, positions, masked) -> None:
    alone = processes.train(processes.build(name), positions, masked, slice(None))
    shared = [each[name, shares, positions, masked] for each in found]
    for what in ("outputs", "gradients"):
        for step in range(processes.STEPS):
            require_close(torch.cat([each[what][step] for each in shared]), alone[what][step], ROUNDING, what)
    for key, gradient in alone["parameters"].items():
        require_close(
            sum(each["parameters"][key] for each in shared), gradient, ROUNDING, f"gradients of {key}, summed"
        )
    for each in shared:
        assert each["state"].keys() == alone["state"].keys()
        for key, value in alone["state"].items():
            require_close(each["state"][key], value, ROUNDING, key)


def test_one_value_of_all_processes_is_refused_by_every_process(found) -> None:
    for each in found:
        for name, message in each["refused"].items():
            assert "over the samples and positions of all processes, but for some there is only one" in message, name


def test_infinity_in_one_process_enters_no_running_statistics_anywhere(found) -> None:
    for each in found:
        assert each["poisoned"]["num_batches_tracked"] == 0
        assert each["poisoned"]["running_mean"].eq(0).all()


@pytest.mark.parametrize("name", processes.NORMS)
def test_without_other_processes_sync_changes_nothing(name) -> None:
    for masked in (False, True):
        one, other = (
            processes.train(processes.build(name, sync=sync), (), masked, slice(None)) for sync in (True, False)
        )
        assert torch.equal(one["outputs"][-1], other["outputs"][-1])
        assert torch.equal(one["gradients"][-1], other["gradients"][-1])


@pytest.mark.parametrize("name", processes.NORMS)
def test_sync_and_groups_of_samples_exclude_each_other(name) -> None:
    norm = processes.build(name, sync=True)
    norm.norm_batch_size = 4
    x, _, mask = processes.whole_batch(0, ())
    for arguments in ((x,), (x, mask), (x[:0],)):
        with pytest.raises(ValueError, match=r"sync=True takes .* norm_batch_size=4 over groups .* leave one out"):
            norm(*arguments)
    norm.eval()(x)  # at inference there are no groups


def test_what_torch_converts_to_its_own_layer_loses_the_settings_of_ours() -> None:
    """As the docstring of batch norm says: torch asks for a subclass of its batch norm, and ours is one."""
    norm = processes.build("batch", guard=True)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(norm))[0]
    assert type(converted) is nn.SyncBatchNorm
    assert not hasattr(converted, "guard")
    assert converted.weight is norm.weight
    x, _, _ = processes.whole_batch(0, ())
    require_close(converted.eval()(x), norm.eval()(x), ROUNDING, "in eval mode")
