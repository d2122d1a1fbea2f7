"""Checks that what is timed beside a norm computes the same: output, gradients and running statistics of every formula."""

from __future__ import annotations

import functools

import pytest
import torch

from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.timings.cases import Case
from normlib.timings.contenders import allowed_ratios, contenders, settings_of
from normlib.timings.formulas import FORMULAS, Formula, compiled_formula
from normlib.timings.measurement import TOTAL_STEPS, Lineup, lineup

SHAPES = {2: "4x16", 3: "4x5x16", 4: "4x16x3x3", 5: "4x16x2x3x3"}
TIMED = [each.name for each in norms.entries() if each.cls.slot != "weight" and each.name != "none"]
OPENED = 20_000  # steps: batch renorm's bounds are apart from 1 and 0


def _norm(name: str, case: Case) -> Norm:
    made: Norm = norms[name].cls(16, **settings_of(name, case.channel_dim), channel_dim=case.channel_dim)
    made.set_total_steps(TOTAL_STEPS)
    return made


def _takes(norm: Norm, x: torch.Tensor) -> bool:
    try:
        norm(x)
    except ValueError:
        return False
    return True


def test_every_norm_that_is_timed_has_a_formula() -> None:
    assert set(TIMED) == set(FORMULAS)


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", TIMED)
def test_the_formula_computes_what_the_norm_does(name: str, rank: int) -> None:
    """In float64, with a mean and parameters of their own, at the start and late; 1e-10 is its rounding over some tens of steps."""
    case = Case(SHAPES[rank], "contiguous", "float64", "cpu", 1, inputs="shifted")
    if not _takes(_norm(name, case).double(), case.draw(0)):
        pytest.skip("the norm refuses this input, so nothing is timed")
    for step in (0, OPENED):
        norm = _norm(name, case).double()
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in norm.parameters():
                parameter.add_(torch.rand(parameter.shape, generator=generator, dtype=torch.float64))
        if "num_batches_tracked" in norm.state_dict():
            norm.state_dict()["num_batches_tracked"].fill_(step)
        formula = Formula(norm, name, rank).double()
        leaves = [case.draw(0).requires_grad_() for _ in range(2)]
        outputs = [layer(leaf) for layer, leaf in zip((norm, formula), leaves, strict=True)]
        for output in outputs:
            output.backward(case.draw_gradient(1))
        close = {"rtol": 1e-10, "atol": 1e-10}
        torch.testing.assert_close(outputs[1], outputs[0], **close)
        torch.testing.assert_close(leaves[1].grad, leaves[0].grad, **close)
        for key, parameter in norm.named_parameters():
            torch.testing.assert_close(formula.get_parameter(key).grad, parameter.grad, **close)
        torch.testing.assert_close(dict(formula.state_dict()), dict(norm.state_dict()), **close)


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", ["batch", "group", "layer", "instance", "rms", "pono"])
def test_layers_of_others_do_what_the_norm_does(name: str, rank: int) -> None:
    """Else the ratio would say nothing; 1e-5 is float32's rounding here."""
    case = Case(SHAPES[rank], "contiguous", "float32", "cpu", 1)
    norm, x = _norm(name, case), case.draw(0)
    others, left_out = contenders(norm, name, rank, compiles=False)
    assert {"torch.nn", "timm", "compiled"} == {*others, *left_out}
    if _takes(norm, x):
        expected = _norm(name, case)(x)
        for each in others.values():
            torch.testing.assert_close(each.layer(x), expected, rtol=0, atol=1e-5)


def test_a_compiled_formula_that_computes_something_else_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMULAS, "dyt", lambda layer, x: layer.scaled(torch.tanh(layer.alpha * x) * 1.01))
    monkeypatch.setattr(
        "normlib.timings.contenders.compiled_formula", lambda norm, name, rank: Formula(norm, name, rank)
    )
    monkeypatch.setattr("shutil.which", lambda name: name)
    found = lineup("dyt", Case("4x16", "contiguous", "float32", "cpu", 1), compiles=True)
    assert isinstance(found, Lineup) and "compiled" not in found.layers
    assert found.left_out["compiled"].startswith("computes something else, off by 0.00")


def test_formulas_are_compiled_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else torch checks those of all norms at every call, and runs the ninth uncompiled. The backend does not matter to that."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    case = Case("4x16", "contiguous", "float32", "cpu", 1)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for name in ("dyt", "group", "rms"):
            norm = _norm(name, case)
            torch.testing.assert_close(compiled_formula(norm, name, 2)(case.draw(0)), norm(case.draw(0)))


def test_the_measure_is_torchs_layer_where_torch_has_it_and_the_formula_elsewhere() -> None:
    beside = ("torch.nn", "compiled", "timm")
    assert allowed_ratios("batch", beside) == {"torch.nn": 1.05}
    assert allowed_ratios("rms", ["compiled"]) == {"compiled": 1.2}
    assert allowed_ratios("lrn", beside) == {"torch.nn": 1.05, "compiled": 1.2}
    assert allowed_ratios("batch_renorm", beside) == {"torch.nn": 1.5, "compiled": 1.2}


@pytest.mark.parametrize("shape", SHAPES.values())
def test_a_norm_that_does_nothing_is_not_timed(shape: str) -> None:
    assert "passes its input through" in str(lineup("none", Case(shape, "contiguous", "float32", "cpu", 1), False))
