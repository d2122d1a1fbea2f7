"""The layers of torch, torchvision and timm that normlib knows: for each, a function from the layer to its
`Description`.

They are known by the package and the name of their class. So neither torchvision nor timm needs to be installed. This
file decides nothing about subclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from normlib.conversion.description import Description, UnknownNorm


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers of the module itself."""
    buffers = {name: tensor for name, tensor in module.named_buffers(recurse=False) if name in module.state_dict()}
    return {**dict(module.named_parameters(recurse=False)), **buffers}


def _batch(module: Any) -> Description:
    tracked = module.running_mean is not None
    settings = {"momentum": module.momentum, "track_running_stats": tracked}
    if isinstance(module, nn.SyncBatchNorm):
        settings["sync"] = True
        settings |= {} if module.process_group is None else {"process_group": module.process_group}
    return Description("batch", module.num_features, 1, module.eps, module.affine, settings, state_of(module))


def _frozen_batch(module: Any) -> Description:
    return Description("batch", module.weight.shape[0], 1, module.eps, True, {}, state_of(module), frozen=True)


def _instance(module: Any) -> Description:
    return replace(_batch(module), method="instance")


def _group(module: Any) -> Description:
    settings = {"num_groups": module.num_groups}
    return Description("group", module.num_channels, 1, module.eps, module.affine, settings, state_of(module))


def _layer(method: str, channel_dim: int) -> Callable[[Any], Description]:
    def read(module: Any) -> Description:
        if len(module.normalized_shape) > 1:
            raise UnknownNorm(
                f"has a scale and shift for each of {tuple(module.normalized_shape)} elements, but every norm here has them per channel"
            )
        settings = {"scope": "position"}
        return Description(
            method, module.normalized_shape[0], channel_dim, module.eps, module.elementwise_affine, settings, state_of(module)
        )  # fmt: skip

    return read


def _with_own_activation(method: str) -> Callable[[Any], Description]:
    def read(module: Any) -> Description:
        active = bool(module.apply_act)
        settings = {"momentum": module.momentum} if hasattr(module, "momentum") else {}
        groups = getattr(module, "groups", None)
        settings |= {} if groups is None else {"num_groups": groups}
        return Description(
            method, module.weight.shape[0], 1, module.eps, True, settings, state_of(module), fused=True, own_activation=active
        )  # fmt: skip

    return read


def _filter_response(module: Any) -> Description:
    return Description("frn", module.weight.shape[0], 1, module.eps, True, {}, state_of(module), fused=True)


def _local_response(module: Any) -> Description:
    raise UnknownNorm(f"is a {type(module).__qualname__}, which does not know its number of channels")


KNOWN: Mapping[tuple[str, str], Callable[[Any], Description]] = {
    **{("torch", f"BatchNorm{n}d"): _batch for n in (1, 2, 3)},
    **{("torch", f"LazyBatchNorm{n}d"): _batch for n in (1, 2, 3)},
    **{("torch", f"InstanceNorm{n}d"): _instance for n in (1, 2, 3)},
    **{("torch", f"LazyInstanceNorm{n}d"): _instance for n in (1, 2, 3)},
    ("torch", "SyncBatchNorm"): _batch,
    ("torch", "GroupNorm"): _group,
    ("torch", "LayerNorm"): _layer("layer", -1),
    ("torch", "RMSNorm"): _layer("rms", -1),
    ("torch", "LocalResponseNorm"): _local_response,
    ("torch", "CrossMapLRN2d"): _local_response,
    ("torchvision", "FrozenBatchNorm2d"): _frozen_batch,
    ("torchvision", "LayerNorm2d"): _layer("layer", 1),
    ("timm", "BatchNormAct2d"): _batch,
    ("timm", "SyncBatchNormAct"): _batch,
    ("timm", "FrozenBatchNormAct2d"): _frozen_batch,
    **{("timm", f"GroupNorm{suffix}"): _group for suffix in ("", "1", "Act", "1Act")},
    **{
        ("timm", f"{name}{act}{dims}{precision}"): _layer(method, 1 if dims else -1)
        for name, method in (("LayerNorm", "layer"), ("RmsNorm", "rms"))
        for act in ("", "Act")
        for dims in ("", "2d")
        for precision in ("", "Fp32")
    },
    ("timm", "LayerNormExp2d"): _layer("layer", 1),
    ("timm", "FilterResponseNormTlu2d"): _with_own_activation("frn"),
    ("timm", "FilterResponseNormAct2d"): _filter_response,
    **{("timm", f"EvoNorm2d{series}"): _with_own_activation("") for series in ("B1", "B2", "S0a", "S1", "S1a", "S2", "S2a")},
    ("timm", "EvoNorm2dB0"): _with_own_activation("evonorm_b0"),
    ("timm", "EvoNorm2dS0"): _with_own_activation("evonorm_s0"),
}  # fmt: skip
