"""Checks the batches: a pure function of seed and epoch, epochs as permutations, chunks without effect, augmentation by loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from normlib.training.batches import BatchHasher, BatchPlan, Chunk, EpochChunks, augment

FULL = BatchPlan(seed=0, num_train=50, batch_size=8, total_steps=15, flip=True, crop=2)  # 6 steps an epoch: 6 + 6 + 3


def same(one: Chunk, other: Chunk) -> bool:
    return all((a is None and b is None) or torch.equal(a, b) for a, b in zip(one, other, strict=True))


def steps_of(plan: BatchPlan, steps_per_chunk: int) -> list[Chunk]:
    """All steps of a plan, one by one, handed over in chunks."""
    chunks = (chunk for epoch in range(plan.num_epochs) for chunk in EpochChunks(plan, epoch, steps_per_chunk))
    return [
        Chunk(*(None if part is None else part[step] for part in chunk))
        for chunk in chunks
        for step in range(len(chunk.indices))
    ]


def digests(plan: BatchPlan, steps_per_chunk: int, stop_after: int | None = None) -> list[str]:
    """The hashes of a plan fed through, or of its first steps."""
    hasher, fed = BatchHasher(), 0
    for epoch in range(plan.num_epochs):
        if fed == stop_after:
            break
        hasher.start_epoch()
        for chunk in EpochChunks(plan, epoch, steps_per_chunk):
            for step in range(len(chunk.indices)):
                if fed != stop_after:
                    hasher.feed(Chunk(*(None if part is None else part[step] for part in chunk)))
                    fed += 1
    return hasher.digests(stopped_early=stop_after is not None)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}])
def test_an_epoch_follows_from_seed_and_epoch_alone(changed: dict[str, int]) -> None:
    torch.manual_seed(1)
    first = FULL.epoch(0)
    torch.manual_seed(2)
    torch.rand(5)
    assert same(first, BatchPlan(0, 50, 8, 15, True, 2).epoch(0))
    other = BatchPlan(changed.get("seed", 0), 50, 8, 15, True, 2).epoch(changed.get("epoch", 0))
    assert all(not torch.equal(a, b) for a, b in zip(first, other))


def test_planning_draws_no_global_random_numbers() -> None:
    before = torch.get_rng_state()
    FULL.epoch(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_does_not_depend_on_augmentation() -> None:
    plain = BatchPlan(0, 50, 8, 15).epoch(1)
    assert torch.equal(plain.indices, FULL.epoch(1).indices)
    assert plain.flips is None
    assert plain.shifts is None


@pytest.mark.parametrize("batch_size", [1, 7, 8, 25, 50])
def test_an_epoch_is_a_permutation_without_its_incomplete_last_batch(batch_size: int) -> None:
    plan = BatchPlan(3, 50, batch_size, total_steps=2 * (50 // batch_size))
    for epoch in range(2):
        indices = plan.epoch(epoch).indices
        assert indices.shape == (50 // batch_size, batch_size)
        drawn = indices.flatten().tolist()
        assert len(set(drawn)) == len(drawn)
        assert set(drawn) <= set(range(50))
    assert plan.num_epochs == 2


def test_the_budget_cuts_the_last_epoch_short() -> None:
    assert (FULL.steps_per_epoch, FULL.num_epochs) == (6, 3)
    assert [len(FULL.epoch(epoch).indices) for epoch in range(3)] == [6, 6, 3]
    whole = BatchPlan(0, 50, 8, 18, True, 2).epoch(2)
    assert torch.equal(FULL.epoch(2).indices, whole.indices[:3]), "the shorter run is a prefix of the longer"


@pytest.mark.parametrize("batch_size", [5, 10])
def test_larger_batches_go_through_the_samples_in_the_same_order(batch_size: int) -> None:
    indices = BatchPlan(0, 50, batch_size, total_steps=50 // batch_size).epoch(0).indices
    assert torch.equal(indices.flatten(), BatchPlan(0, 50, 1, total_steps=50).epoch(0).indices.flatten())


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [0, 2])
@pytest.mark.parametrize("steps_per_chunk", [4, 6, 50])
def test_chunks_change_neither_the_order_nor_the_hashes(steps_per_chunk: int, flip: bool, crop: int) -> None:
    plan = BatchPlan(0, 50, 8, 15, flip, crop)
    assert all(map(same, steps_of(plan, steps_per_chunk), steps_of(plan, 1)))
    assert len(steps_of(plan, steps_per_chunk)) == 15
    assert digests(plan, steps_per_chunk) == digests(plan, 1)
    chunks = EpochChunks(plan, 0, steps_per_chunk)
    assert len(chunks) == len(list(chunks)) == -(-6 // steps_per_chunk)
    assert same(chunks[0], next(iter(chunks)))


def test_hashes_tell_every_difference() -> None:
    plans = [FULL, *(BatchPlan(*arguments) for arguments in (
        (1, 50, 8, 15, True, 2), (0, 51, 8, 15, True, 2), (0, 50, 7, 15, True, 2), (0, 50, 8, 15, False, 2), (0, 50, 8, 15, True, 1),
    ))]  # fmt: skip
    for epoch in range(2):
        assert len({digests(plan, 50)[epoch] for plan in plans}) == len(plans)


@pytest.mark.parametrize("stop_after", [1, 6, 8, 14])
def test_hashes_of_a_run_that_stopped_early_are_a_prefix(stop_after: int) -> None:
    whole, stopped = digests(FULL, 4), digests(FULL, 4, stop_after)
    assert stopped == whole[: len(stopped)]
    assert len(stopped) == (stop_after - 1) // 6, "an epoch that was not fed to its end has no hash"


def augmented_by_loops(inputs: Tensor, flips: Tensor, shifts: Tensor, crop: int) -> Tensor:
    """Pixel by pixel: mirror, put zeros around, cut out."""
    out = torch.zeros_like(inputs)
    count, channels, height, width = inputs.shape
    for n in range(count):
        for c in range(channels):
            for row in range(height):
                for column in range(width):
                    y, x = row + int(shifts[n, 0]) - crop, column + int(shifts[n, 1]) - crop
                    if 0 <= y < height and 0 <= x < width:
                        out[n, c, row, column] = inputs[n, c, y, width - 1 - x if flips[n] else x]
    return out


def test_augmentation_is_that_of_loops_over_pixels() -> None:
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 2, 4, 5, generator=source)
    flips = torch.rand(12, generator=source) < 0.5
    for crop in (1, 3):
        shifts = torch.randint(2 * crop + 1, (12, 2), generator=source)
        shifts[0], shifts[1] = 0, 2 * crop  # the corners
        got = augment(inputs, flips, shifts, crop)
        assert torch.equal(got, augmented_by_loops(inputs, flips, shifts, crop))
        assert got.is_contiguous()
        assert torch.equal(augment(inputs, None, shifts, crop), augmented_by_loops(inputs, flips & False, shifts, crop))
    assert torch.equal(augment(inputs, flips, None, 0), augmented_by_loops(inputs, flips, torch.zeros(12, 2), 0))
    assert augment(inputs, None, None, 0) is inputs


def test_flips_and_shifts_cover_their_range() -> None:
    chunk = BatchPlan(0, 2000, 1000, 2, flip=True, crop=2).epoch(0)
    assert chunk.flips is not None
    assert chunk.shifts is not None
    assert abs(float(chunk.flips.float().mean()) - 0.5) < 0.05  # 2,000 draws: a deviation of 0.011, times 4.5
    assert set(chunk.shifts.flatten().tolist()) == set(range(5))
