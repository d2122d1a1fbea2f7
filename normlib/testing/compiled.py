"""Checks on torch.compile: a compiled norm trains like an uncompiled one, and Inductor's code is right.

In: a norm. Out: nothing, or a broken promise, or the reason why Inductor compiles nothing on this machine.
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

# Compiled code sums in another order. A few training steps multiply the difference.
ROUNDING_OF_A_RUN = 20 * ROUNDING
STEPS = 3
# As a share of a parameter's largest gradient, which counts as LEAST_GRADIENT at least. Statistics of two values, as in group
# norm on flat inputs, have rounding errors of 4e-4, compiled or not. Real faults in batch renorm made 1e-2 and more.
WRONG_GRADIENT = 1e-3
LEAST_GRADIENT = 1e-3


def check_compile(norm: str | type[Norm], **settings: Any) -> None:
    """torch.compile takes the norm whole (fullgraph=True), compiles it once, and it trains the same; its clock runs on."""
    tested = subject(norm, **settings)
    eager, network = tested.network(), tested.network()
    torch.compiler.reset()
    compiled: Any = torch.compile(
        network, fullgraph=True, backend="aot_eager"
    )  # no code is generated: no compiler needed
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9) for module in (eager, network)]
    try:
        for steps in (range(1), range(1, 5)):
            with torch.compiler.set_stance("default" if steps.start == 0 else "fail_on_recompile"):
                got = train(compiled, optimizers[1], tested.images, steps)
            expected = train(eager, optimizers[0], tested.images, steps)
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
        x = draw(tested.images, seed=9)
        require_close(compiled.eval()(x), eager.eval()(x), ROUNDING_OF_A_RUN, "compiled against eager in eval mode")
    finally:
        torch.compiler.reset()


def check_inductor(norm: str | type[Norm], **settings: Any) -> None:
    """Compiled by Inductor, two blocks of layer, norm and ReLU train as before: outputs, gradients, state."""
    reason = _why_inductor_cannot_run()
    if reason:
        raise NotRunError(reason)
    tested = subject(norm, **settings)
    positions = _fewest_positions(tested)
    shape = tested.shapes[positions]
    eager, network = _two_blocks(tested, positions), _two_blocks(tested, positions)
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
    """Compared with the largest of each parameter: gradients are small, so a wrong one shows late in the outputs."""
    for (name, one), other in zip(network.named_parameters(), eager.parameters(), strict=True):
        require((one.grad is None) == (other.grad is None), f"{what}: whether {name} has a gradient")
        if one.grad is not None and other.grad is not None:
            scale = other.grad.abs().max().clamp(min=LEAST_GRADIENT)
            require_close(one.grad / scale, other.grad / scale, WRONG_GRADIENT, f"{what}: gradient of {name}")


def _fewest_positions(tested: Subject) -> int:
    """0 if the norm takes flat inputs, since linear layers need half as many kernels as convolutions. Else 2.

    A method on weights gets convolutions, since there the kernels count.
    """
    takes_flat = tested.cls.slot == "norm" and accepted(tested.network(0), draw(tested.shapes[0])) is not None
    return 0 if takes_flat else 2


def _two_blocks(tested: Subject, positions: int) -> nn.Module:
    """The fewest blocks that showed Inductor's fault with batch renorm's stacked r and d. Its kernel alone was right."""
    activation = nn.Identity if tested.cls.slot == "site" else nn.ReLU
    network = nn.Sequential(tested.network(positions), activation(), tested.network(positions), activation())
    set_clock(network)
    return network


def _compiling_in_this_process() -> AbstractContextManager[None]:
    """Without torch's pool of compiling processes, which takes longer to start than these few kernels."""
    patched: AbstractContextManager[None] = torch._inductor.config.patch(compile_threads=1)
    return patched


@functools.cache
def _why_inductor_cannot_run() -> str:
    """Why the default backend compiles nothing here, for example without a C++ compiler. Empty if it does."""
    try:
        with _compiling_in_this_process():
            torch.compile(lambda x: x.sin() + 1)(torch.ones(8))
    except Exception as error:  # any error: the machine cannot run the check
        return f"torch.compile's default backend does not run on this machine: {str(error).strip().splitlines()[0]}"
    finally:
        torch.compiler.reset()
    return ""
