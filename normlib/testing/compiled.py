"""Checks on torch.compile: a compiled norm trains as the same norm without compiling, and what the default backend generates is right.

In comes a norm, out goes nothing but a broken promise, or the reason why Inductor compiles nothing on this machine.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch._inductor.config
from torch import nn

from normlib.norms.base import Norm
from normlib.testing.requirements import (
    ROUNDING,
    NotRunError,
    accepted,
    require,
    require_close,
    require_same_values,
    state_of,
)
from normlib.testing.saved import train
from normlib.testing.subject import Subject, draw, norms_in, set_clock, subject

# Compiled, sums are taken in another order; a few training steps multiply what that changes.
ROUNDING_OF_A_RUN = 20 * ROUNDING
STEPS = 3
# Of a parameter's largest gradient, or of the least that counts. Where the statistics are of two values, as in group norm on flat
# inputs, rounding alone makes 4e-4 of it, compiled or not; the faults seen in batch renorm made 1e-2 and more.
WRONG_GRADIENT = 1e-3
LEAST_GRADIENT = 1e-3


def check_compile(norm: str | type[Norm], **settings: Any) -> None:
    """torch.compile takes the norm whole (fullgraph=True), compiles it once, and trains as without; the norm's clock runs on."""
    of = subject(norm, **settings)
    eager, network = of.network(), of.network()
    torch.compiler.reset()
    compiled: Any = torch.compile(
        network, fullgraph=True, backend="aot_eager"
    )  # no code is generated: no compiler needed
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9) for module in (eager, network)]
    try:
        for steps in (range(1), range(1, 5)):
            with torch.compiler.set_stance("default" if steps.start == 0 else "fail_on_recompile"):
                got = train(compiled, optimizers[1], of.images, steps)
            expected = train(eager, optimizers[0], of.images, steps)
            for step, y, right in zip(steps, got, expected, strict=True):
                require_close(y, right, ROUNDING_OF_A_RUN, f"compiled against eager at step {step + 1}")
        for name, value in eager.state_dict().items():
            require_close(network.state_dict()[name], value, ROUNDING_OF_A_RUN, f"{name} after 5 compiled steps")
        for one, other in zip(norms_in(network), norms_in(eager), strict=True):
            for key, reported in other.report().items():
                require(
                    abs(one.report()[key] - reported) <= ROUNDING_OF_A_RUN,
                    f"after 5 compiled steps it reports {key}={one.report()[key]:g}, without compiling {reported:g}",
                )
        x = draw(of.images, seed=9)
        require_close(compiled.eval()(x), eager.eval()(x), ROUNDING_OF_A_RUN, "compiled against eager in eval mode")
    finally:
        torch.compiler.reset()


def check_inductor(norm: str | type[Norm], **settings: Any) -> None:
    """Compiled by torch.compile's default backend, two blocks of layer, norm and ReLU train as without: outputs, gradients, state."""
    reason = _why_inductor_cannot_run()
    if reason:
        raise NotRunError(reason)
    of = subject(norm, **settings)
    positions = _fewest_positions(of)
    shape = of.shapes[positions]
    eager, network = _two_blocks(of, positions), _two_blocks(of, positions)
    torch.compiler.reset()
    with _compiling_in_this_process():
        compiled: Any = torch.compile(network)
        optimizers = [torch.optim.SGD(module.parameters(), lr=0.05) for module in (eager, network)]
        try:
            for step in range(STEPS):
                (y,) = train(compiled, optimizers[1], shape, range(step, step + 1))
                (right,) = train(eager, optimizers[0], shape, range(step, step + 1))
                what = f"compiled by Inductor, against eager, at step {step + 1}"
                require_close(y, right, ROUNDING_OF_A_RUN, what)
                _require_same_gradients(network, eager, what)
            what = f"after {STEPS} steps compiled by Inductor"
            require_same_values(state_of(network), state_of(eager), ROUNDING_OF_A_RUN, what)
            x = draw(shape, seed=9)
            with torch.no_grad():
                y, right = compiled.eval()(x), eager.eval()(x)
            require_close(y, right, ROUNDING_OF_A_RUN, "compiled by Inductor, against eager, in eval mode")
        finally:
            torch.compiler.reset()


def _require_same_gradients(network: nn.Module, eager: nn.Module, what: str) -> None:
    """Relative to the largest of its parameter: gradients are smaller than outputs, and a wrong one shows late in these."""
    for (name, one), other in zip(network.named_parameters(), eager.parameters(), strict=True):
        require((one.grad is None) == (other.grad is None), f"{what}: whether {name} has a gradient")
        if one.grad is not None and other.grad is not None:
            scale = other.grad.abs().max().clamp(min=LEAST_GRADIENT)
            require_close(one.grad / scale, other.grad / scale, WRONG_GRADIENT, f"{what}: gradient of {name}")


def _fewest_positions(of: Subject) -> int:
    """None where the norm takes flat inputs: linear layers need half as many kernels as convolutions. On weights these count, though."""
    takes_flat = of.cls.slot == "norm" and accepted(of.network(0), draw(of.shapes[0])) is not None
    return 0 if takes_flat else 2


def _two_blocks(of: Subject, positions: int) -> nn.Module:
    """The fewest blocks that showed Inductor's fault with batch renorm's stacked r and d: alone its kernel was right."""
    activation = nn.Identity if of.cls.slot == "site" else nn.ReLU
    network = nn.Sequential(of.network(positions), activation(), of.network(positions), activation())
    set_clock(network)
    return network


def _compiling_in_this_process() -> AbstractContextManager[None]:
    """Without torch's pool of compiling processes, whose start costs more than the few kernels here."""
    patched: AbstractContextManager[None] = torch._inductor.config.patch(compile_threads=1)
    return patched


@functools.cache
def _why_inductor_cannot_run() -> str:
    """Why the default backend compiles nothing here, such as that there is no C++ compiler; empty where it does."""
    try:
        with _compiling_in_this_process():
            torch.compile(lambda x: x.sin() + 1)(torch.ones(8))
    except Exception as error:  # whatever it says: the machine cannot run the check
        return f"torch.compile's default backend does not run on this machine: {str(error).strip().splitlines()[0]}"
    finally:
        torch.compiler.reset()
    return ""
