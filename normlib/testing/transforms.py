"""Checks on torch's transformations: compiled, vectorized, functional and exported, a norm does what it does by itself."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require, require_close, same_state
from normlib.testing.saved import train
from normlib.testing.subject import draw, norms_in, subject

# Compiled, sums are taken in another order; a few training steps multiply what that changes.
ROUNDING_OF_A_RUN = 20 * ROUNDING
MODELS = 3


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


def check_vmap(norm: str | type[Norm], **settings: Any) -> None:
    """torch.func.vmap over stacked parameters and buffers trains several models at once, with their gradients and running statistics."""
    of = subject(norm, **settings)
    modules = [of.warmed_up(of.standing()) for _ in range(MODELS)]
    for seed, module in enumerate(modules):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(draw(tuple(parameter.shape), seed=30 + seed), alpha=0.1)
    x = torch.stack([draw(of.images, seed=seed) for seed in range(MODELS)])
    weighting = draw(of.images, seed=4)
    for training in (True, False):
        for module in modules:
            module.train(training)
        parameters, buffers = torch.func.stack_module_state(modules)
        skeleton = copy.deepcopy(modules[0]).to("meta")

        def objective(
            p: dict[str, Any], b: dict[str, Any], x: Tensor, of: nn.Module = skeleton
        ) -> tuple[Tensor, Tensor]:
            y = torch.func.functional_call(of, (p, b), (x,))
            return (y * weighting).sum(), y

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # slow is not wrong
            gradients, outputs = torch.func.vmap(torch.func.grad(objective, has_aux=True))(parameters, buffers, x)
        for index, module in enumerate(modules):
            value, y = objective(dict(module.named_parameters()), dict(module.named_buffers()), x[index], module)
            expected = torch.autograd.grad(value, list(module.parameters())) if parameters else ()
            what = f"vmap in {'training' if training else 'eval mode'}, model {index}"
            require_close(outputs[index], y, ROUNDING, f"{what}: output")
            for name, gradient in zip(parameters, expected, strict=True):
                scale = gradient.abs().max().clamp(min=1)
                require_close(gradients[name][index] / scale, gradient / scale, ROUNDING, f"{what}: gradient of {name}")
            for name, buffer in module.named_buffers():
                require_close(buffers[name][index], buffer, ROUNDING, f"{what}: {name}")


def check_functional_call(norm: str | type[Norm], **settings: Any) -> None:
    """torch.func.functional_call uses the parameters and buffers that it is given, moves those, and leaves the norm's own alone."""
    of = subject(norm, **settings)
    module, other = of.standing(), of.warmed_up(of.standing())
    before = copy.deepcopy(module.state_dict())
    state = {name: value.detach().clone() for name, value in [*other.named_parameters(), *other.named_buffers()]}
    x = draw(of.images, seed=5)
    got = torch.func.functional_call(module, state, (x,))
    require_close(got, other(x), ROUNDING, "functional_call with another norm's state against that norm")
    require(same_state(before, module.state_dict()), "functional_call changes the norm's own state")
    for name, value in other.state_dict().items():
        require_close(state[name], value, ROUNDING, f"{name} after functional_call")


def check_export(norm: str | type[Norm], **settings: Any) -> None:
    """torch.export takes the norm, for batches of any size, in eval mode and in training."""
    of = subject(norm, **settings)
    for training in (False, True):
        module = of.warmed_up(of.standing()).train(training)
        expected = copy.deepcopy(module)
        samples = torch.export.Dim("samples", min=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported: Any = torch.export.export(module, (draw(of.images),), dynamic_shapes=({0: samples},)).module()
        what = "training" if training else "eval mode"
        for size in (6, 5):
            x = draw((size, *of.images[1:]), seed=size)
            require_close(exported(x), expected(x), ROUNDING, f"exported in {what}, a batch of {size}")
