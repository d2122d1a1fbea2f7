"""Time of `report` over 10,000 records: reading them with checksums, and writing all tables, figures and the page.

Prints both, and a plain json.loads of the same files, on this machine. Required: under 10 s together.
Run from the repository: python benchmarks/report_speed.py
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the records' factory of the tests

from normlib.results.report import write_report
from normlib.results.store.store import Store
from tests.results.factories import make_record

NORMS = {"batch": 60.0, "layer": 2.0, "instance": 4.0, "group": 3.0, "batch_renorm": 20.0}
"""By norm, how many points it loses at batch size 2. The loss halves when the batch doubles."""
BATCH_SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LEARNING_RATES = (0.01, 0.1)
MODELS = ("mlp", "convnet")
SEEDS = 50
LIMIT_SECONDS = 10.0


def write_records(store: Store) -> int:
    """Fill the store with one record for each combination above."""
    noise = random.Random(0)
    number = 0
    for norm, loss in NORMS.items():
        for batch_size in BATCH_SIZES:
            for lr in LEARNING_RATES:
                for model in MODELS:
                    for seed in range(SEEDS):
                        accuracy = min(1.0, 0.98 - loss / 100 * 2 / batch_size + noise.gauss(0, 0.005))
                        optimizer = {"name": "sgd", "lr": lr, "lr_rule": "linear", "momentum": 0.9, "weight_decay": 0.0}
                        store.write(
                            make_record(
                                norm=norm, model=model, batch_size=batch_size, seed=seed, accuracy=accuracy,
                                status="skipped" if (norm, model) == ("instance", "mlp") else "done",
                                reason="no positions" if (norm, model) == ("instance", "mlp") else None,
                                spec={"optimizer": optimizer},
                            )
                        )  # fmt: skip
                        number += 1
    return number


def main() -> None:
    """Make the records in a temporary folder, time the parts, print."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, "speed")
        number = write_records(store)
        started = time.perf_counter()
        texts = [json.loads(path.read_bytes()) for path in store.runs.iterdir()]
        plain = time.perf_counter() - started
        assert len(texts) == number
        started = time.perf_counter()
        store.statuses()
        statuses = time.perf_counter() - started
        started = time.perf_counter()
        scan = store.scan()
        scanned = time.perf_counter() - started
        report = write_report(store.folder, scan.records, scan.problems)
        total = time.perf_counter() - started
        page_bytes = report.page.stat().st_size
    tables = len(report.tables)
    print(f"{number} records, {tables} tables, page of {page_bytes / 1e6:.1f} MB")
    print(f"plain json.loads of the files  {plain:6.2f} s    1.0")
    print(f"Store.statuses, verified       {statuses:6.2f} s  {statuses / plain:5.1f}")
    print(f"Store.scan, verified           {scanned:6.2f} s  {scanned / plain:5.1f}")
    print(f"scan and write_report          {total:6.2f} s  {total / plain:5.1f}   (limit {LIMIT_SECONDS:.0f} s)")
    sys.exit(total > LIMIT_SECONDS)


if __name__ == "__main__":
    main()
