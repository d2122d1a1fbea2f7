"""Size of the page, time to make it, and time until a reader can use it, in headless Chromium on this machine.

Two pages: the committed default experiment, and an experiment of 780 runs with 20 evaluations each. Each is loaded several
times in a fresh tab, with its own process and nothing compiled yet. Times are medians from the start of the navigation.
"text": the text is painted. "answers": sorting and hiding work. "plot": the first plot is drawn, for a reader who jumps
there at once. "CPU": the work of the page's thread until then, which other work on the machine disturbs less. Required: a
page under 6 MB that answers within 1,000 ms and has its first plot within 1,000 ms of CPU.
Run from the repository: python benchmarks/page_speed.py
"""

from __future__ import annotations

import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the records' factory of the tests

from selenium import webdriver

from normlib.results.page import page
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from tests.results.factories import make_record
from tests.results.page_content import content

GALLERY = Path(__file__).parents[1] / "results" / "gallery"
NORMS = 13
BATCH_SIZES = (2, 4, 8, 32, 128, 512)
SEEDS = 5
EVALUATIONS = 20
LOADS = 7
LIMIT_BYTES, LIMIT_MS = 6_000_000, 1_000
USABLE = """
const done = arguments[0], plot = document.querySelector('figure.plot');
plot.scrollIntoView();
const times = () => [
  performance.getEntriesByName('first-contentful-paint')[0].startTime,
  performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd,
  performance.now(),
];
const look = () => plot.classList.contains('drawn') ? done(times()) : setTimeout(look, 5);
look();
"""


def many_runs() -> list[Record]:
    """780 runs with whole learning curves."""
    return [
        _run(f"norm_{place}" if place else "batch", place, model, batch_size, seed)
        for place in range(NORMS) for model in ("mlp", "convnet") for batch_size in BATCH_SIZES for seed in range(SEEDS)
    ]  # fmt: skip


def _run(norm: str, place: int, model: str, batch_size: int, seed: int) -> Record:
    accuracy = (
        0.97 - 0.005 * place - (0.5 / batch_size if norm == "batch" else 0) + 0.004 * math.sin(7 * seed + batch_size)
    )
    run = make_record(norm=norm, model=model, batch_size=batch_size, seed=seed, accuracy=accuracy, epochs=20)
    steps = [run.steps * (point + 1) // EVALUATIONS for point in range(EVALUATIONS)]
    validation = {
        "step": steps, "samples": [step * batch_size for step in steps], "loss": [1.0] * EVALUATIONS,
        "seconds": [step * 4.1e-4 for step in steps],
        "accuracy": [accuracy * (1 - math.exp(-(point + 1) / 5)) for point in range(EVALUATIONS)],
    }  # fmt: skip
    return Record(**{**vars(run), "curves": {**run.curves, "validation": validation}})


def browser() -> Any:
    """A headless Chromium with its own profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        f"--user-data-dir={tempfile.mkdtemp()}", "--window-size=1280,900",
    ):  # fmt: skip
        options.add_argument(flag)
    return webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    )


def measure(driver: Any, name: str, records: Sequence[Record], folder: Path) -> bool:
    """Print one line. Returns whether both limits hold."""
    what = content(records, name)
    started = time.perf_counter()
    text = page(what)
    made = time.perf_counter() - started
    path = folder / f"{name}.html"
    path.write_text(text, encoding="utf-8")
    loads = [_load(driver, path.as_uri()) for _ in range(LOADS)]
    painted, answers, plot, cpu = (statistics.median(load[which] for load in loads) for which in range(4))
    size = len(text.encode())
    print(
        f"{name:12} {len(records):5} runs  {size / 1e6:5.2f} MB  made in {made:5.2f} s  "
        f"text {painted:4.0f} ms  answers {answers:4.0f} ms  plot {plot:5.0f} ms  CPU {cpu:5.0f} ms"
    )
    return size <= LIMIT_BYTES and max(answers, cpu) <= LIMIT_MS


def _load(driver: Any, address: str) -> list[float]:
    """Milliseconds until the text, the document and the first plot, and the thread's work until then."""
    driver.switch_to.new_window("tab")
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    driver.get(address)
    times = driver.execute_async_script(USABLE)
    metrics = {each["name"]: each["value"] for each in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    driver.close()
    driver.switch_to.window(driver.window_handles[0])
    return [*times, 1000 * metrics["TaskDuration"]]


def main() -> None:
    """Measure both pages."""
    driver = browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            experiments = {"small_batch": Store(GALLERY, "small_batch").scan().records, "many_runs": many_runs()}
            held = [measure(driver, name, records, Path(folder)) for name, records in experiments.items()]
    finally:
        driver.quit()
    print(f"limits: {LIMIT_BYTES / 1e6:.0f} MB, {LIMIT_MS} ms until it answers, and of CPU until the first plot")
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
