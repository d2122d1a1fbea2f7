"""Checks a pretrained start: one trunk for every arm, norms that mean the same keep theirs, others are fitted or held still."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normlib.experiments.complaints import ConfigError
from normlib.models import models, register_network
from normlib.models.site import Sites
from normlib.training.network import NetworkShape, build_network
from normlib.training.pretrained import _mean_and_spread, fit_norms

DIGITS = NetworkShape((1, 8, 8), 10)
WIDTH = 6


class Pretrained(nn.Module):
    """Two convolutions with biases and batch norms, the second norm behind an activation as well; a classifier."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, WIDTH, 3), nn.BatchNorm2d(WIDTH)
        self.conv2, self.bn2 = nn.Conv2d(WIDTH, WIDTH, 3), nn.BatchNorm2d(WIDTH)
        self.relu, self.drop = nn.ReLU(), nn.Dropout(0.1)
        self.head = nn.Linear(WIDTH, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.head(self.drop(self.relu(self.bn2(self.conv2(x)))).mean((2, 3)))


@pytest.fixture
def trained() -> Pretrained:
    """Such a network with scales of both signs, shifts and statistics of its own."""
    torch.manual_seed(0)
    network = Pretrained()
    for norm in (network.bn1, network.bn2):
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(-0.5, 1.5, WIDTH))
            norm.bias.normal_()
    for _ in range(20):
        network(torch.randn(16, 1, 8, 8))
    return network.eval()


@pytest.fixture
def weights(trained: Pretrained, tmp_path: Path) -> str:
    register_network("pretrained_net")(Pretrained)
    path = tmp_path / "weights.pt"
    torch.save(trained.state_dict(), path)
    return str(path)


def overrides(weights: str, *more: str) -> tuple[str, ...]:
    return ("model=pretrained_net", f"model.weights={weights}", "training.steps=3", "data.batch_size=16", *more)


X = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_the_arm_with_the_same_norm_is_the_network_as_it_was(make_run, trained: Pretrained, weights: str) -> None:
    network = build_network(make_run(*overrides(weights, "norm=batch")).spec, DIGITS, 3)
    assert torch.equal(network.module.eval()(X), trained(X))
    assert network.start.kept_norms == ["network.bn1", "network.bn2"]
    assert (network.start.new, network.start.unused) == ([], [])
    assert network.changes == (), "biases ahead of norms are the weights' own"
    assert network.module.network.conv1.bias is not None


def test_every_arm_has_the_same_trunk_and_it_is_that_of_the_weights(
    make_run, trained: Pretrained, weights: str
) -> None:
    arms = ("norm=batch", "norm=layer", "norm=group", "norm=none")
    built = [build_network(make_run(*overrides(weights, arm)).spec, DIGITS, 3) for arm in arms]
    assert len({network.trunk_hash for network in built}) == 1
    assert [bool(network.start.kept_norms) for network in built] == [True, False, False, False]
    for network in built:
        assert torch.equal(network.trunk["network.conv2.weight"], trained.conv2.weight)
    assert build_network(make_run(*overrides(weights, "seed=1")).spec, DIGITS, 3).trunk_hash == built[0].trunk_hash
    from_scratch = build_network(make_run("model=pretrained_net").spec, DIGITS, 3)
    assert from_scratch.trunk_hash != built[0].trunk_hash
    assert from_scratch.start is None


def test_a_norm_with_other_settings_is_another_one_and_that_is_said(make_run, weights: str) -> None:
    run = make_run(*overrides(weights, "norm=batch", "norm.eps=1e-3"))
    network = build_network(run.spec, DIGITS, 3)
    assert network.start.kept_norms == []
    words = "the norms of the weights are not kept, because they differ: eps is 1e-05 there and 0.001 here"
    assert network.changes == (words,)
    assert run.changes == (words,), "the plan knows it"
    assert build_network(
        make_run(*overrides(weights, "norm=batch", "norm.momentum=0.5")).spec, DIGITS, 3
    ).start.kept_norms


def test_a_last_layer_for_other_classes_is_new(make_run, weights: str, trained: Pretrained) -> None:
    shape = NetworkShape((1, 8, 8), 4)
    one, other = (build_network(make_run(*overrides(weights, f"seed={seed}")).spec, shape, 3) for seed in (0, 1))
    assert one.start.new == ["head.weight", "head.bias"]
    assert one.trunk["network.head.weight"].shape == (4, WIDTH)
    assert one.trunk_hash != other.trunk_hash, "it is filled from the seed"
    assert torch.equal(one.trunk["network.conv1.weight"], trained.conv1.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv1.weight"), "lacks conv1.weight; only the last layer may be new"),
        (
            lambda state: state.update({"conv2.weight": torch.zeros(2, 2)}),
            r"has conv2.weight \(2, 2\), not \(6, 6, 3, 3\)",
        ),
        (lambda state: state.clear(), r"holds no state_dict\(\)"),
        (lambda state: state.update(epoch=3), r"holds no state_dict\(\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_the_plan(make_run, trained: Pretrained, weights: str, tmp_path: Path, change: Any, message: str) -> None:  # fmt: skip
    state = dict(trained.state_dict())
    change(state)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=message):
        make_run(*overrides(str(tmp_path / "other.pt")))


def test_other_wrong_weights_are_refused(make_run, weights: str, tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "text.safetensors").write_text("weights")
    for name, message in (
        ("nowhere.pt", "there is no file"),
        ("text.pt", "cannot be read"),
        ("text.safetensors", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_run(*overrides(str(tmp_path / name)))
    for model in ("pretrained_net", "convnet"):
        with pytest.raises(ConfigError, match=r"DEFAULT.*has no weights of its own.*name a file"):
            make_run(f"model={model}", "model.weights=DEFAULT")


def test_checkpoints_of_other_makers_are_unwrapped(make_run, trained: Pretrained, weights: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {f"module.{name}": value for name, value in trained.state_dict().items() if "num_batches" not in name}
    torch.save({"epoch": 3, "model": {**state, "module.aux.weight": torch.zeros(2)}}, tmp_path / "a.pt")
    save_file(dict(trained.state_dict()), tmp_path / "b.safetensors")
    hashes = set()
    for name, unused in (("a.pt", ["aux.weight"]), ("b.safetensors", [])):
        network = build_network(make_run(*overrides(str(tmp_path / name), "norm=batch")).spec, DIGITS, 3)
        assert torch.equal(network.module.eval()(X), trained(X))
        assert network.start.unused == unused
        hashes.add(network.trunk_hash)
    assert len(hashes) == 1


def test_the_content_of_the_file_is_part_of_the_runs_id(trained: Pretrained, weights: str) -> None:
    from normlib.experiments.plan import make_run as plan_one

    before = plan_one(overrides(weights))[0]
    assert plan_one(overrides(weights))[0].id == before.id
    with torch.no_grad():
        trained.head.bias.add_(1)
    torch.save(trained.state_dict(), weights)
    assert plan_one(overrides(weights))[0].id != before.id


def test_frozen_norms_stay_as_the_weights_have_them(
    train, make_run, trained: Pretrained, weights: str, tmp_path: Path
) -> None:
    final = tmp_path / "final.safetensors"
    for frozen, moving in (
        ("all", set()),
        ("statistics", {"weight", "bias"}),
        ("affine", {"running_mean", "running_var", "num_batches_tracked"}),
    ):
        record = train(*overrides(weights, "norm=batch", f"norm.frozen={frozen}"), weights_file=final)
        assert record.status == "done", record.reason
        assert record.start["kept_norms"] == ["network.bn1", "network.bn2"]
        from normlib.models.start import read_start

        state = read_start(str(final), "mlp").state
        for name, value in trained.bn1.state_dict().items():
            assert torch.equal(state[f"network.bn1.norm.{name}"], value) == (name not in moving), (frozen, name)


def test_what_cannot_be_frozen_is_skipped_with_the_reason(make_run, weights: str) -> None:
    assert (
        "keeps none; use norm.frozen=affine"
        in make_run(*overrides(weights, "norm=layer", "norm.frozen=all")).skip_reason
    )
    assert "no data have moved yet" in make_run("model=pretrained_net", "norm=batch", "norm.frozen=all").skip_reason
    assert make_run(*overrides(weights, "norm=layer", "norm.frozen=affine")).skip_reason is None
    with pytest.raises(ConfigError, match="no value of norm.frozen is named .* Known: affine, all, null, statistics"):
        make_run(*overrides(weights, "norm=layer", "norm.frozen=everything"))


@pytest.mark.parametrize("norm", ["group", "layer", "rms", "none", "dyt", "batch_renorm"])
def test_fitted_norms_give_each_channel_what_the_weights_norms_gave(
    make_run, trained: Pretrained, weights: str, norm: str
) -> None:
    network = build_network(make_run(*overrides(weights, f"norm={norm}", "norm.fit_on_batches=2")).spec, DIGITS, 3)
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    before = {name: buffer.clone() for name, buffer in network.module.named_buffers()}
    fit_norms(network.module, network.replaced, network.reference, x)
    assert all(torch.equal(before[name], buffer) for name, buffer in network.module.named_buffers())
    seen: list[Tensor] = []
    for module in (trained.bn2, network.sites["network.bn2"]):
        module.register_forward_hook(lambda module, inputs, y: seen.append(y.detach()))
    trained(x)
    network.module.eval()
    for site in network.sites.values():
        site.norm.train()
    network.module(x)
    (mean, spread), (came, came_spread) = (_mean_and_spread(y, 1) for y in seen)
    assert torch.allclose(came, mean, atol=2e-3)
    assert torch.allclose(came_spread, spread, atol=2e-3) == (norm != "none"), "without a norm there is no scale"


def test_an_output_that_does_not_follow_its_scale_is_refused(make_run, weights: str) -> None:
    network = build_network(make_run(*overrides(weights, "norm=group", "norm.fit_on_batches=2")).spec, DIGITS, 3)
    norm = network.sites["network.bn1"].norm
    right = norm.forward
    norm.forward = lambda x: right(x).sign()
    with pytest.raises(ValueError, match="does not follow its scale and shift.*leave fit_on_batches at 0"):
        fit_norms(network.module, network.replaced, network.reference, X)


def test_four_arms_of_a_pretrained_network(train, weights: str) -> None:
    arms = {
        "as it was": ("norm=batch",),
        "frozen batch": ("norm=batch", "norm.frozen=all"),
        "converted": ("norm=layer",),
        "fitted": ("norm=layer", "norm.fit_on_batches=4"),
    }
    records = {name: train(*overrides(weights, *settings)) for name, settings in arms.items()}
    assert {record.status for record in records.values()} == {"done"}
    assert len({record.hashes["trunk"] for record in records.values()}) == 1
    assert len({record.start["hash"] for record in records.values()}) == 1
    assert records["fitted"].start["fitted_on_batches"] == 4
    assert records["fitted"].metrics != records["converted"].metrics
    assert train(*overrides(weights, *arms["fitted"])).metrics == records["fitted"].metrics


def test_fitting_needs_weights_with_norms(make_run, weights: str) -> None:
    assert (
        "needs a network of another library with such weights"
        in make_run("norm=group", "norm.fit_on_batches=1").skip_reason
    )
    with pytest.raises(ConfigError, match="norm.fit_on_batches is a number of batches, at least 0"):
        make_run(*overrides(weights, "norm.fit_on_batches=-1"))


@pytest.mark.vision
def test_torchvisions_weights_are_filled_in_and_asked_for_only_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("torchvision", reason="torchvision is not installed")
    theirs = library.models.resnet18(num_classes=1000)
    asked = []
    monkeypatch.setattr(
        library.models.ResNet18_Weights, "get_state_dict", lambda self, **_: asked.append(self) or theirs.state_dict()
    )
    model: Any = models["torchvision"].cls
    with torch.device("meta"):
        model(Sites(weights="DEFAULT"), (3, 64, 64), 10)
    assert asked == []
    sites = Sites(weights="DEFAULT")
    ours = model(sites, (3, 64, 64), 10)
    assert sites.start.new == ["fc.weight", "fc.bias"]
    assert torch.equal(ours.network.conv1.weight, theirs.conv1.weight)
    assert "resnet18" in model.default_weights_version("resnet18")


def test_the_reference_is_the_network_before_its_norms_were_replaced(
    make_run, trained: Pretrained, weights: str
) -> None:
    network = build_network(make_run(*overrides(weights, "norm=group", "norm.fit_on_batches=1")).spec, DIGITS, 3)
    assert build_network(make_run(*overrides(weights, "norm=group")).spec, DIGITS, 3).reference is None
    reference: Any = copy.deepcopy(network.reference)
    assert torch.equal(reference.eval()(X), trained(X))
