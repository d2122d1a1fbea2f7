"""What each of two processes does in the tests of synchronized statistics; a module, because spawned processes import it.

In comes a process's rank; what it found goes into a file in the given folder.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import torch
import torch.distributed as dist

import normlib.norms
from normlib.testing import draw
from tests.norms.own_running_norms import OWN

CHANNELS = 3
PROCESSES = 2
# A process that waits for one that never comes is an error after so many seconds.
PATIENCE = datetime.timedelta(seconds=90)
STEPS = 2
NORMS = {
    "batch": {},
    "batch_renorm": {"schedule": None, "r_max": 1.1, "d_max": 0.1, "momentum": 0.3},
    "mean_square": {},
    "spread": {},
}
# The samples of both processes: alike, uneven, none at all on one.
SHARES = [(4, 4), (5, 3), (1, 7), (8, 0), (0, 8)]
POSITIONS = [(), (3, 2)]
CASES = [
    (name, shares, positions, masked)
    for name in NORMS
    for shares in (SHARES if name not in OWN else SHARES[1:4:2])
    for positions in POSITIONS
    for masked in (False, True)
]


def build(name, **settings):
    """A norm in float64 that has affine parameters of its own."""
    settings = {"dtype": torch.float64, **NORMS[name], **settings}
    norm = OWN[name](CHANNELS, **settings) if name in OWN else normlib.norms.create(name, CHANNELS, **settings)
    with torch.no_grad():
        norm.weight.add_(draw((CHANNELS,), seed=11, dtype=torch.float64), alpha=0.3)
    return norm


def whole_batch(step, positions):
    """All samples of a step, what its outputs are weighed with, and a mask."""
    shape = (8, CHANNELS, *positions)
    x, weights = (draw(shape, seed=seed + 10 * step, dtype=torch.float64) for seed in (1, 2))
    if len(positions) == 2:
        x = x.contiguous(memory_format=torch.channels_last)
    return x * 2 + 1, weights, draw((8, *positions), seed=3 + 10 * step) > -0.5


def train(norm, positions, masked, samples):
    """Outputs and gradients of the input in each step, the last gradients of the parameters, and the state that is left."""
    outputs, gradients = [], []
    for step in range(STEPS):
        x, weights, mask = (tensor[samples] for tensor in whole_batch(step, positions))
        x = x.detach().requires_grad_()
        norm.zero_grad()
        y = norm(x, mask if masked else None)
        (y * weights).sum().backward()
        outputs.append(y.detach())
        gradients.append(x.grad)
    parameters = {key: parameter.grad for key, parameter in norm.named_parameters()}
    return {"outputs": outputs, "gradients": gradients, "parameters": parameters, "state": norm.state_dict()}


def refusal(norm, x):
    try:
        norm(x)
    except ValueError as error:
        return str(error)
    return ""


def run(rank, folder):
    """Everything that takes two processes, one after the other, since starting them takes the longest."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES, timeout=PATIENCE
    )
    found = {}
    for name, shares, positions, masked in CASES:
        start = sum(shares[:rank])
        samples = slice(start, start + shares[rank])
        found[name, shares, positions, masked] = train(build(name, sync=True), positions, masked, samples)

    x, _, _ = whole_batch(0, ())
    found["refused"] = {name: refusal(build(name, sync=True), x[: 1 - rank]) for name in NORMS}
    poisoned = build("batch", sync=True).float()
    x = x.half()
    x[0, 0] = torch.inf if rank == 0 else 1.0
    poisoned(x)
    found["poisoned"] = poisoned.state_dict()

    if rank == 0:  # alone: what waited for the other process would fail after `PATIENCE`
        for name in NORMS:
            norm = build(name, sync=True)
            norm.freeze()
            for each in (norm, norm.eval(), build(name, sync=True).eval()):
                each(whole_batch(0, ())[0])
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
