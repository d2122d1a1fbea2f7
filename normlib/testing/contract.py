"""The contract that every norm passes, ours or yours: one check a promise, and `check_norm`, which runs them all.

In comes a norm's registered name or its class; a broken promise raises ContractError, which says what was promised and
what came. Inputs are drawn from a generator of their own, so that nothing here is random or moves the global state.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normlib.norms import norms
from normlib.norms.base import Norm

CHANNELS = 8
SHAPES = ((6, CHANNELS), (6, CHANNELS, 5), (6, CHANNELS, 5, 4), (6, CHANNELS, 4, 3, 2))
IMAGES = SHAPES[2]
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}

# Float32 holds a value to 6e-8 of its size; a few dozen operations on values of order one stay below 1e-5.
ROUNDING = 1e-5
# Far from zero float32 rounds the input itself. From the rounded input a result can be right, but intermediate results, such
# as the mean, are rounded likewise: as much as some such roundings of the input would change the output is allowed. The norms
# here take up to 6, torch's batch norm on channels_last 10 and its group norm there 9,000.
INPUT_ROUNDINGS = 8
HALF_A_UNIT = 2.0**-24  # of float32, relative


class ContractError(AssertionError):
    """A norm breaks its contract; the message states the rule and what came."""


@dataclass(frozen=True)
class Finding:
    """What one check found: "ok" or "FAILED", with the reason."""

    check: str
    status: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.status:8} {self.check}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Subject:
    """The norm under test: its class and the settings it is built with."""

    cls: type[Norm]
    settings: dict[str, Any]

    def build(self, num_features: int = CHANNELS, **supplied: Any) -> Norm:
        norm = self.cls(num_features, **self.settings, **supplied)
        norm.set_total_steps(10)
        return norm.train()

    def warmed_up(self, **supplied: Any) -> Norm:
        """A norm whose affine parameters and running statistics are not those of a new one."""
        norm = self.build(**supplied)
        with torch.no_grad():
            for parameter in norm.parameters():
                parameter.add_(draw(tuple(parameter.shape), seed=11), alpha=0.1)
        for seed in range(3):
            norm(draw(IMAGES, seed=seed) + 0.5)
        return norm


def subject(norm: str | type[Norm], **settings: Any) -> Subject:
    """The norm registered as `norm`, or the class itself, with settings of its own."""
    return Subject(norms[norm].cls if isinstance(norm, str) else norm, dict(settings))


def draw(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal values, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ContractError(message)


def require_close(got: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Largest difference at most `tolerance`, relative where values exceed one."""
    expected = expected.detach().double()
    error = ((got.detach().double() - expected) / expected.abs().clamp(min=1)).abs()
    require(bool(got.isfinite().all()), f"{what}: the output is not finite")
    require(float(error.max()) <= tolerance, f"{what}: off by {float(error.max()):.3g}, allowed are {tolerance:g}")


def accepted(norm: Norm, x: Tensor) -> Tensor | None:
    """The output, or None where the norm refuses the input with the ValueError of degenerate inputs."""
    try:
        return norm(x)
    except ValueError:
        return None


def check_shapes(norm: str | type[Norm], **settings: Any) -> None:
    """Any rank from (N, C) to (N, C, D, H, W) keeps its shape and type; channels last is the same moved; wrong channels are refused."""
    of = subject(norm, **settings)
    require(accepted(of.build(), draw(IMAGES)) is not None, f"refuses an input of shape {IMAGES}")
    for shape in SHAPES:
        x = draw(shape)
        y = accepted(of.build(), x)
        if y is None:
            continue  # refusing is right where a statistic has one value only; check_degenerate looks into that
        require(y.shape == x.shape and y.dtype == x.dtype, f"shape {shape} float32 became {tuple(y.shape)} {y.dtype}")
        moved = x.movedim(1, -1).contiguous()
        last = of.build(channel_dim=-1)(moved)
        require(last.shape == moved.shape, f"channel_dim=-1: shape {tuple(moved.shape)} became {tuple(last.shape)}")
        require(last.stride() == moved.stride(), f"channel_dim=-1: strides {moved.stride()} became {last.stride()}")
        require_close(last.movedim(-1, 1), y, ROUNDING, f"channel_dim=-1 against channel_dim=1 at shape {shape}")
        wrong = draw((shape[0], CHANNELS + 1, *shape[2:]))
        require(
            accepted(of.build(), wrong) is None,
            f"an input with {CHANNELS + 1} channels is accepted by a norm for {CHANNELS}",
        )
    require(accepted(of.build(), draw((CHANNELS,))) is None, "an input of rank 1 is accepted")


def check_gradients(norm: str | type[Norm], **settings: Any) -> None:
    """In float64, gradients to the input and the parameters are those of finite differences, in training and in eval mode."""
    of = subject(norm, **settings)
    module = of.warmed_up().double()
    x = draw((3, CHANNELS, 2, 2), dtype=torch.float64).requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters)), (x,))

    def check(mode: str) -> None:
        inputs = (x, *(parameter.detach().clone().requires_grad_() for parameter in module.parameters()))
        try:
            torch.autograd.gradcheck(run, inputs)
        except torch.autograd.gradcheck.GradcheckError as error:  # type: ignore[attr-defined]
            raise ContractError(
                f"gradients in {mode} are not those of finite differences: {str(error).splitlines()[0]}"
            ) from error

    module.eval()
    check("eval mode")
    if module.constant_in_gradient:
        return  # finite differences see what the gradient is to ignore; such a norm is held against a reference of its own
    module.train()
    check("training")


def check_dtypes(norm: str | type[Norm], **settings: Any) -> None:
    """Half precision and autocast: the input's type comes out, statistics are in float32, nothing overflows; float64 stays float64."""
    of = subject(norm, **settings)
    for dtype, precision in (
        (torch.float16, 2e-3),
        (torch.bfloat16, 1.6e-2),
    ):  # two units in the last place at values from 1 to 2
        for scale in (1.0, 2e4 if dtype is torch.float16 else 1e6):
            x = (draw(IMAGES).clamp(-3, 3) * scale).to(dtype)
            expected = of.build().double()(x.double())
            y = of.build()(x)
            require(y.dtype is dtype, f"{dtype} became {y.dtype}")
            require_close(y, expected, precision, f"{dtype} at values up to {3 * scale:g}")
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = of.build()(x)
            require(y.dtype is dtype, f"{dtype} became {y.dtype} under autocast")
            require_close(y, expected, precision, f"{dtype} at values up to {3 * scale:g} under autocast")
    x = draw(IMAGES, dtype=torch.float64)
    require(of.build().double()(x).dtype is torch.float64, "float64 does not stay float64")
    require(of.build()(x).dtype is torch.float64, "float64 does not stay float64 where the parameters are float32")


def check_precision(norm: str | type[Norm], **settings: Any) -> None:
    """Float32 agrees with float64, at mean 1000 and spread 0.01 too, in every memory format, forward and backward."""
    of = subject(norm, **settings)
    for shape in ((64, CHANNELS), (8, CHANNELS, 16, 16), (4, CHANNELS, 6, 6, 6), (32, CHANNELS, 32, 32)):
        for layout in (torch.contiguous_format, *([LAYOUTS[len(shape)]] if len(shape) in LAYOUTS else [])):
            for offset, spread in ((0.0, 1.0), (1e3, 1e-2)):
                x = (draw(shape) * spread + offset).contiguous(memory_format=layout)
                got, module = _output_and_gradient(of.build(), x), of.build().double()
                if got is None:
                    continue
                rounded_once_more = x.double() * (1 + HALF_A_UNIT * draw(shape, seed=2).sign().double())
                expected = _output_and_gradient(module, x.double())
                nearby = _output_and_gradient(of.build().double(), rounded_once_more)
                assert expected is not None and nearby is not None
                for what, value, right, near in zip(("output", "gradient"), got, expected, nearby, strict=True):
                    scale = right.abs().max().clamp(min=1e-30)
                    allowed = max(ROUNDING, INPUT_ROUNDINGS * float(((near - right) / scale).abs().max()))
                    setting = f"mean {offset:g}, spread {spread:g}, shape {shape}, {layout}"
                    require_close(
                        value / scale, right / scale, allowed, f"{what} in float32 against float64, {setting}"
                    )


def _output_and_gradient(norm: Norm, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """The output at `x` and the gradient of a fixed weighting of it; None where the norm refuses `x`."""
    x = x.detach().requires_grad_()
    y = accepted(norm, x)
    if y is None:
        return None
    (gradient,) = torch.autograd.grad(y, x, draw(tuple(x.shape), seed=1).to(x.dtype))
    return y.detach(), gradient


def check_memory_formats(norm: str | type[Norm], **settings: Any) -> None:
    """channels_last comes out as channels_last, contiguous as contiguous; values and gradients do not depend on the layout."""
    of = subject(norm, **settings)
    for shape in SHAPES[1:]:
        x = draw(shape)
        for module in (of.warmed_up(), of.warmed_up().eval()):
            module.update_running = False
            leaf = x.clone().requires_grad_()
            y = module(leaf)
            y.backward(draw(shape, seed=1))
            require(y.is_contiguous(), f"a contiguous input of shape {shape} came out with strides {y.stride()}")
            wide = torch.empty((*shape[:-1], 2 * shape[-1]))
            layouts = {
                "sliced": wide[..., ::2].copy_(x),
                "transposed": x.transpose(0, -1).contiguous().transpose(0, -1),
            }
            if len(shape) in LAYOUTS:
                layouts["channels_last"] = x.contiguous(memory_format=LAYOUTS[len(shape)])
            for name, laid_out in layouts.items():
                other = laid_out.detach().requires_grad_()
                z = module(other)
                require_close(z, y, ROUNDING, f"{name} against contiguous, shape {shape}")
                z.backward(draw(shape, seed=1))
                assert other.grad is not None and leaf.grad is not None
                require_close(other.grad, leaf.grad, ROUNDING, f"gradient of {name} against contiguous, shape {shape}")
                if name == "channels_last":
                    require(
                        z.stride() == laid_out.stride(),
                        f"channels_last strides {laid_out.stride()} became {z.stride()}, shape {shape}",
                    )


def check_modes(norm: str | type[Norm], **settings: Any) -> None:
    """Eval mode changes no state and treats every sample alone; a frozen norm changes and trains nothing, after train() too."""
    of = subject(norm, **settings)
    module = of.warmed_up().eval()
    before = copy.deepcopy(module.state_dict())
    x = draw(IMAGES, seed=5)
    y = module(x)
    require(_same(before, module.state_dict()), "the state changes in eval mode")
    require_close(
        torch.cat([module(sample[None]) for sample in x]), y, ROUNDING, "samples alone against together in eval mode"
    )
    module.freeze()
    module.train()
    z = module(x)
    require(_same(before, module.state_dict()), "a frozen norm changes its state after train()")
    require(
        not any(parameter.requires_grad for parameter in module.parameters()),
        "a frozen norm's parameters are still trained",
    )
    require_close(z, y, ROUNDING, "a frozen norm in training mode against eval mode")
    module.unfreeze()
    require(all(parameter.requires_grad for parameter in module.parameters()), "unfreeze() leaves parameters untrained")
    module.update_running = False
    module(x)
    require(_same(before, module.state_dict()), "the state changes although update_running is False")
    module.update_running = True
    module(x)
    has_state = any(name not in dict(module.named_parameters()) for name in before)
    require(has_state != _same(before, module.state_dict()), "the running statistics stay put in training")


def check_state(norm: str | type[Norm], **settings: Any) -> None:
    """A state_dict, a deep copy and a pickle each carry on where the norm stood, bit by bit."""
    of = subject(norm, **settings)
    module = of.warmed_up()
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    loaded = of.build()
    loaded.load_state_dict(torch.load(file), strict=True)
    copies = {"state_dict": loaded, "deepcopy": copy.deepcopy(module), "pickle": pickle.loads(pickle.dumps(module))}
    expected = [
        module(draw(IMAGES, seed=seed)) for seed in (7, 8)
    ]  # the second output shows what the first left behind
    for name, other in copies.items():
        got = [other(draw(IMAGES, seed=seed)) for seed in (7, 8)]
        require(all(map(torch.equal, got, expected)), f"resumed from its {name}, the norm does not go on bit by bit")
        require(
            _same(module.state_dict(), other.state_dict()), f"resumed from its {name}, the norm ends in another state"
        )


def check_degenerate(norm: str | type[Norm], **settings: Any) -> None:
    """An empty batch passes through and changes nothing; a statistic of one value is refused, at one sample and at two, without data too."""
    of = subject(norm, **settings)
    for shape in SHAPES:
        module = of.warmed_up()
        before = copy.deepcopy(module.state_dict())
        empty = torch.empty((0, *shape[1:]))
        require(module(empty).shape == empty.shape, f"an empty batch of shape {tuple(empty.shape)} changes its shape")
        require(_same(before, module.state_dict()), "an empty batch changes the state")
    for positions in ((), (1,), (1, 1), (3, 3)):
        refused = {}
        for samples in (1, 2):
            module = of.build()
            before = copy.deepcopy(module.state_dict())
            x = draw((samples, CHANNELS, *positions), seed=3)
            y = accepted(module, x)
            refused[samples] = y is None
            what = f"an input of shape {tuple(x.shape)}"
            require(y is not None or _same(before, module.state_dict()), f"{what} is refused, but changes the state")
            require(y is None or bool(y.isfinite().all()), f"{what} gives values that are not finite")
            require(
                y is None or float(y.detach().abs().max()) > 0, f"{what} comes out as zero; refuse it with a ValueError"
            )
            on_meta = accepted(of.build().to("meta"), x.to("meta"))
            require(
                (on_meta is None) == (y is None),
                f"{what} is {'refused' if y is None else 'accepted'}, but not on the meta device",
            )
        if not of.cls.depends_on_batch:
            require(
                refused[1] == refused[2],
                f"one sample and two are not treated alike, positions {positions}: refused {refused}",
            )


def check_dependence(norm: str | type[Norm], **settings: Any) -> None:
    """In training, a sample's output depends on the rest of the batch if and only if the norm declares `depends_on_batch`."""
    of = subject(norm, **settings)
    x = draw(IMAGES) * 30 + 100  # far from the running averages: batch renorm within its bounds is the same alone
    module = of.warmed_up()
    module.update_running = False
    together, alone = module(x), torch.cat([module(sample[None]) for sample in x])
    same = bool((together - alone).abs().max() <= ROUNDING * together.abs().max())
    declared = of.cls.depends_on_batch
    require(
        same != declared,
        f"declares depends_on_batch={declared}, but a sample's output {'does not change' if same else 'changes'} with its batch",
    )


def check_parameters(norm: str | type[Norm], **settings: Any) -> None:
    """Parameters are `weight` of ones and `bias` of zeros, one a channel, or none at all; nothing draws random numbers."""
    of = subject(norm, **settings)
    state = torch.get_rng_state()
    module = of.build()
    require(torch.equal(state, torch.get_rng_state()), "building the norm draws from the global random numbers")
    parameters = dict(module.named_parameters())
    require(
        set(parameters) in ({"weight", "bias"}, set()),
        f"the parameters are weight and bias, or none; got {sorted(parameters)}",
    )
    for name, start in (("weight", 1.0), ("bias", 0.0)):
        if name in parameters:
            expected = torch.full((CHANNELS,), start)
            require(
                torch.equal(parameters[name].detach(), expected),
                f"{name} starts as {start:g} in each of {CHANNELS} channels, got {parameters[name]}",
            )


def check_meta(norm: str | type[Norm], **settings: Any) -> None:
    """Forward runs without data, on the meta device, in training and in eval mode."""
    of = subject(norm, **settings)
    module = of.build().to("meta")
    for shape in SHAPES:
        for training in (True, False):
            y = accepted(module.train(training), torch.empty(shape, device="meta"))
            require(
                y is None or y.shape == shape,
                f"on the meta device shape {shape} became {None if y is None else tuple(y.shape)}",
            )


def check_non_finite(norm: str | type[Norm], **settings: Any) -> None:
    """A batch that is not finite leaves no trace in the state under float16 or autocast, where a loss scaler skips its step."""
    of = subject(norm, **settings)
    for dtype, autocast in ((torch.float16, False), (torch.float32, True)):
        module = of.warmed_up()
        before = copy.deepcopy(module.state_dict())
        x = draw(IMAGES).to(dtype)
        x[0, 0] = float("inf")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            module(x)
        require(
            _same(before, module.state_dict()),
            f"a batch that is not finite changes the state ({'autocast' if autocast else 'float16'})",
        )


CHECKS: dict[str, Callable[..., None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_shapes,
        check_parameters,
        check_gradients,
        check_precision,
        check_dtypes,
        check_memory_formats,
        check_modes,
        check_state,
        check_degenerate,
        check_dependence,
        check_meta,
        check_non_finite,
    )
}


def findings(norm: str | type[Norm], **settings: Any) -> Iterator[Finding]:
    """Run every check, one after the other."""
    for name, check in CHECKS.items():
        try:
            check(norm, **settings)
        except ContractError as broken:
            yield Finding(name, "FAILED", str(broken))
        except Exception as error:  # a check that cannot even run has found something, whatever it is
            yield Finding(name, "FAILED", f"{type(error).__name__}: {error}")
        else:
            yield Finding(name, "ok")


def check_norm(norm: str | type[Norm], **settings: Any) -> list[Finding]:
    """Run every check on a norm, given by its registered name or as a class; raise ContractError with all that it breaks."""
    found = list(findings(norm, **settings))
    broken = [finding for finding in found if finding.status == "FAILED"]
    if broken:
        name = norm if isinstance(norm, str) else norm.__qualname__
        raise ContractError(
            f"{name} breaks {len(broken)} of {len(found)} promises:\n" + "\n".join(f"  {finding}" for finding in found)
        )
    return found


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
