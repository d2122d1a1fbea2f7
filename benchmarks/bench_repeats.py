"""How well the intervals of `normlib bench` hold: it runs twice, and the ratios of the second are sought in those of the first.

Each run is a process of its own. Of every comparison with torch.nn's layer it is counted whether the second ratio lies in the
first one's interval, which claims 95 %; beside it, for the rounds taken as replicates, as if there were no blocks.

    python benchmarks/bench_repeats.py                       # 88 comparisons at three small shapes, some minutes
    python benchmarks/bench_repeats.py norm=batch,group      # settings of the bench
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from normlib.bench.folder import BenchFolder
from normlib.bench.ratio import Ratio, ratio
from normlib.bench.record import OURS, TORCH, Timing

SETTINGS = [
    "norm=batch,batch_renorm,group,layer,instance,pono,rms,lrn",
    "bench.shapes=[32x128,8x64x96,8x32x16x16]",
    "bench.devices=[cpu]",
]


def by_blocks(timing: Timing) -> Ratio:
    return ratio(timing.seconds[OURS], timing.seconds[TORCH])


def by_rounds(timing: Timing) -> Ratio:
    """Every round a block of its own."""
    ours, theirs = ([[each] for block in timing.seconds[name] for each in block] for name in (OURS, TORCH))
    return ratio(ours, theirs)


def main(overrides: list[str]) -> None:
    runs: list[dict[str, Timing]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in ("first", "second"):
            place = Path(folder) / number
            command = [sys.executable, "-m", "normlib", "bench", *SETTINGS, *overrides, f"results_dir={place}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            runs.append({timing.id: timing for timing in BenchFolder(place).read() if TORCH in timing.seconds})
    first, second = runs
    for name, ratio_of in (("blocks", by_blocks), ("rounds", by_rounds)):
        hits = 0
        for key, timing in first.items():
            interval = ratio_of(timing)
            hits += interval.low <= ratio_of(second[key]).value <= interval.high
        print(
            f"{name} as replicates: {hits} of {len(first)} second ratios lie in the first interval ({hits / len(first):.0%})"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
