"""Checks torch.func's ensembles: in one call of vmap, each of several models does what it does alone."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require_close, require_same_values, state_of
from normlib.testing.subject import Subject, draw, norms_in, set_clock, subject

MODELS = 3


def check_vmap(norm: str | type[Norm], **settings: Any) -> None:
    """torch.func.vmap over stacked state runs several models at once, with and without gradients, in both modes."""
    tested = subject(norm, **settings)
    models = [_model(tested, seed) for seed in range(MODELS)]
    x = torch.stack([draw(tested.images, seed=seed) for seed in range(MODELS)])
    for training, with_gradient in itertools.product((True, False), (True, False)):
        for model in models:
            model.train(training)
        for moving in (True, False) if training else (True,):
            for each in [each for model in models for each in norms_in(model)]:
                each.update_running = moving
            mode = f"training{'' if moving else ', update_running False'}" if training else "eval mode"
            what = f"vmap in {mode}, {'with' if with_gradient else 'without'} gradient"
            _check_ensemble(models, x, with_gradient, what)


def _model(tested: Subject, seed: int) -> nn.Module:
    """One member, so late in the run that every schedule is over.

    It is behind a layer, because vmap gives the layer's output another memory layout.
    """
    model: nn.Module = tested.warmed_up(tested.network())
    set_clock(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(draw(tuple(parameter.shape), seed=30 + seed), alpha=0.1)
    return model


def _check_ensemble(models: Sequence[nn.Module], x: Tensor, with_gradient: bool, what: str) -> None:
    """Outputs, gradients and state of all models together equal those of a loop over copies of them."""
    parameters, buffers = torch.func.stack_module_state(list(models))
    skeleton = copy.deepcopy(models[0]).to("meta")
    weighting = draw(tuple(x.shape[1:]), seed=4)

    def weighed(p: dict[str, Any], b: dict[str, Any], x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.func.functional_call(skeleton, (p, b), (x,))
        return (y * weighting).sum(), y

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")  # slow is not wrong
        gradients: dict[str, Tensor] = {}
        if with_gradient:
            gradients, outputs = torch.func.vmap(torch.func.grad(weighed, has_aux=True))(parameters, buffers, x)
        else:  # it is enough if one of the two runs with separate random numbers for each model
            _, outputs = torch.func.vmap(weighed, randomness="different")(parameters, buffers, x)
    for index, model in enumerate(models):
        alone = copy.deepcopy(model)
        y = alone(x[index])
        require_close(outputs[index], y, ROUNDING, f"{what}: output of model {index}")
        if gradients:
            (y * weighting).sum().backward()
            expected = {name: value.grad for name, value in alone.named_parameters() if value.grad is not None}
            got = {name: gradients[name][index] for name in gradients}
            require_same_values(got, expected, ROUNDING, f"{what}: gradients of model {index}")
        moved = {name: buffer[index] for name, buffer in buffers.items()}
        expected = {name: value for name, value in state_of(alone).items() if name in moved}
        require_same_values(moved, expected, ROUNDING, f"{what}: state of model {index}")
