"""What `normlib compare` costs beyond the arithmetic: its wall time against a bare PyTorch loop.

The bare loop does the same training steps of the same networks in the same number of processes, with imports. It uses
torch's optimizers unchanged, without Lightning, evaluation, identity checks or records. Both start from nothing, in turn.
The ratio is taken pair by pair.

    python benchmarks/compare_cost.py                                  # the default experiment, whole
    python benchmarks/compare_cost.py --repeats 3 'seed=range(2)' optimizer=sgd optimizer.lr=0.03
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def train_bare(specs: list[dict[str, Any]]) -> None:
    """The training steps of some runs, one after the other, as a careful user would write them."""
    import torch
    from torch.nn import functional as F

    from normlib.training.batches import BatchPlan
    from normlib.training.budget import planned_steps, scaled_learning_rate
    from normlib.training.inputs import NetworkShape, make_dataset, make_task, splits_on_device
    from normlib.training.network import build_network
    from normlib.training.schedule import learning_rate_factors

    torch.set_num_threads(1)
    for spec in specs:
        data, settings = spec["data"], spec["optimizer"]
        dataset = make_dataset(data)
        splits, _ = splits_on_device(data, spec["task"], Path("."), torch.device("cpu"))
        inputs, targets = splits["train"].inputs, splits["train"].targets
        total_steps = planned_steps(spec, dataset.sizes["train"])
        network = build_network(spec, NetworkShape.of(dataset, make_task(spec["task"])), total_steps).module
        peak = scaled_learning_rate(settings["lr"], data["batch_size"], settings["lr_rule"])
        if settings["name"] == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(network.parameters(), peak, settings["momentum"])
        else:
            optimizer = torch.optim.AdamW(network.parameters(), peak, weight_decay=settings["weight_decay"])
        factors = learning_rate_factors(spec["schedule"], total_steps)
        plan = BatchPlan(spec["seed"], len(targets), data["batch_size"], total_steps)
        step = 0
        for epoch in range(plan.num_epochs):
            for indices in plan.epoch(epoch).indices:
                optimizer.param_groups[0]["lr"] = peak * factors[step]
                loss = F.cross_entropy(network(inputs[indices]), targets[indices])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1


def seconds(commands: list[list[str]]) -> float:
    """Wall time until all commands, started together, have ended."""
    started = time.perf_counter()
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"a command failed with exit codes {codes}: {commands}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for normlib compare")
    parser.add_argument("--repeats", type=int, default=1, help="pairs of both to time")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare is not None:
        train_bare(json.loads(options.bare.read_text(encoding="utf-8")))
        return

    from normlib.experiments.plan import make_plan
    from normlib.experiments.sweep import number_of_jobs

    plan = make_plan(options.overrides)
    specs = [dict(run.spec) for run in plan.runs if run.skip_reason is None]
    jobs = number_of_jobs(plan.settings["jobs"])
    ratios = []
    for repeat in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            shares = [Path(folder) / f"share{job}.json" for job in range(jobs)]
            for job, share in enumerate(shares):
                share.write_text(json.dumps(specs[job::jobs]), encoding="utf-8")
            bare = seconds([[sys.executable, __file__, "--bare", str(share)] for share in shares])
            whole = seconds(
                [[sys.executable, "-m", "normlib", "compare", *options.overrides, f"results_dir={folder}/results"]]
            )
        ratios.append(whole / bare)
        print(
            f"pair {repeat + 1}: normlib compare {whole:.1f} s, bare loop {bare:.1f} s, ratio {whole / bare:.2f}",
            flush=True,
        )
    print(
        f"{len(specs)} runs in {jobs} processes: normlib compare / bare loop = {statistics.median(ratios):.2f} (median)"
    )


if __name__ == "__main__":
    main()
