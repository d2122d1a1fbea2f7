"""Checks on memory formats: channels_last stays channels_last, and no layout changes a value."""

from __future__ import annotations

from typing import Any

import torch

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require, require_close
from normlib.testing.subject import LAYOUTS, draw, subject


def check_memory_formats(norm: str | type[Norm], **settings: Any) -> None:
    """channels_last stays channels_last and contiguous contiguous; values and gradients do not depend on the layout."""
    tested = subject(norm, **settings)
    for shape in tested.shapes[1:]:
        x = draw(shape)
        for module in (tested.warmed_up(), tested.warmed_up().eval()):
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
