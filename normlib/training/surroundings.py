"""Gives every run the same state of torch and of the process, and restores the caller's afterwards.

A run is a function of its spec. What a caller has set around it must not reach it. In a notebook this may be autocast,
inference mode, another default type or a lower precision of products; in a shell, variables that Lightning reads. Every
flag here gets its value in a fresh process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

READ_BY_LIGHTNING = ("PL_", "SLURM_", "TORCHELASTIC_")
"""Prefixes of variables from which Lightning's Trainer reads settings or a cluster."""
RANKS = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "JSM_NAMESPACE_RANK",
)
"""Variables of launchers. With these, Lightning takes a process for one of many."""
AUTOCAST_DEVICES = ("cpu", "cuda", "mps")
SMALLEST_DENORMAL = 5e-324
STANDARD_PRECISION = {
    ("generic", "all"): "none", ("cuda", "all"): "none", ("cuda", "matmul"): "none", ("cuda", "conv"): "tf32",
    ("cuda", "rnn"): "tf32", ("mkldnn", "all"): "none", ("mkldnn", "matmul"): "none", ("mkldnn", "conv"): "none",
    ("mkldnn", "rnn"): "none",
}  # fmt: skip
"""How a fresh process multiplies float32, by backend and operation. Tests compare it with one."""


class _Flag(NamedTuple):
    """One setting of torch: how to read and write it, and its value in a fresh process."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    standard: Any


@contextlib.contextmanager
def standard_surroundings(threads: int) -> Iterator[None]:
    """Inside the block, torch is as in a fresh process with `threads` threads.

    Lightning finds no settings in the environment.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_without_variables())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_standard_precision())
        for flag in (*_flags(), _Flag(torch.get_num_threads, torch.set_num_threads, threads)):
            before = flag.read()
            stack.callback(_put, flag, before)  # Lightning and norms from elsewhere change some, too
            _put(flag, flag.standard)
        torch.clear_autocast_cache()  # an autocast around this one would keep casts of other weights
        stack.callback(torch.clear_autocast_cache)
        yield


@contextlib.contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Whether convolutions on the CPU use oneDNN or torch's own kernels."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = enabled  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def _put(flag: _Flag, value: Any) -> None:
    if flag.read() != value:
        flag.write(value)


@contextlib.contextmanager
def _without_variables() -> Iterator[None]:
    """Take the variables of Lightning and of launchers out of the environment for a while."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith(READ_BY_LIGHTNING) or name in RANKS}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextlib.contextmanager
def _standard_precision() -> Iterator[None]:
    """Multiply float32 as in a fresh process. Since 2.9 torch keeps this twice, under old and new names."""
    old, new = _old_precision(), _new_precision()
    _set_precision("highest", True, STANDARD_PRECISION)
    try:
        yield
    finally:
        _set_precision(*old, new)


def _old_precision() -> tuple[str, bool]:
    """The old settings. If the new names were used, torch refuses to read them, and the standard ones serve."""
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return "highest", True


def _new_precision() -> dict[tuple[str, str], str]:
    if not hasattr(torch._C, "_get_fp32_precision_getter"):
        return {}
    return {key: torch._C._get_fp32_precision_getter(*key) for key in STANDARD_PRECISION}


def _set_precision(products: str, tf32_convolutions: bool, new: dict[tuple[str, str], str]) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = tf32_convolutions
    for key, value in new.items() if hasattr(torch._C, "_get_fp32_precision_getter") else ():
        if torch._C._get_fp32_precision_getter(*key) != value:  # an inherited value is not set again
            torch._C._set_fp32_precision_setter(*key, value)


def _flags() -> list[_Flag]:
    cuda, cudnn, mkldnn = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
    products = cuda.matmul

    def attribute(owner: Any, name: str, standard: Any) -> _Flag:
        return _Flag(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), standard)

    def autocast(device: str) -> _Flag:
        return _Flag(
            lambda: torch.is_autocast_enabled(device), lambda value: torch.set_autocast_enabled(device, value), False
        )

    flags = [
        _Flag(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        _Flag(_determinism, _set_determinism, (False, False)),
        _Flag(_flushes_denormals, torch.set_flush_denormal, False),
        _Flag(
            torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False
        ),  # it would turn divergence into an error
        _Flag(torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled, True),
        _Flag(cuda.flash_sdp_enabled, cuda.enable_flash_sdp, True),
        _Flag(cuda.math_sdp_enabled, cuda.enable_math_sdp, True),
        _Flag(cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, True),
        _Flag(cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp, True),
        _Flag(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, True),
        attribute(cudnn, "enabled", True),
        attribute(cudnn, "benchmark", False),
        attribute(cudnn, "deterministic", False),
        attribute(mkldnn, "enabled", True),
        attribute(mkldnn, "deterministic", False),
        attribute(products, "allow_fp16_reduced_precision_reduction", True),
        attribute(products, "allow_bf16_reduced_precision_reduction", True),
    ]
    return [*flags, *map(autocast, AUTOCAST_DEVICES)]


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_determinism(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _flushes_denormals() -> bool:
    """Whether the processor takes the smallest numbers for zero. Torch can set that, but not read it."""
    return bool((torch.tensor(SMALLEST_DENORMAL, dtype=torch.float64, device="cpu") * 1.0).item() == 0)
