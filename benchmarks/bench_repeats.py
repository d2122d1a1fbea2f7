"""How well the intervals of `normlib bench` hold when the bench is run twice.

Each run is its own process. Counts, over all comparisons with torch.nn's layer, how often the second ratio is inside the
first one's interval, which claims 95 %.

    python benchmarks/bench_repeats.py                       # 88 comparisons at three small shapes, some minutes
    python benchmarks/bench_repeats.py norm=batch,group      # settings of the bench
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from normlib.timings.folder import BenchFolder
from normlib.timings.ratio import Ratio, ratio
from normlib.timings.record import OURS, TORCH, Timing

SETTINGS = [
    "norm=batch,batch_renorm,group,layer,instance,pono,rms,lrn",
    "bench.shapes=[32x128,8x64x96,8x32x16x16]",
    "bench.devices=[cpu]",
]


def of_torch(timing: Timing) -> Ratio:
    return ratio(timing.seconds[OURS], timing.seconds[TORCH])


def main(overrides: list[str]) -> None:
    runs: list[dict[str, Timing]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in ("first", "second"):
            place = Path(folder) / number
            command = [sys.executable, "-m", "normlib", "bench", *SETTINGS, *overrides, f"results_dir={place}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            runs.append({timing.id: timing for timing in BenchFolder(place).read() if TORCH in timing.seconds})
    first, second = runs
    hits = 0
    for key, timing in first.items():
        interval = of_torch(timing)
        hits += interval.low <= of_torch(second[key]).value <= interval.high
    print(f"{hits} of {len(first)} second ratios lie in the first interval ({hits / len(first):.0%})")


if __name__ == "__main__":
    main(sys.argv[1:])
