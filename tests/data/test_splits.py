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


def test_the_digits_are_those_of_earlier_records(digits: dict[str, Samples]) -> None:
    """The hash was taken before token ids, targets of other kinds and streams came to the same code."""
    assert content_hash(digits) == "86a17df0072b435f"


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


def test_a_channel_that_is_constant_in_training_is_only_centred() -> None:
    class Constant(OwnTestSet):
        def load(self, data_dir: Path) -> dict[str, Samples]:
            parts = super().load(data_dir)
            parts["train"].inputs[:, 0] = 0.1
            parts["test"].inputs[:, 0] = 0.6
            return parts

    splits = load_splits(Constant(), 0, Path("unused"))
    assert not splits["train"].inputs[:, 0].any()
    assert torch.allclose(splits["test"].inputs[:, 0], torch.tensor(0.5)), "not blown up by a deviation of zero"


class Given(Dataset):
    """What `load` returns and what is declared are set by the test."""

    def __init__(self, parts: object, **facts: object) -> None:
        self.parts = parts
        self.input_shape, self.version, self.num_classes = (5,), "1", 3
        self.sizes = {"train": 6, "validation": 3, "test": 3}
        vars(self).update(facts)

    def load(self, data_dir: Path) -> dict[str, Samples]:
        return self.parts  # type: ignore[return-value]


INPUTS, TARGETS = torch.rand(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3


@pytest.mark.parametrize(
    ("shape", "dims"), [((7,), (0,)), ((3, 6), (0, 2)), ((3, 4, 5), (0, 2, 3)), ((2, 3, 4, 5), (0, 2, 3, 4))]
)
def test_inputs_of_any_rank_are_standardized_per_channel(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    source = torch.Generator().manual_seed(0)
    scale = 1 + torch.arange(shape[0]).double().view(-1, *[1] * (len(shape) - 1))
    inputs = (torch.randn(600, *shape, generator=source, dtype=torch.float64) * scale + 3 * scale).float()
    sizes = {"train": 500, "validation": 50, "test": 50}
    train = load_splits(
        Given({"all": Samples(inputs, torch.arange(600) % 3)}, input_shape=shape, sizes=sizes), 0, Path("unused")
    )["train"]
    # Float32 holds the standardized values, of size one, to 6e-8 each.
    assert train.inputs.double().mean(dims).abs().max() < 1e-6
    assert (train.inputs.double().std(dims) - 1).abs().max() < 1e-6


def test_inputs_stay_as_they_are_where_the_dataset_says_so() -> None:
    splits = load_splits(Given({"all": Samples(INPUTS, TARGETS)}, standardize=False), 0, Path("unused"))
    rows = {tuple(row) for row in INPUTS.tolist()}
    assert {tuple(row) for name in SPLITS for row in splits[name].inputs.tolist()} == rows


def test_token_ids_stay_whole_numbers() -> None:
    tokens = torch.arange(60, dtype=torch.int32).view(12, 5) % 7
    splits = load_splits(
        Given({"all": Samples(tokens, tokens)}, vocabulary=7, task="language_modeling"), 0, Path("unused")
    )
    for part in splits.values():
        assert part.inputs.dtype is part.targets.dtype is torch.int64
        assert torch.equal(part.inputs, part.targets), "samples and targets are taken together"


def test_real_targets_are_not_truncated_and_are_split_at_random() -> None:
    targets = torch.linspace(0, 1, 12, dtype=torch.float64).unsqueeze(1)
    splits = load_splits(Given({"all": Samples(INPUTS, targets)}, task="regression"), 0, Path("unused"))
    assert all(part.targets.dtype is torch.float32 and part.targets.dim() == 2 for part in splits.values())
    together = torch.cat([splits[name].targets for name in SPLITS]).sort(0).values
    assert torch.equal(together, targets.float())
    other = load_splits(Given({"all": Samples(INPUTS, targets)}, task="regression"), 1, Path("unused"))
    assert not torch.equal(other["test"].targets, splits["test"].targets)


def test_three_parts_are_kept_whole_and_in_order() -> None:
    parts = {name: Samples(INPUTS[:n], torch.arange(n) % 3) for name, n in zip(SPLITS, (6, 3, 3))}
    splits = load_splits(Given(parts, standardize=False), 5, Path("unused"))
    for name in SPLITS:
        assert torch.equal(splits[name].inputs, parts[name].inputs) and torch.equal(
            splits[name].targets, parts[name].targets
        )


def one(inputs: object = INPUTS, targets: object = TARGETS) -> dict[str, object]:
    return {"all": Samples(inputs, targets)}  # type: ignore[arg-type]


IMAGES = torch.rand(12, 4, 4, 3)
BAD = {
    "arrays": (INPUTS.numpy(), {}, r'returns a dictionary with "all".*got a ndarray; e\.g\. return'),
    "tuple": ((INPUTS, TARGETS), {}, "got a tuple"),
    "other names": ({"train": one()["all"], "dev": one()["all"]}, {}, r"got the parts \['dev', 'train'\]"),
    "pair of a part": ({"all": (INPUTS, TARGETS)}, {}, r"every part is a normlib\.data\.dataset\.Samples.*'all' is a tuple"),
    "numpy": (one(INPUTS.numpy()), {}, r"inputs are torch tensors, got ndarray; convert them"),
    "lengths": (one(INPUTS[:11]), {}, r"one target for each input, got inputs of shape \(11, 5\) and targets of shape \(12,\)"),
    "empty": (one(INPUTS[:0], TARGETS[:0]), {}, "has no samples"),
    "complex": (one(INPUTS.to(torch.complex64)), {}, "inputs are real numbers, got torch.complex64"),
    "not a number": (one(INPUTS.where(INPUTS > 0.1, torch.nan)), {}, r"inputs are finite numbers, but \d+ values are not"),
    "infinite targets": (one(targets=INPUTS / 0), {"task": "regression"}, "targets are finite numbers, but 60 values are not"),
    "shape": (one(torch.rand(12, 6)), {}, r"declared input_shape is \(5,\), but the inputs have the shape \(6,\); correct"),
    "channels last": (one(IMAGES), {"input_shape": (3, 4, 4)}, r"channels last\? .*inputs\.movedim\(-1, 1\)"),
    "bytes": (one((255 * INPUTS).to(torch.uint8)), {}, r"unless the dataset declares a vocabulary, got torch\.uint8; .*inputs\.float\(\)"),
    "real tokens": (one(), {"vocabulary": 9}, r"whole numbers as inputs, the token ids, got torch\.float32"),
    "large tokens": (one(INPUTS.long() + 9), {"vocabulary": 9}, r"below the vocabulary of 9, got 9 to 9"),
    "negative tokens": (one(INPUTS.long() - 1), {"vocabulary": 9}, r"at least 0 .*got -1 to -1"),
    "too few": (one(), {"sizes": {"train": 9, "validation": 3, "test": 3}}, "together need 15 samples, but the data have 12"),
    "too few, no classes": (
        one(), {"task": "regression", "sizes": {"train": 9, "validation": 3, "test": 3}}, "together need 15 samples"
    ),
    "test set of another size": ({"train": one()["all"], "test": one()["all"]}, {}, "declares 3 samples of 'test', but has 12"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_samples_that_are_not_as_declared_are_refused_with_the_fix(case: str) -> None:
    parts, facts, message = BAD[case]
    with pytest.raises(DataError, match=message):
        load_splits(Given(parts, **facts), 0, Path("unused"))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"sizes": None}, "sizes gives the number of samples"),
        ({"sizes": {"train": 3, "test": 3}}, "of train, validation and test, got"),
        ({"sizes": {"train": 3, "validation": 0, "test": 3}}, "at least 1"),
        ({"input_shape": ()}, "input_shape is the shape of one sample"),
        ({"input_shape": (3, -1)}, "positive whole numbers"),
        ({"input_shape": 5}, "input_shape is the shape of one sample"),
        ({"version": 1}, "version is a text that changes whenever the data do, got 1"),
        ({"version": ""}, "version is a text"),
        ({"num_classes": 2.0}, r"num_classes is a positive whole number or None, got 2\.0"),
        ({"streamed": True}, "has no method open"),
    ],
    ids=str,
)
def test_declarations_that_cannot_be_are_refused_before_anything_is_loaded(
    facts: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Given(None, **facts).check_declaration()


@pytest.mark.parametrize("fact", ["input_shape", "sizes", "version"])
def test_a_missing_fact_is_named_with_an_example(fact: str) -> None:
    facts = {"input_shape": (3,), "sizes": dict.fromkeys(SPLITS, 3), "version": "1"}
    cls = type("Incomplete", (Dataset,), {name: value for name, value in facts.items() if name != fact})
    with pytest.raises(DataError, match=rf"Incomplete has no {fact}: set {fact} = "):
        cls().check_declaration()
    with pytest.raises(DataError, match="Incomplete has no method load, which gives the samples: def load"):
        type("Incomplete", (Dataset,), facts)().check_declaration()


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
