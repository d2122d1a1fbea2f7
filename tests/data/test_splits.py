"""Checks the splits: disjoint, stratified, fixed by `split_seed`, a test set of its own never mixed in, standardized by train alone."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from normlib.data.dataset import DataError, Dataset, Samples
from normlib.data.digits import Digits
from normlib.data.splits import content_hash, load_splits, stratified_split

SPLITS = ("train", "validation", "test")


def class_counts(targets: Tensor, num_classes: int) -> Tensor:
    return torch.bincount(targets, minlength=num_classes).double()


def random_targets(count: int, num_classes: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, num_classes, count))


def images(splits: dict[str, Samples]) -> list[bytes]:
    """Every sample of every split as bytes, to be told apart."""
    return [sample.numpy().tobytes() for name in SPLITS for sample in splits[name].inputs]


@pytest.fixture(scope="module")
def digits() -> dict[str, Samples]:
    return load_splits(Digits(), 0, Path("unused"))


def test_digits_have_their_sizes_and_lose_nothing(digits: dict[str, Samples]) -> None:
    assert {name: len(part) for name, part in digits.items()} == Digits.sizes
    assert sum(Digits.sizes.values()) == 1797
    assert all(part.inputs.shape[1:] == Digits.input_shape for part in digits.values())
    everything = Digits().load(Path("unused"))["all"]
    assert len(set(images(digits))) == len({sample.numpy().tobytes() for sample in everything.inputs})


def test_every_split_of_the_digits_has_each_class_within_one_of_its_proportion(digits: dict[str, Samples]) -> None:
    whole = class_counts(torch.cat([part.targets for part in digits.values()]), 10)
    for part in digits.values():
        assert (class_counts(part.targets, 10) - whole * len(part) / whole.sum()).abs().max() < 1


def off_proportion(targets: Tensor, parts: list[Tensor]) -> float:
    """How far a class's number is at most from its share of what earlier parts left."""
    worst, left = 0.0, torch.ones(len(targets), dtype=torch.bool)
    for part in parts:
        remaining = class_counts(targets[left], 10)
        share = remaining * len(part) / remaining.sum()
        worst = max(worst, float((class_counts(targets[part], 10) - share).abs().max()))
        left[part] = False
    return worst


@pytest.mark.parametrize("seed", range(5))
def test_a_split_is_stratified_and_disjoint_whatever_the_classes(seed: int) -> None:
    targets = random_targets(200, 10, seed)
    parts = stratified_split(targets, [101, 47, 52], seed)
    assert [len(part) for part in parts] == [101, 47, 52]
    assert sorted(torch.cat(parts).tolist()) == list(range(200))
    assert off_proportion(targets, parts) < 1


def test_planted_split_without_strata_is_found() -> None:
    targets = random_targets(200, 10)
    assert off_proportion(targets, list(torch.arange(200).split([101, 47, 52]))) > 1


def test_the_split_seed_fixes_the_splits_and_another_changes_them(digits: dict[str, Samples]) -> None:
    again, other = load_splits(Digits(), 0, Path("unused")), load_splits(Digits(), 1, Path("unused"))
    assert content_hash(again) == content_hash(digits)
    for name in SPLITS:
        assert not torch.equal(other[name].inputs, digits[name].inputs)
        assert len(other[name]) == len(digits[name])


def test_splitting_draws_no_global_random_numbers() -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the state itself is checked
    stratified_split(random_targets(50, 3), [20, 20], 0)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_splits_larger_than_the_data_are_refused() -> None:
    with pytest.raises(DataError, match="the splits together need 60 samples, but the data have 50; make them smaller"):
        stratified_split(random_targets(50, 3), [30, 20, 10], 0)


class OwnTestSet(Dataset):
    """A dataset with a test set of its own, whose values lie far from the others."""

    input_shape: ClassVar = (2, 3, 3)
    num_classes: ClassVar = 3
    sizes: ClassVar = {"train": 30, "validation": 12, "test": 9}
    version: ClassVar = "1"

    def load(self, data_dir: Path) -> dict[str, Samples]:
        source = torch.Generator().manual_seed(0)
        inputs = torch.rand(42, 2, 3, 3, generator=source) * torch.tensor([1.0, 20.0]).view(2, 1, 1)
        return {
            "train": Samples(inputs, torch.arange(42) % 3),
            "test": Samples(1000 + torch.arange(9.0).view(9, 1, 1, 1).expand(9, 2, 3, 3), torch.arange(9) % 3),
        }


@pytest.mark.parametrize("split_seed", [0, 1])
def test_a_test_set_of_its_own_is_kept_whole_and_in_order(split_seed: int) -> None:
    splits = load_splits(OwnTestSet(), split_seed, Path("unused"))
    assert {name: len(part) for name, part in splits.items()} == OwnTestSet.sizes
    assert torch.equal(splits["test"].targets, torch.arange(9) % 3)
    steps = splits["test"].inputs[1:] - splits["test"].inputs[:-1]
    assert (steps > 0).all(), "in the order in which it came"
    assert splits["test"].inputs.min() > max(splits[name].inputs.max() for name in ("train", "validation"))
    assert len(set(images(splits))) == 51


def test_inputs_are_standardized_per_channel_by_the_training_split_alone() -> None:
    data = OwnTestSet()
    splits, raw = load_splits(data, 0, Path("unused")), data.load(Path("unused"))
    train = splits["train"].inputs.double()
    # Float32 holds the standardized values, of size one, to 6e-8 each.
    assert train.mean((0, 2, 3)).abs().max() < 1e-6
    assert (train.std((0, 2, 3)) - 1).abs().max() < 1e-6
    chosen, _ = stratified_split(raw["train"].targets, [30, 12], 0)
    unscaled = raw["train"].inputs[chosen].double()
    mean, deviation = unscaled.mean((0, 2, 3), keepdim=True), unscaled.std((0, 2, 3), keepdim=True)
    expected = (raw["test"].inputs.double() - mean) / deviation  # values up to 3,500, in float32 to 6e-8 of their size
    assert torch.allclose(splits["test"].inputs.double(), expected, rtol=1e-6, atol=0)
    assert splits["validation"].inputs.double().mean((0, 2, 3)).abs().max() > 1e-3, "validation is not centred itself"


def test_targets_are_class_numbers_and_inputs_float32(digits: dict[str, Samples]) -> None:
    for part in digits.values():
        assert part.targets.dtype is torch.int64
        assert part.inputs.dtype is torch.float32


def test_a_constant_channel_stays_constant() -> None:
    class Constant(OwnTestSet):
        def load(self, data_dir: Path) -> dict[str, Samples]:
            return {"all": Samples(torch.full((60, 1, 2, 2), 0.1), torch.arange(60) % 3)}

    splits = load_splits(Constant(), 0, Path("unused"))
    assert all(not part.inputs.any() for part in splits.values())


def test_the_content_hash_sees_every_number_and_every_split() -> None:
    splits = load_splits(OwnTestSet(), 0, Path("unused"))
    reference = content_hash(splits)
    for name in SPLITS:
        changed = {key: Samples(part.inputs.clone(), part.targets.clone()) for key, part in splits.items()}
        changed[name].inputs[0, 0, 0, 0] += 1
        assert content_hash(changed) != reference
        changed = {key: Samples(part.inputs.clone(), part.targets.clone()) for key, part in splits.items()}
        changed[name].targets[0] = (changed[name].targets[0] + 1) % 3
        assert content_hash(changed) != reference
    assert content_hash(dict(reversed(splits.items()))) == reference
