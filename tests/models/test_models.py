"""Checks every registered model: it builds, trains with every norm, has no bias ahead of a site, and keeps its shapes."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from normlib.experiments.resolve import resolve
from normlib.experiments.schema import settings_node
from normlib.experiments.settings import COMMON
from normlib.models import models
from normlib.models import names as model_names
from normlib.models.site import Site, Sites
from normlib.norms import names as norm_names
from normlib.norms import norms
from normlib.training.network import NetworkShape, build_network
from normlib.training.run import train_run
from normlib.training.spec import Run
from tests.models.few_data import CLASSES, LENGTH, VOCABULARY

IMAGE = (1, 8, 8)
# Collections of architectures (they have a setting called name) need extras, and have test files of their own.
OWN = [name for name in model_names() if not {"name", "path"} & set(models[name].settings)]
FEW_CLUSTERS = ("data=synthetic", "data.train=8", "data.validation=8", "data.test=8", "data.classes=10")


@dataclasses.dataclass(frozen=True)
class Case:
    """Small data for a network: the overrides that choose them, what the network takes in, and what it gives for a sample."""

    data: tuple[str, ...]
    shape: NetworkShape
    output: tuple[int, ...]


def clusters(*shape: int) -> Case:
    return Case((*FEW_CLUSTERS, f"data.shape={list(shape)}"), NetworkShape(shape, 10), (10,))


TEXT = NetworkShape((LENGTH,), VOCABULARY, VOCABULARY)
IMAGES, SERIES, VOLUMES, VECTORS = clusters(*IMAGE), clusters(2, 20), clusters(1, 4, 4, 4), clusters(20)
TEXTS = Case(("data=few_texts",), TEXT, (LENGTH, VOCABULARY))
LABELLED_TEXTS = Case(("data=few_labelled_texts",), dataclasses.replace(TEXT, num_outputs=CLASSES), (CLASSES,))
MASKS = Case(("data=few_masks",), NetworkShape(IMAGE, CLASSES), (CLASSES, *IMAGE[1:]))
VARIANTS: dict[str, tuple[Case, dict[str, object]]] = {
    "mlp": (IMAGES, {"depth": 2, "width": 16}),
    "mlp vectors": (VECTORS, {"depth": 1, "width": 16}),
    "convnet": (IMAGES, {"depth": 2, "width": 16}),
    "convnet series": (SERIES, {"depth": 2, "width": 16}),
    "convnet volumes": (VOLUMES, {"depth": 1, "width": 16}),
    "resnet": (IMAGES, {"depth": 8, "width": 16}),
    "vgg": (IMAGES, {"depth": 11, "width": 4}),
    "rnn": (IMAGES, {"width": 16}),
    "rnn gru": (IMAGES, {"width": 16, "cell": "gru"}),
    "rnn series": (SERIES, {"width": 16}),
    "rnn texts": (LABELLED_TEXTS, {"width": 16}),
    "transformer": (IMAGES, {"width": 16, "depth": 1, "patch": 4}),
    "transformer post": (IMAGES, {"width": 16, "depth": 1, "patch": 4, "norm_placement": "post"}),
    "transformer peri": (IMAGES, {"width": 16, "depth": 1, "patch": 4, "norm_placement": "peri"}),
    "transformer branch_end": (IMAGES, {"width": 16, "depth": 1, "patch": 4, "norm_placement": "branch_end"}),
    "gpt": (TEXTS, {"width": 32, "heads": 2, "depth": 1, "qk_norm": True, "embedding_norm": True}),
    "gpt post": (TEXTS, {"width": 16, "depth": 1, "norm_placement": "post", "tied_embeddings": True}),
    "gpt peri": (TEXTS, {"width": 16, "depth": 1, "norm_placement": "peri"}),
    "gpt branch_end": (TEXTS, {"width": 16, "depth": 1, "norm_placement": "branch_end", "final_norm": False}),
    "unet": (MASKS, {"width": 4, "depth": 2}),
}
POSITIONLESS = ("mlp", "rnn", "gpt")  # their sites see (N, features)


def small(variant: str) -> tuple[str, ...]:
    case, settings = VARIANTS[variant]
    chosen = (f"model.{name}={value}" for name, value in settings.items())
    return (f"model={variant.split()[0]}", *chosen, "data.batch_size=4", *case.data)


def build(variant: str, **settings: object) -> tuple[nn.Module, Sites]:
    """A plain trunk, its sites empty, and the factory that made them."""
    case, small_settings = VARIANTS[variant]
    sites, shape = Sites(), case.shape
    given = {} if shape.vocabulary is None else {"vocabulary": shape.vocabulary}
    cls = models[variant.split()[0]].cls
    return cls(sites, shape.input_shape, shape.num_outputs, **given, **{**small_settings, **settings}), sites


def with_norm(run: Run, norm: str) -> Run:
    """The run with another norm at its defaults, as the plan makes it; composing it again would take most of the time."""
    section = dataclasses.asdict(settings_node("norm", norms[norm], COMMON["norm"])())
    return resolve(
        {
            **run.spec,
            "norm": section,
            "name": None,
            "module": {"path": None},
            "function": {"path": None},
            "plugins": [],
        },
        {},
        (),
    )


def test_every_model_is_tested_here() -> None:
    assert {variant.split()[0] for variant in VARIANTS} == set(OWN)


def layers_with_bias_ahead_of_sites(model: nn.Module, example: Tensor) -> list[str]:
    """Names of the modules with a bias whose very output enters a site, declared as being ahead of it or not."""
    made_by: dict[int, str] = {}
    kept: list[Tensor] = []  # so that no two outputs share an id
    found: list[str] = []

    def after(name: str):
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            made_by[id(output)] = name
            kept.append(output)

        return hook

    def before_site(site: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        name = made_by.get(id(inputs[0]))
        if name is not None and getattr(model.get_submodule(name), "bias", None) is not None:
            found.append(name)

    for name, module in model.named_modules():
        if isinstance(module, Site):
            module.register_forward_pre_hook(before_site)
        elif not list(module.children()):
            module.register_forward_hook(after(name))
    model(example)
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_norm_trains_a_step_or_is_refused_with_the_reason(
    variant: str, few_data, make_run, tmp_path: Path
) -> None:
    """Every norm is planned in every variant, and trained in the first variant of each model; a few are trained in all."""
    trained = norm_names() if variant in OWN else ("batch", "layer", "none", "weight_norm")
    base = make_run(*small(variant), "norm=none", "training.steps=1")
    _, sites = build(variant)
    lacking = {"weight": None in sites.ahead.values(), "branch": not sites.branches}
    if not any(site.activation_name for site in sites.sites):
        lacking["site"] = True
    for norm in norm_names():
        run = with_norm(base, norm)
        if norm in trained:
            record = train_run(run, tmp_path).record
            if run.skip_reason is None:
                assert (record.status, record.steps) == ("done", 1), record.traceback
            else:
                assert record.reason.removeprefix("ValueError: ") == run.skip_reason, "the plan and the run disagree"
        slot = norms[norm].cls.slot
        if slot in lacking:
            assert (run.skip_reason is not None) == lacking[slot], (norm, run.skip_reason)
        else:  # features without positions give a norm over positions nothing to take statistics over
            allowed = variant.startswith(POSITIONLESS) and "positions of a sample" in str(run.skip_reason)
            assert run.skip_reason is None or allowed, (norm, run.skip_reason)


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_have_the_shape_that_the_task_takes(variant: str) -> None:
    network, sites = build(variant)
    case, _ = VARIANTS[variant]
    assert network(case.shape.example(3)).shape == (3, *case.output)
    assert sites.sites


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_bias_stands_ahead_of_a_site(variant: str) -> None:
    network, _ = build(variant)
    assert layers_with_bias_ahead_of_sites(network, VARIANTS[variant][0].shape.example(2)) == []
    if network.classifier is not None:
        assert network.classifier.bias is not None, "the last layer, with no site behind it, keeps its bias"


class BiasAhead(nn.Module):
    """Planted: a bias ahead of a site, which the model declares or keeps to itself."""

    def __init__(self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, declared: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 8)
        self.site = sites(8, ahead=self.layer if declared else None)
        self.classifier = nn.Linear(8, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.site(self.layer(x.flatten(1))))


def test_planted_bias_ahead_of_a_site_is_found() -> None:
    planted = BiasAhead(Sites(), IMAGE, 10, declared=False)
    assert layers_with_bias_ahead_of_sites(planted, torch.zeros(2, *IMAGE)) == ["layer"]


def test_a_model_with_a_bias_ahead_of_a_site_is_refused(registered, make_run) -> None:
    registered(models, "planted_bias")(BiasAhead)
    with pytest.raises(ValueError, match=r"no bias, because the norm brings the shift.*bias=False.*model=planted_bias"):
        make_run("model=planted_bias")


def test_a_site_outside_the_network_is_refused(registered, make_run) -> None:
    @registered(models, "planted_loose_site")
    class LooseSite(nn.Module):
        """Keeps its site in a list, where torch does not see it."""

        def __init__(self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int) -> None:
            super().__init__()
            self.loose = [sites(64, ahead=None)]
            self.classifier = nn.Linear(64, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.loose[0](x.flatten(1)))

    with pytest.raises(ValueError, match="site that is not part of the network: keep every site as an attribute"):
        make_run("model=planted_loose_site")


def test_a_model_may_have_a_name_of_its_own(registered, make_run) -> None:
    @registered(models, "planted_collection")
    class Collection(nn.Module):
        """One among several networks, told by its name."""

        def __init__(
            self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, name: str = "small", width: int = 3
        ) -> None:
            super().__init__()
            self.called = name
            self.layer = nn.Linear(64, width, bias=False)
            self.site = sites(width, ahead=self.layer)
            self.classifier = nn.Linear(width, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.site(self.layer(x.flatten(1))))

    runs = {name: make_run("model=planted_collection", f"model.name={name}", "norm=layer") for name in ("big", "small")}
    assert runs["big"].id != runs["small"].id
    for name, run in runs.items():
        assert run.labels["model"] == "planted_collection"
        assert run.spec["model"] == {"registered": "planted_collection", "name": name, "width": 3, "weights": None}
        assert build_network(run.spec, NetworkShape(IMAGE, 10), total_steps=1).module.called == name


def test_a_norm_or_dataset_has_no_setting_called_name(registered) -> None:
    @registered(norms, "planted_named")
    class Named(norms["none"].cls):
        """Its setting is a common one."""

        def __init__(self, num_features: int, name: str = "mine") -> None:
            super().__init__(num_features)

    with pytest.raises(ValueError, match="norm 'planted_named': every norm has the setting 'name' from normlib"):
        settings_node("norm", norms["planted_named"], COMMON["norm"])


def test_parameters_of_the_mlp() -> None:
    network, _ = build("mlp", depth=3, width=8)
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    assert shapes == {
        "layers.0.weight": (8, 64), "layers.1.weight": (8, 8), "layers.2.weight": (8, 8),
        "classifier.weight": (10, 8), "classifier.bias": (10,),
    }  # fmt: skip


@pytest.mark.parametrize("sides", [(8, 8), (16, 16), (40,), (8, 8, 8)])
def test_the_convnet_halves_at_every_second_layer_and_doubles_its_width_down_to_a_smallest_side(
    sides: tuple[int, ...],
) -> None:
    sites = Sites()
    network = models["convnet"].cls(sites, (1, *sides), 10, depth=12, width=2)
    seen: list[tuple[int, ...]] = [sides]
    for site in sites.sites:
        site.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[2:])))
    assert network(torch.zeros(2, 1, *sides)).shape == (2, 10)
    widths = [site.num_features for site in sites.sites]
    assert len(seen) - 1 == len(widths) == 12
    for index, (width, shape) in enumerate(zip(widths, seen[1:], strict=True)):
        assert len(set(shape)) == 1
        assert width * shape[0] == 2 * sides[0], "the width is doubled wherever the side is halved"
        assert (shape[0] < seen[index][0]) == (index % 2 == 1 and seen[index][0] > seen[-1][0])
    assert 4 <= seen[-1][0] < 8, "the last site sees several positions"
    assert {tuple(layer.weight.shape[2:]) for layer in network.layers} == {(3,) * len(sides)}


@pytest.mark.parametrize("depth", [8, 14])
def test_parameters_of_the_resnet(depth: int) -> None:
    network, sites = build("resnet", depth=depth, width=8)
    assert len(sites.sites) == depth - 1  # a site behind each layer but the classifier
    assert len(network.blocks) == (depth - 2) // 2
    assert {block.conv2.weight.shape[0] for block in network.blocks} == {8, 16, 32}
    assert [block.stride for block in network.blocks].count(2) == 2
    # Only the stem, the two convolutions of a block and the classifier: shortcuts have no parameters.
    assert len(list(network.parameters())) == depth + 1
    assert network.classifier.weight.shape == (10, 32)


def test_a_shortcut_of_the_resnet_is_strided_and_padded_with_zero_channels() -> None:
    network, _ = build("resnet", depth=8, width=8)
    block = network.blocks[1]  # 8 to 16 channels, stride 2
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    y = block(x)
    assert torch.equal(y[:, 4:12], x[:, :, ::2, ::2])
    assert not y[:, :4].any()
    assert not y[:, 12:].any()


@pytest.mark.parametrize("depth", [2, 7, 9, 10, 13])
def test_depths_of_the_resnet_are_6n_plus_2(depth: int, make_run) -> None:
    with pytest.raises(ValueError, match=rf"resnet: depth is 6n\+2 \(8, 14, 20, ...\), got {depth}"):
        build("resnet", depth=depth, width=8)
    with pytest.raises(ValueError, match="6n"):
        make_run("model=resnet", f"model.depth={depth}")


@pytest.mark.parametrize("model", OWN)
@pytest.mark.parametrize("setting", ["depth", "width"])
def test_settings_below_one_are_refused(model: str, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{model}: .*{setting}.* is|are .*got .*0"):
        build(model, **{setting: 0})


@pytest.mark.parametrize("model", OWN)
def test_data_that_a_model_is_not_made_for_are_refused_with_the_fix(model: str, few_data, make_run) -> None:
    takes = [case for name, (case, _) in VARIANTS.items() if name.split()[0] == model]
    for case in (IMAGES, SERIES, VOLUMES, VECTORS, TEXTS, LABELLED_TEXTS, MASKS):
        overrides = (f"model={model}", "norm=none", "data.batch_size=4", *case.data)
        if case in takes:
            assert make_run(*overrides).skip_reason is None
        elif model != "mlp" or case not in (SERIES, VOLUMES):  # it takes any shape
            with pytest.raises(ValueError, match=model) as refused:
                make_run(*overrides)
            assert re.search("the data's input.*; use |needs outputs of shape.*; choose ", str(refused.value))


@pytest.mark.parametrize("variant", VARIANTS)
def test_norm_parameters_and_the_sites_shifts_are_counted_apart_from_the_trunk(
    variant: str, few_data, make_run
) -> None:
    counts = {}
    base = make_run(*small(variant), "norm=none")
    for norm in ("batch", "none"):
        spec = json.loads(json.dumps(with_norm(base, norm).spec))
        network = build_network(spec, VARIANTS[variant][0].shape, total_steps=1)
        counts[norm] = network.count_parameters()
        channels = sum(site.num_features for site in network.sites.values())
        # none has no shift of its own, so the site adds one; batch norm brings weight and bias.
        assert counts[norm]["norm"] == channels * {"batch": 2, "none": 1}[norm]
        shifts = [name for name in network.norm_parameter_names if name.endswith(".shift")]
        assert len(shifts) == (len(network.sites) if norm == "none" else 0)
    plain, _ = build(variant)
    assert counts["batch"]["trunk"] == counts["none"]["trunk"] == sum(p.numel() for p in plain.parameters())
