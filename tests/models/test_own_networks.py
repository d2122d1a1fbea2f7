"""Checks networks of a user's own as models: found norms, sites by norm_layer, settings, what was changed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.experiments.complaints import ConfigError
from normlib.models import models, register_network
from normlib.models.site import Site, Sites
from normlib.registry import RegistryError
from normlib.training.network import NetworkShape, build_network

IMAGE = (1, 8, 8)
FILE = '''
from torch import nn

WIDTH = 8

class Net(nn.Module):
    """A small network, with norms of torch's."""

    def __init__(self, in_channels, num_classes, width: int = WIDTH):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.drop(self.bn(self.conv(x)).relu()).mean((2, 3)))

def make(num_outputs, width: int = 4):
    return Net(1, num_outputs, width)

def names(): return "Net"
'''


class Centred(nn.Module):
    """A norm that no library has under this name: RMS over channels, known by its numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class CentredNorm(Centred):
    """The same under a name that says what it is."""


class Plain(nn.Module):
    """Images to classes, with every kind of thing that a network of a user's own may hold."""

    def __init__(
        self, in_channels: int, num_classes: int, norm_layer: Any = nn.BatchNorm2d, width: int = 8, act=nn.ReLU
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, width, 3), norm_layer(width), act(), nn.Dropout(0.2),
            nn.ConvTranspose2d(width, width, 2), norm_layer(width), act(),
        )  # fmt: skip
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.body(x).mean((2, 3)))}


def built(
    make: Any, input_shape: tuple[int, ...] = IMAGE, vocabulary: int | None = None, **settings: Any
) -> tuple[nn.Module, Sites]:
    sites = Sites()
    register_network(make)
    return models[make.__name__].cls(sites, input_shape, 5, vocabulary, **settings), sites


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_net.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_network_that_takes_norm_layer_makes_its_sites() -> None:
    network, sites = built(Plain, width=4)
    conv, transposed, head = (network.network.body[0], network.network.body[4], network.network.head)
    assert [site.num_features for site in sites.sites] == [4, 4]
    assert list(sites.ahead.values()) == [conv, None], "methods on weights cannot tell a transposed layer's outputs"
    assert conv.bias is None
    assert transposed.bias is None
    assert sites.classifier is head
    assert sites.gains[conv] == 2**0.5
    assert sites.changes == ["no bias in the layers ahead of norms: body.0, body.4"]
    assert models["Plain"].settings.keys() == {"width"}, "what has no plain type keeps its default"


def test_found_norms_become_the_same_sites_as_made_ones(make_run) -> None:
    def FoundPlain(in_channels: int, num_classes: int) -> nn.Module:
        return Plain(in_channels, num_classes)

    register_network(FoundPlain)
    register_network(Plain)
    shape = NetworkShape(IMAGE, 10)
    found, made = (build_network(make_run(f"model={name}").spec, shape, 1) for name in ("FoundPlain", "Plain"))
    assert found.trunk_hash == made.trunk_hash
    x = torch.randn(3, *IMAGE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.module.eval()(x), made.module.eval()(x))


@pytest.mark.parametrize("norm", [CentredNorm, nn.LayerNorm])
def test_norms_of_tokens_are_found_and_measured(norm: type[nn.Module]) -> None:
    class Tokens(nn.Module):
        """Token ids to classes."""

        def __init__(self, vocabulary: int, num_outputs: int) -> None:
            super().__init__()
            self.embed = nn.Embedding(vocabulary, 6)
            self.norm = norm(6)
            self.head = nn.Linear(6, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.embed(x)).mean(1))

    network, sites = built(Tokens, (7,), vocabulary=11)
    assert [(site.num_features, site.channel_dim) for site in sites.sites] == [(6, -1)]
    assert network(torch.zeros(2, 7, dtype=torch.int64)).shape == (2, 5)
    with torch.device("meta"):  # as a plan looks at it
        assert models["Tokens"].cls(Sites(), (7,), 5, 11)(torch.zeros(2, 7, dtype=torch.int64)).is_meta


def test_where_the_channels_are_is_seen_or_said() -> None:
    class Mixed(nn.Module):
        """A sequence (N, C, T), turned to (N, T, C)."""

        def __init__(
            self, norm_layer: Callable[..., nn.Module], num_outputs: int, width: int = 6, dim: int = 0
        ) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, width, 1)
            self.first, self.last = norm_layer(width), norm_layer(width, channel_dim=dim) if dim else norm_layer(width)
            self.head = nn.Linear(width, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.last(self.first(self.conv(x)).mT).mean(1))

    _, sites = built(Mixed, (1, 9))
    assert [site.channel_dim for site in sites.sites] == [1, -1]
    with pytest.raises(
        ValueError, match=r"6 channels sees the shape \(N, 6, 6\).*norm_layer\(channels, channel_dim=1\)"
    ):
        built(Mixed, (1, 6))
    assert built(Mixed, (1, 9), dim=-1)[1].sites[1].channel_dim == -1


class LanguageModel(nn.Module):
    """Token ids to the next token at each position; `first` has channels first ahead of a norm, as a convolution would."""

    def __init__(self, vocabulary: int, num_outputs: int, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.embed = nn.Embedding(vocabulary, 8)
        self.norm = nn.BatchNorm1d(8) if first else nn.LayerNorm(8)
        self.head = nn.Linear(8, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.norm(x.mT).mT if self.first else self.norm(x))


@pytest.mark.parametrize("norm", ["layer", "rms", "dyt"])
def test_no_norm_lets_a_language_model_see_later_tokens(make_run, norm: str) -> None:
    register_network(LanguageModel)
    spec = make_run("model=convnet", f"norm={norm}").spec
    spec = {**spec, "model": {"name": "LanguageModel", "weights": None, "first": False}}
    network = build_network(spec, NetworkShape((6,), 11, 11), 1).module.eval()
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    later = torch.tensor([[1, 2, 3, 7, 8, 9]])
    assert torch.equal(network(ids)[:, :3], network(later)[:, :3])
    with pytest.raises(ValueError, match=r"norm: the network has an output for each token.*channels last, \(N, T, C\)"):
        models["LanguageModel"].cls(Sites(), (6,), 11, 11, first=True)


def test_what_is_passed_to_norm_layer_and_what_is_called_stands_in_the_changes() -> None:
    class Calls(nn.Module):
        """Sets eps, and calls a norm function by itself, on rows (N, 7, 8)."""

        def __init__(self, norm_layer: Callable[..., nn.Module], num_outputs: int) -> None:
            super().__init__()
            self.norm = norm_layer(8, eps=1e-3)
            self.head = nn.Linear(56, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(F.layer_norm(x[:, 0, :7], (8,))).flatten(1))

    changes = built(Calls)[1].changes
    assert "norm_layer was called with eps=0.001: that is the arm's to say" in changes
    assert any("stays, in every arm: it calls F.layer_norm" in words for words in changes)


def test_only_a_layer_whose_output_enters_a_norm_loses_its_bias() -> None:
    def make(num_outputs: int) -> nn.Module:
        head = [nn.Linear(4 * 6 * 6, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, num_outputs)]
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), *head)

    network, sites = built(make)
    assert sites.changes == ["no bias in the layers ahead of norms: 0"]
    assert [name for name, _ in network.named_parameters() if name.endswith("bias")] == [
        "network.4.bias",
        "network.7.bias",
    ]


def test_torchs_encoder_layers_are_evaluated_with_the_norms_that_they_have() -> None:
    class Rows(nn.Module):
        """Reads an image row by row; in eval mode torch's encoder has a fast path that computes layer norm by itself."""

        def __init__(self, num_outputs: int) -> None:
            super().__init__()
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 1)
            self.head = nn.Linear(8, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x[:, 0]).mean(1))

    network, sites = built(Rows)
    assert [change for change in sites.changes if "fast path" in change] == [
        "the fast path of TransformerEncoderLayer, which is for layer norm only, is off"
    ]
    x = torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trained = network(x)
        evaluated = network.eval()(x)
    # Without norms and dropout both modes are one function; attention alone is computed another way in eval mode.
    torch.testing.assert_close(trained, evaluated)


def without_norms(num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_outputs))


def in_a_list(num_outputs: int) -> nn.Module:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1)
            self.also = [self.norm]
            self.head = nn.Linear(64, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.also[0](x).flatten(1))

    return Listed()


def returns_a_tuple(num_outputs: int) -> nn.Module:
    class Both(nn.Sequential):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x), x

    return Both(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, num_outputs))


def for_three_channels(num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def no_module(num_outputs: int) -> Any:
    return "a network"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_norms, "without_norms has no normalization layer.*norm_layer makes of a number of channels"),
        (in_a_list, r"holds norms otherwise than as submodules \(also\[0\]\).*nn.ModuleList"),
        (returns_a_tuple, "returns a tuple; return what the loss reads"),
        (for_three_channels, r"does not take inputs of shape \(1, 8, 8\).*model.args"),
        (no_module, "made a str, which is no torch.nn.Module"),
    ],
)
def test_what_cannot_be_a_trunk_is_refused(make: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built(make)


def test_a_network_in_a_file_is_a_model(in_folder: Path, make_run) -> None:
    run = make_run("model=module", "model.path=my_net.py:Net", "model.args={width: 5}")
    assert run.changes == ("no bias in the layers ahead of norms: conv",)
    network = build_network(run.spec, NetworkShape(IMAGE, 10), 1)
    assert network.draws == ("torch",)
    assert {name: tuple(p.shape) for name, p in network.trunk.items() if name.endswith("weight")} == {
        "network.conv.weight": (5, 1, 3, 3), "network.head.weight": (10, 5),
    }  # fmt: skip
    assert all(isinstance(site, Site) for site in network.sites.values())
    assert list(network.sites) == ["network.bn"]
    by_function = make_run("model=module", "model.path=my_net.py:make", "model.args={width: 5}")
    assert build_network(by_function.spec, NetworkShape(IMAGE, 10), 1).trunk_hash == network.trunk_hash


def test_the_file_is_part_of_the_runs_id(in_folder: Path) -> None:
    from normlib.experiments.plan import make_run as plan_one

    overrides = ["model=module", "model.path=my_net.py:Net", "accelerator=cpu"]
    before = plan_one(overrides)[0]
    (in_folder / "my_net.py").write_text(FILE.replace("# nothing", "").replace("0.25", "0.5"))
    after = plan_one(overrides)[0]
    assert before.code["network"] != after.code["network"]
    assert before.id != after.id


def test_arguments_of_the_networks_own_are_axes(in_folder: Path) -> None:
    from normlib.experiments.plan import make_plan

    plan = make_plan(
        [
            "model=module",
            "model.path=my_net.py:Net",
            "model.args.width=3,4",
            "norm=batch,none",
            "seed=0",
            "data.batch_size=8",
        ]
    )
    assert sorted((run.spec["norm"]["name"], run.spec["model"]["args"]["width"], "control" in run.labels["norm"] or run.control) for run in plan.runs) == [
        ("batch", 3, False), ("batch", 3, True), ("batch", 4, False), ("batch", 4, True), ("none", 3, False), ("none", 4, False),
    ]  # fmt: skip


def test_a_run_of_a_file_says_what_was_changed(in_folder: Path) -> None:
    import normlib

    record = normlib.train("model=module", "model.path=my_net.py:Net", "training.steps=3", "accelerator=cpu")
    assert record.status == "done", record.reason
    assert record.changes == ["no bias in the layers ahead of norms: conv"]


@pytest.mark.parametrize(
    ("path", "args", "message"),
    [
        ("my_net.py", "", "model.path must be a file and a name in it"),
        ("my_net.py:Nett", "", "did you mean 'Net'"),
        ("my_nets.py:Net", "", "there is no file"),
        ("my_net.py:WIDTH", "", "names a class that inherits from torch.nn.Module, or a function"),
        ("my_net.py:names", "", "which is no torch.nn.Module"),
        ("my_net.py:Net", "{widht: 3}", "no argument of Net is named 'widht'; did you mean 'width'"),
    ],
)
def test_wrong_paths_and_arguments_are_refused(in_folder: Path, make_run, path: str, args: str, message: str) -> None:
    with pytest.raises((ConfigError, RegistryError), match=message):
        make_run("model=module", f"model.path={path}", *([f"model.args={args}"] if args else []))


def test_a_needed_argument_is_asked_for() -> None:
    def needy(num_outputs: int, **others: Any) -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(1))

    def needs(channels, num_outputs):
        return nn.Sequential(nn.BatchNorm2d(channels))

    register_network(needy)
    assert models["needy"].settings == {}
    with pytest.raises(RegistryError, match="argument 'channels' has no default"):
        register_network(needs)


def test_register_network_takes_a_name_and_hands_back_what_came() -> None:
    @register_network("named_net")
    class Named(nn.Module):
        """The first sentence."""

        def __init__(self, width: int = 3) -> None:
            super().__init__()

    assert isinstance(Named, type)
    assert issubclass(Named, nn.Module)
    assert models["named_net"].summary == "The first sentence."
    with pytest.raises(RegistryError, match="inherits from torch.nn.modules.module.Module|registered as a class"):
        register_network("a_number")(3)
