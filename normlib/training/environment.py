"""Where a run ran: versions, processor, accelerator, threads, the project's commit. Never a host name."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

RESET_PEAK = "5"  # written to clear_refs, it resets the peak of the resident set on Linux (man 5 proc)


def resolve_accelerator(accelerator: str) -> str:
    """The device type that "auto" stands for on this machine. Other names are returned unchanged.

    Raises ValueError if the device is not available.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if accelerator == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(accelerator, False):
        usable = [name for name, there in available.items() if there]
        raise ValueError(
            f"accelerator={accelerator!r} is not available on this machine; use one of auto, {', '.join(usable)}"
        )
    return accelerator


def describe(accelerator: str, threads: int) -> dict[str, Any]:
    """The environment section of a record."""
    return _fixed() | {
        "accelerator": torch.cuda.get_device_name() if accelerator == "cuda" else accelerator,
        "threads": threads,
        "commit": project_commit(os.getcwd()),
    }


@functools.cache
def _fixed() -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in ("normlib", "pytorch-lightning", "hydra-core")}
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        **versions,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def project_commit(folder: str) -> str | None:
    """The git commit of the project around `folder`, with "-dirty" if there are uncommitted changes. None without git."""
    no_programs = ["-c", "core.fsmonitor=false"]  # git would run one that the repository names
    command = ["git", *no_programs, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


class PeakMemory:
    """The peak memory of a run in bytes, beyond what was used before. None if it cannot be read.

    On CUDA it is torch's own count, on Linux the peak of the resident set.
    """

    def __init__(self, accelerator: str) -> None:
        self.accelerator = accelerator
        if accelerator == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before: int | None = torch.cuda.memory_allocated()
            return
        try:
            Path("/proc/self/clear_refs").write_text(RESET_PEAK, encoding="utf-8")
            self.before = _resident("VmRSS")
        except OSError:
            self.before = None

    def read(self) -> int | None:
        if self.before is None:
            return None
        if self.accelerator == "cuda":
            return torch.cuda.max_memory_allocated() - self.before
        return max(0, _resident("VmHWM") - self.before)


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024  # the kernel counts in KiB
    raise OSError(f"no {field} in /proc/self/status")
