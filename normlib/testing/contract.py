"""The whole contract: every check by name, what each found, and `check_norm`, which raises what is broken.

In: a norm's registered name or its class, with settings. Out: findings. A norm may declare promises that it cannot keep
(`Norm.exceptions`); they are reported with its reason. An exception that the norm keeps after all is a broken promise,
too. A plain module has made fewer promises (`normlib.testing.plain`). If it breaks another one, that is reported, but
not as a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from normlib.naming import unknown_name
from normlib.norms.base import Norm
from normlib.norms.declarations import INVARIANCES
from normlib.testing import (
    checkpointing,
    compiled,
    declarations,
    ensembles,
    float64,
    gradients,
    idioms,
    inputs,
    layouts,
    masks,
    materialized,
    modes,
    own_pass,
    precision,
    running,
    saved,
    shapes,
    statistics,
    tracing,
    transforms,
)
from normlib.testing.formulas import evaluate
from normlib.testing.plain import DECLARED_BY_THE_BASE_CLASS, promises
from normlib.testing.requirements import ContractError, NotRunError, require
from normlib.testing.subject import subject

SLOTS = ("norm", "site", "weight", "branch")


@dataclass(frozen=True)
class Finding:
    """The result of one check, with the reason.

    "ok"; "declared": the norm says that it cannot; "unpromised": a plain module does not, and has not promised it; "not
    run": this machine cannot run the check; or "FAILED".
    """

    check: str
    status: str
    reason: str = ""

    @property
    def promise(self) -> str:
        """In words: the promise that is checked."""
        return (CHECKS[self.check].__doc__ or "").strip().splitlines()[0]

    def __str__(self) -> str:
        return f"{self.status:8} {self.check}" + (f": {self.reason}" if self.reason else "")


def check_declarations(norm: str | type[Norm], **settings: Any) -> None:
    """Slot, invariances, counts and exceptions are declared in known words, and every exception has a reason."""
    cls = subject(norm, **settings).cls
    require(cls.slot in SLOTS, f"slot is one of {', '.join(SLOTS)}, got {cls.slot!r}")
    for name in cls.invariances:
        require(name in INVARIANCES, unknown_name("invariance", name, INVARIANCES))
    for formula in (cls.parameter_count, cls.buffer_count):
        evaluate(formula, C=1, F=1)
    for name, reason in cls.exceptions.items():
        require(name in CHECKS, "exceptions: " + unknown_name("check", name, CHECKS))
        require(bool(reason.strip()), f"exceptions: {name!r} needs a reason")


CHECKS: dict[str, Callable[..., None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_declarations,
        declarations.check_counts,
        declarations.check_start,
        declarations.check_random_numbers,
        declarations.check_dependence,
        declarations.check_invariances,
        shapes.check_shapes,
        inputs.check_input_types,
        inputs.check_unbatched,
        shapes.check_network,
        shapes.check_channels_last,
        shapes.check_meta,
        shapes.check_empty,
        shapes.check_degenerate,
        shapes.check_one_number,
        layouts.check_memory_formats,
        precision.check_precision,
        float64.check_float64,
        precision.check_half,
        precision.check_autocast,
        gradients.check_gradients,
        gradients.check_second_gradients,
        own_pass.check_own_pass,
        checkpointing.check_checkpointing,
        running.check_running_averages,
        statistics.check_kept_statistics,
        statistics.check_recomputed_statistics,
        statistics.check_ghost_batches,
        modes.check_modes,
        modes.check_frozen,
        modes.check_non_finite,
        masks.check_mask,
        idioms.check_reset_parameters,
        idioms.check_no_bias,
        idioms.check_track_running_stats,
        idioms.check_parameter_dimensions,
        saved.check_state_dict,
        saved.check_deepcopy,
        saved.check_pickle,
        saved.check_resume,
        materialized.check_to_empty,
        compiled.check_compile,
        compiled.check_inductor,
        tracing.check_fx,
        tracing.check_jit_trace,
        ensembles.check_vmap,
        transforms.check_functional_call,
        transforms.check_export,
    )
}


def finding(check: str, norm: str | type[nn.Module], **settings: Any) -> Finding:
    """Run one check and return its finding."""
    cls = subject(norm, **settings).cls
    excuse = cls.exceptions.get(check)
    if not promises(cls, check) and check in DECLARED_BY_THE_BASE_CLASS:
        return Finding(check, "unpromised", DECLARED_BY_THE_BASE_CLASS[check])
    try:
        CHECKS[check](norm, **settings)
    except NotRunError as error:
        return Finding(check, "not run", str(error))
    except Exception as error:  # a check that cannot run has found a fault, whatever it is
        if excuse is not None:
            return Finding(check, "declared", excuse)
        words = str(error) if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"
        return Finding(check, "FAILED" if promises(cls, check) else "unpromised", words)
    if excuse is not None and not settings:
        return Finding(check, "FAILED", f"is declared as an exception ({excuse}), but the norm keeps this promise")
    return Finding(check, "ok")


def findings(norm: str | type[nn.Module], **settings: Any) -> Iterator[Finding]:
    """Run all checks, one by one. Raises the norm's own ValueError if it takes these settings at no width."""
    _ = subject(norm, **settings).channels
    for check in CHECKS:
        yield finding(check, norm, **settings)


def check_norm(norm: str | type[nn.Module], **settings: Any) -> list[Finding]:
    """Run all checks on a norm, given by its registered name or as a class, which may be a plain module's.

    Raises ContractError with everything that the norm breaks.
    """
    found = list(findings(norm, **settings))
    broken = [each for each in found if each.status == "FAILED"]
    if broken:
        name = norm if isinstance(norm, str) else norm.__qualname__
        raise ContractError(
            f"{name} breaks {len(broken)} of {len(found)} promises:\n" + "\n".join(f"  {each}" for each in found)
        )
    return found
