"""Checks the verb on tiny inputs: its records, tables and figure, a stranger's norm, errors. Never a time."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch

from normlib.cli import main
from normlib.results.store.record import RecordError
from normlib.timings.cases import Case
from normlib.timings.folder import BenchFolder
from normlib.timings.measurement import Lineup, Measurement, lineup
from normlib.timings.memory import memory_bytes
from normlib.timings.record import Timing
from normlib.timings.settings import BenchSettings

TINY = ["bench.shapes=[4x8x3x3]", "bench.devices=[cpu]", "bench.blocks=2", "bench.rounds=3"]
NORMAL = ["bench.inputs=[normal]", *TINY]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_bench_writes_records_tables_and_a_figure(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "norm=batch,none,frn", *NORMAL]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "comparisons with torch.nn: no slower" in shown
        and "2 blocks of 3 rounds" in shown
        and "Forward and backward, float32, CPU, 1 thread" in shown
    )
    assert "not timed: none: it passes its input through" in shown
    folder = BenchFolder("results")
    timings = folder.read()
    assert {(t.norm, t.layout, t.passes) for t in timings} == {
        (norm, layout, passes)
        for norm in ("batch", "frn")
        for layout in ("contiguous", "channels_last")
        for passes in ("forward", "forward_backward")
    }
    batch = next(t for t in timings if t.norm == "batch" and t.passes == "forward_backward")
    assert batch.what["torch.nn"] == "torch.nn.BatchNorm2d" and {"normlib", "torch.nn", "copy"} <= set(batch.seconds)
    assert all([len(block) for block in blocks] == [3, 3] for blocks in batch.seconds.values())
    assert min(seconds for blocks in batch.seconds.values() for block in blocks for seconds in block) > 0
    assert batch.environment["torch"] == torch.__version__ and "compiled" in batch.left_out
    assert batch.memory_bytes["torch.nn"] > 0
    files = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*.*") if path.suffix != ".json"}
    assert files == {f"tables/cost.{end}" for end in ("md", "csv", "tex")} | {
        f"figures/cost.{end}" for end in ("png", "svg", "pdf")
    }
    rows = list(csv.DictReader((folder.path / "tables" / "cost.csv").read_text().splitlines()))
    assert {(row["norm"], row["contender"]) for row in rows} >= {("batch", "torch.nn"), ("frn", "copy")}
    assert re.search(r"\| batch \| 4×8×3×3 last \| normal \| warm \|", (folder.path / "tables" / "cost.md").read_text())

    assert main(["bench", "norm=layer", "bench.layouts=[contiguous]", "bench.passes=[forward]", *NORMAL]) == 0
    assert {t.norm for t in folder.read()} == {"layer"}, "a table speaks of one bench"


def test_a_strangers_norm_is_timed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "halved.py").write_text(
        "import normlib\n@normlib.register('halved')\nclass Halved(normlib.Norm):\n    def normalize(self, x): return x / 2\n"
    )
    overrides = ["plugins=[halved.py]", "norm=halved", "bench.layouts=[contiguous]", "results_dir=elsewhere"]
    assert main(["bench", *overrides, *TINY]) == 0
    timings = BenchFolder("elsewhere").read()
    assert {t.norm for t in timings} == {"halved"} and set(timings[0].seconds) == {"normlib", "copy"}
    assert not (place / "elsewhere" / "bench" / "figures" / "cost.png").exists(), "nothing to compare with, no figure"
    assert not (place / "results").exists()


def test_files_that_no_bench_wrote_stay(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "bench.layouts=[contiguous]", "bench.passes=[forward]", *NORMAL]
    theirs = {"tables/cost.tex": "mine", "tables/other.tex": "mine", "runs/notes.json": "{}", "runs/odd.json": "mine"}
    here = place / "results" / "bench"
    for name, text in theirs.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)

    def now() -> dict[str, str]:
        return {name: (here / name).read_text() for name in theirs}

    assert main([*asked, "norm=layer"]) == 2
    assert "tables/cost.tex cannot be replaced" in capsys.readouterr().err
    assert now() == theirs and {str(f.relative_to(here)) for f in here.rglob("*.*") if f.is_file()} == {*theirs}
    assert main([*asked, "norm=layer", "--overwrite"]) == 0
    assert {name for name, text in now().items() if text != theirs[name]} == {"tables/cost.tex"}
    assert main([*asked, "norm=rms"]) == 0, "what was replaced is ours"
    assert len(list((here / "runs").glob("*.json"))) == 3, "the older timing has gone, and what is none stays"


def test_what_cannot_be_timed_is_bad_input(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "norm=batch", "bench.shapes=[32by64]"]) == 2
    assert "a shape is NxC" in capsys.readouterr().err
    assert main(["bench", "norm=instance", "bench.shapes=[4x8]", "bench.devices=[cpu]"]) == 2
    assert "there is nothing to time: instance: InstanceNorm takes its statistics" in capsys.readouterr().err


def test_an_edited_timing_is_refused(place: Path) -> None:
    group = lineup("group", case := Case("4x16", "contiguous", "float32", "cpu", 1), compiles=False)
    assert isinstance(group, Lineup)
    measurement = Measurement(group, case, BenchSettings(passes=["forward"], rounds=1))
    for block in range(2):
        measurement.time_block(block)
    (timing,) = measurement.timings("test")
    assert isinstance(timing, Timing) and Timing.from_json(timing.to_json()) == timing
    values = json.loads(timing.to_json())
    values["seconds"]["normlib"] = [[1e-9], [1e-9]]
    with pytest.raises(RecordError, match="edited after it was written"):
        Timing.from_json(json.dumps(values))
    with pytest.raises(RecordError, match="cut short"):
        Timing.from_json(timing.to_json()[:50])


def test_memory_is_what_the_backward_pass_needs() -> None:
    """Worked out by hand: exp keeps its output, a product with a number keeps nothing."""
    x = torch.randn(4, 8)

    class Exp(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.exp() * 2

    assert memory_bytes(Exp(), x, x) == 4 * 8 * 4
    assert memory_bytes(torch.nn.Identity(), x, x) == 0
