"""Names in, norms out: create, factory, plugins, and what the registry refuses."""

from __future__ import annotations

import inspect
import pickle
import textwrap

import pytest
import torch

import normlib.norms
from normlib.norms import factory, norms, register
from normlib.norms.base import Norm
from normlib.norms.group import GroupNorm
from normlib.plugins import load_plugin
from normlib.registry import RegistryError

OURS = [entry.name for entry in norms.entries() if entry.cls.__module__.startswith("normlib.norms.")]


def test_the_family() -> None:
    assert {"batch", "batch_renorm", "group", "instance", "layer", "none"} <= set(OURS)
    assert {"rms", "pono", "scale_norm", "grn", "lrn", "frn", "evonorm_b0", "evonorm_s0", "dyt"} <= set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_every_norm_has_its_docstring_in_order(name) -> None:
    text = inspect.getdoc(norms[name].cls) or ""
    parts = [".. math::", "Axes:", "Shapes:", "Paper:", "Deviations:", "When:", "When not:"]
    where = [text.find(part) for part in parts]
    assert -1 not in where
    assert where == sorted(where)
    assert norms[name].summary.endswith(".")
    assert norms[name].metadata["statistics_over"]


def test_factory_builds_pickles_and_takes_only_a_width() -> None:
    build = factory("group", num_groups=4)
    for make in (build, pickle.loads(pickle.dumps(build))):
        norm = make(16)
        assert isinstance(norm, GroupNorm)
        assert norm.num_groups == 4
    assert build(16, device="meta", dtype=torch.float64).weight.is_meta
    assert normlib.norms.create("group", 64, num_groups=8).num_groups == 8


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("grup", {}, r"no norm is named 'grup'; did you mean 'group' or 'grn'\? Known: batch"),
        ("group", {"num_group": 4}, r"no setting is named 'num_group'; did you mean 'num_groups'"),
        ("group", {"num_groups": "four"}, r"'num_groups' is int or None, got 'four' \(str\)"),
        ("group", {"num_groups": 2.5}, "int or None"),
        ("group", {"num_groups": True}, "int or None"),
        ("batch", {"affine": 1}, "'affine' is bool, got 1"),
        ("batch", {"eps": None}, "'eps' is float, got None"),
        ("layer", {"scope": "channel"}, "one of sample, position, got 'channel'"),
    ],
    ids=str,
)
def test_factory_refuses_at_once(name, settings, message) -> None:
    with pytest.raises(RegistryError, match=message):
        factory(name, **settings)


def test_what_is_right_is_not_refused() -> None:
    factory("batch", momentum=None, eps=1)
    factory("batch_renorm", schedule=None)
    factory("layer", scope="position")


def test_a_name_taken_twice() -> None:
    class Other(Norm):
        """Another."""

    with pytest.raises(RegistryError, match=r"'group' is taken by normlib\.norms\.group\.GroupNorm"):
        register("group")(Other)


def test_what_cannot_be_a_configuration() -> None:
    class Anything(Norm):
        def __init__(self, num_features: int, **settings: int) -> None: ...

    class NoDefault(Norm):
        def __init__(self, num_features: int, size: int) -> None: ...

    for cls, message in [
        (Anything, "name every argument"),
        (NoDefault, "has no default"),
        (torch.nn.ReLU, "takes num_features"),
        (str, "inherits from torch.nn.Module"),
    ]:
        with pytest.raises(RegistryError, match=message):
            register("fresh")(cls)
    with pytest.raises(RegistryError, match="no metadata key is named"):
        register("fresh", papers="none")(GroupNorm)


def test_a_plugin_file(tmp_path) -> None:
    plugin = tmp_path / "my_norm.py"
    plugin.write_text(
        textwrap.dedent(
            '''
            from normlib.norms import register
            from normlib.norms.base import Norm

            @register("centred", statistics_over="channels, per position")
            class Centred(Norm):
                """Subtracts the mean over the channels."""

                def __init__(self, num_features: int, strength: float = 1.0, channel_dim: int = 1) -> None:
                    super().__init__(num_features, channel_dim=channel_dim)
                    self.strength = strength

                def normalize(self, x):
                    return x - self.strength * x.mean(1, keepdim=True)
            '''
        )
    )
    load_plugin(str(plugin))
    norm = normlib.norms.create("centred", 4, strength=0.5)
    assert norm(torch.ones(2, 4)).tolist() == torch.full((2, 4), 0.5).tolist()
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    with pytest.raises(RegistryError, match="does not import"):
        load_plugin(str(broken))
    with pytest.raises(RegistryError, match="there is no file"):
        load_plugin(str(tmp_path / "missing.py"))


@pytest.mark.vision
@pytest.mark.parametrize("name", ["batch", "group", "batch_renorm"])
def test_torchvisions_resnet(name) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    model = models.resnet18(norm_layer=factory(name))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 1000)
    assert sum(isinstance(module, norms[name].cls) for module in model.modules()) == 20


@pytest.mark.vision
@pytest.mark.parametrize("name", ["batch", "group", "batch_renorm"])
def test_timms_resnet(name) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    model = timm.create_model("resnet18", norm_layer=factory(name))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 1000)
    assert sum(isinstance(module, norms[name].cls) for module in model.modules()) == 20
