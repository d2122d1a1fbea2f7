"""Checks normlib as Python and notebooks use it: verbs that return objects, results that show themselves, a bar that moves in place."""

from __future__ import annotations

import ast
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from torch import nn

import normlib
from normlib import notebook
from normlib.errors import NormlibError
from normlib.experiments.complaints import ConfigError
from normlib.experiments.overrides import as_overrides
from normlib.listing import listing
from normlib.notebook import Bar, printed_as_html, show, steps
from normlib.registry import RegistryError
from normlib.results.elsewhere.frames import TableError
from normlib.results.store.frame import frame
from normlib.results.store.store import Store
from normlib.results.study.axes import ReportError
from tests.experiments.tiny_sweeps import TINY
from tests.pages import page
from tests.results.factories import make_record

NASTY = "<script>alert('x')</script> [bold]&amp; "
BENCH = {
    "bench.shapes": ["4x8x4x4"], "bench.blocks": 2, "bench.rounds": 1, "bench.passes": ["forward"], "bench.inputs": ["normal"],
    "bench.layouts": ["contiguous"],
}  # fmt: skip


class Displays:
    """What a notebook would show: one text an output, each as it was drawn last, and how often anything was drawn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outputs: list[str] = []
        self.drawn = 0
        pytest.importorskip("IPython")
        monkeypatch.setattr("IPython.display.display", self.display)

    def display(self, thing: Any, display_id: bool = False) -> Any:
        self.outputs.append("")
        place = len(self.outputs) - 1

        class Handle:
            def update(handle, thing: Any) -> None:
                self.drawn += 1
                self.outputs[place] = thing._repr_html_()

        Handle().update(thing)
        return Handle() if display_id else None


@pytest.fixture
def displays(monkeypatch: pytest.MonkeyPatch) -> Displays:
    return Displays(monkeypatch)


def _in_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consoles that are made from now on stand in a notebook."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)


class Balanced(HTMLParser):
    """Counts what opens and closes; `script` is nowhere an element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        assert self.open == [] and "script" not in self.seen

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.styles += [value or "" for name, value in attrs if name == "style"]
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _records(tmp_path: Path, experiment: str = "small_batch", **more: Any) -> None:
    for norm, accuracy in (("batch", 0.80), ("group", 0.95)):
        for seed in range(6):
            record = make_record(norm=norm, seed=seed, accuracy=accuracy + seed / 1000, **more)
            Store(tmp_path / "results", experiment).write(record)


def test_a_plan_is_what_compare_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    axes = {"norm": ["layer", "instance"], "seed": range(2)}
    plan = normlib.plan(*TINY, **axes)
    assert len(plan.runs) == 4 and len(plan.missing) == 2 and not plan.done and plan.estimate().seconds > 0
    assert {run.labels["norm"] for run in plan.skipped} == {"instance"} and all(run.skip_reason for run in plan.skipped)
    assert list(tmp_path.iterdir()) == []  # nothing is written
    first = plan.frame
    assert list(first["status"]) == ["missing", "missing", "skipped", "skipped"] or set(first["status"]) == {
        "missing",
        "skipped",
    }
    assert set(first.loc[first["status"] == "skipped", "reason"]) == {run.skip_reason for run in plan.skipped}
    assert {"id", "norm", "seed", "planned_steps"} <= set(first.columns) and set(first["seed"]) == {0, 1}
    normlib.compare(*TINY, **axes, jobs=1, quiet=True)
    after = normlib.plan(*TINY, **axes)
    assert not after.missing and {run.id for run in after.done} == {run.id for run in plan.missing}
    assert sorted(after.frame["status"]) == ["done", "done", "skipped", "skipped"] and len(repr(after)) < 200
    assert "nothing to train" in after._repr_html_() and "instance" in after._repr_html_()


def test_a_plan_names_the_settings_that_vary_and_the_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"data.batch_size": [4, 8], "norm": ["batch", "layer"], "seed": 0, "control": True, "baseline": "batch"}
    table = normlib.plan(*TINY[:-2], "training.steps=3", settings=settings).frame
    assert set(table["data.batch_size"]) == {4, 8} and set(table["norm"]) == {"batch", "batch_control", "layer"}


def test_checks_are_data_and_name_what_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    checks = normlib.check("none", quiet=True)
    assert checks.passed and [each.arm for each in checks.arms] == ["none"] and capsys.readouterr().out == ""
    found = checks.frame
    assert (
        list(found.columns) == ["arm", "check", "status", "promise", "reason"]
        and len(found) == len(checks.arms[0].findings) > 30
    )
    assert "0 broken" in repr(checks) and "<details><summary>none: " in checks._repr_html_()
    with pytest.raises(ConfigError, match="grup.*did you mean 'group'"):
        normlib.check("grup", quiet=True)
    with pytest.raises(ConfigError, match=r"takes norms by name.*data\.batch_size"):
        normlib.check("none", settings={"data.batch_size": 8})


def test_a_bench_is_returned_and_its_lists_are_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bench = normlib.bench(norm=["rms", "layer", "none"], quiet=True, settings=BENCH)
    assert (
        {timing.norm for timing in bench.timings} == {"rms", "layer"}
        and [*bench.skipped.values()] == [["none"]]
        and capsys.readouterr().out == ""
    )
    assert (tmp_path / "results/bench/tables/cost.md").is_file() and len(repr(bench)) < 100
    shown = bench._repr_html_()
    Balanced(shown)
    assert shown.count("<table") == len(bench.tables) == 1 and "results/bench" in shown
    with pytest.raises(ConfigError, match="blocks"):
        normlib.bench(norm="none", settings={**BENCH, "bench.block": 3})


def test_the_list_is_the_command_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert normlib.list("norm=group,batch") == normlib.list(norm=["group", "batch"]) == listing("norm=group,batch")
    assert [row["name"] for row in normlib.list(norm=["group", "batch"])] == ["group", "batch"]
    assert normlib.list("optimizer.lr_rule")[0]["kind"] == "setting"
    with pytest.raises(RegistryError, match=r"lr_rul.*optimizer\.lr_rule|lr_rul"):
        normlib.list("lr_rul")
    assert capsys.readouterr().out == ""


def test_a_report_is_made_of_folders_and_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _records(tmp_path)
    by_folder = normlib.report("results/small_batch", baseline="group")
    assert by_folder.folder == Path("results/small_batch") and by_folder.studies[0].question.baseline == "group"
    by_name = normlib.report(experiment="small_batch", norm=["batch", "group"], seed=range(3), to=Path("three"))
    assert sorted(by_name.frame["seed"].unique()) == [0, 1, 2] and (tmp_path / "three" / "report.html").is_file()
    assert by_name.studies[0].question.baseline == "batch"  # as the experiment's file says
    assert len(normlib.report(Path("results/small_batch"), settings={"data.batch_size": 32}).frame) == 12
    shown = by_folder._repr_html_()
    Balanced(shown)
    assert "batch" in shown.partition("<img")[0] and "results/small_batch/report.html" in shown
    assert str(tmp_path) not in shown + repr(by_folder)


@pytest.mark.parametrize(
    ("runs", "asked", "error", "message"),
    [
        (["nowhere"], {}, ConfigError, "'nowhere' is neither a folder"),
        (["results/small_batch"], {"arm": "norm"}, TableError, "arm=.*belongs to a table"),
        (["results/small_batch"], {"figures_width": "colum"}, NormlibError, r"figures\.width.*column"),
        (
            ["runs.csv"],
            {"arm": "norm", "metric": "accuracy", "figures_width": "colum"},
            NormlibError,
            r"figures\.width.*column",
        ),
        (["results/small_batch"], {"unit": "%"}, TableError, "unit=.*belongs to a table"),
        (["results/small_batch"], {"baseline": "grup"}, ConfigError, "grup.*group"),
        ([], {"experiment": "smal_batch"}, NormlibError, "smal_batch.*small_batch"),
        (["runs.csv", "results/small_batch"], {}, TableError, "one table, and 2 things"),
        (["runs.csv"], {"baselin": "group"}, TableError, "baselin.*baseline"),
        (["runs.csv"], {"settings": {"data.batch_size": 8}}, TableError, r"data\.batch_size.*take their rows out"),
    ],
)
def test_a_report_that_cannot_be_says_why(
    runs: list[str],
    asked: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    _records(tmp_path)
    frame([make_record(norm=norm, seed=seed) for norm in ("batch", "group") for seed in range(3)]).to_csv("runs.csv")
    with pytest.raises(error, match=message):
        normlib.report(*runs, **asked)


def test_settings_are_written_as_the_command_line_has_them() -> None:
    given = {
        "norm": ["a", "b"],
        "seed": range(2),
        "plugins": ["my norm.py"],
        "bench.shapes": ["8x4"],
        "rope": None,
        "x.y": {"a": [1]},
    }
    assert as_overrides(["z=1"], given) == [
        "z=1", "norm=a,b", "seed=0,1", "plugins=['my norm.py']", "bench.shapes=[8x4]", "rope=null", "x.y={a:1}",
    ]  # fmt: skip
    assert as_overrides([], {"results_dir": Path("a/b")}) == ["results_dir=a/b"]


def test_tidy_has_a_row_a_run_metric_and_split(tmp_path: Path) -> None:
    records = [
        make_record(norm=norm, seed=seed, batch_size=size, accuracy=0.5 + seed / 10)
        for norm, size, seed in itertools.product(("batch", "group"), (8, 32), range(2))
    ]
    wide = frame([*records, make_record(norm="layer", status="failed", reason="it broke")])
    long = normlib.tidy(wide)
    assert list(long.columns) == ["arm", "batch_size", "seed", "metric", "value", "split", "status", "id"]
    assert not long.duplicated(["id", "metric", "split"]).any() and set(long["arm"]) == {"batch", "group"}
    metrics = {column.partition(".")[2] for column in wide if column.startswith("test.")} - {"samples"}
    assert set(long["metric"]) == metrics and len(long) == 8 * len(metrics) * long["split"].nunique()
    one = long[(long["id"] == records[1].id) & (long["metric"] == "accuracy") & (long["split"] == "test")]
    assert one.iloc[0].drop(["id", "status"]).to_dict() == {
        "arm": "batch", "batch_size": 8, "seed": 1, "metric": "accuracy", "value": 0.6, "split": "test",
    }  # fmt: skip
    for record in records:
        Store(tmp_path, "small_batch").write(record)
    assert len(normlib.tidy(tmp_path / "small_batch")) == len(long)


def test_tidy_keeps_diverged_runs_and_tells_arms_of_one_label_apart() -> None:
    lost = make_record(
        norm="group", status="diverged", accuracy=0.1, metrics={"test": {"loss": None, "accuracy": 0.1, "samples": 8}}
    )
    long = normlib.tidy(frame([lost, make_record(norm="group", seed=1)]))
    of_lost = long[(long["id"] == lost.id) & (long["metric"] == "loss") & (long["split"] == "test")]
    assert len(of_lost) == 1 and of_lost["value"].isna().all() and set(of_lost["status"]) == {"diverged"}
    wide = frame([make_record(norm="group", seed=0), make_record(norm="group", seed=1)])
    wide["norm.num_groups"] = [2, 4]
    assert set(normlib.tidy(wide)["arm"]) == {"group (num_groups=2)", "group (num_groups=4)"}


def test_tidy_names_conditions_so_that_none_has_anothers_name() -> None:
    wide = frame([make_record(norm=norm, seed=0) for norm in ("batch", "group")])
    wide["data.split"] = ["a", "b"]  # `split` is a column of every tidy frame
    wide["model.depth"], wide["head.depth"] = [1, 2], [2, 1]
    names = list(normlib.tidy(wide).columns)
    assert len(names) == len(set(names)) and "data_split" in names
    assert not {"depth", "model.depth"} & set(names)
    empty = normlib.tidy(wide.iloc[:0])
    assert list(empty.columns)[:3] == ["arm", "seed", "metric"] and len(empty) == 0
    with pytest.raises(ReportError, match="no column 'norm'.*normlib.report"):
        normlib.tidy(pd.DataFrame({"a": [1]}))


def test_records_and_conversions_show_themselves_and_escape_what_they_quote() -> None:
    failed = make_record(norm="batch", status="failed", reason=NASTY)
    model = normlib.convert(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), "group")
    found = normlib.conversion_report(model)
    for shown in (failed._repr_html_(), make_record()._repr_html_(), found._repr_html_()):
        Balanced(shown)
        assert len(shown) < 5_000
    assert "&lt;script&gt;" in failed._repr_html_() and failed.id in repr(failed) and len(repr(failed)) < 300
    assert found._repr_html_().count("<tr>") == 2 and "BatchNorm2d" in found._repr_html_()
    assert repr(found) == str(found)


def test_html_has_no_colour_that_one_kind_of_page_hides() -> None:
    """Letters stand on a white or a black page: plain ones take the page's colour, and others keep a contrast of 2.5 to both."""

    def render(console: Console) -> None:
        for style in ("green", "yellow", "bold red", "dim", "cyan", "magenta", "blue"):
            console.print("words", style=style)
        console.print("plain")

    shown = printed_as_html(render)
    colours = [re.search(r"color: #(\w{6})", each) for each in Balanced(shown).styles]
    assert len([each for each in colours if each]) == 7
    for found in filter(None, colours):
        parts = [int(found[1][at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (light + 0.05) > 2.5 and (light + 0.05) / 0.05 > 2.5, found[1]
    assert "background" not in shown


def test_a_sweep_in_a_notebook_is_one_output_that_ends_and_then_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, displays: Displays, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _in_notebook(monkeypatch)
    asked: dict[str, Any] = {"norm": ["layer", "none"], "seed": range(3), "jobs": 1}
    normlib.compare(*TINY, **asked)
    bar, report = displays.outputs
    assert "<progress" not in bar and re.search(r"6 runs: 0 done before, 6 to do .* 6 runs in \d+ s", bar)
    assert "<table" in report and capsys.readouterr().out == ""
    normlib.compare(*TINY, **asked)
    assert len(displays.outputs) == 4 and "6 done before, 0 to do" in displays.outputs[2]
    normlib.compare(*TINY, **asked, quiet=True)
    assert len(displays.outputs) == 4


def test_a_bar_is_drawn_at_most_four_times_a_second(displays: Displays, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(notebook.time, "monotonic", lambda: clock[0])
    bar = Bar()
    bar.show(NASTY, 0, 1000, [NASTY])
    assert "<script>" not in displays.outputs[0] and displays.outputs[0].count("&lt;script&gt;") == 2
    for done in range(1000):
        clock[0] += 0.001
        bar.show("training", done, 1000, at_once=False)
    assert displays.drawn <= 1 + 4 and 'max="1000"' in displays.outputs[0]
    bar.show("all done")
    assert len(displays.outputs) == 1 and displays.outputs[0] == "<div>all done</div>"


def test_steps_are_a_bar_in_a_notebook_and_nothing_on_a_quiet_console(displays: Displays) -> None:
    for console in (Console(force_jupyter=True), Console(force_jupyter=True, quiet=True)):
        with steps(console, 2, "checking") as next_is:
            next_is("group")
            next_is("batch")
    assert len(displays.outputs) == 1 and re.search(r"checking: 2 of 2 in \d+ s", displays.outputs[0])


def test_a_console_that_is_no_notebook_prints_results(displays: Displays, capsys: pytest.CaptureFixture[str]) -> None:
    show(make_record(), Console())
    assert capsys.readouterr().out.startswith("done: norm=") and displays.outputs == []


def test_what_the_page_shows_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _records(tmp_path)
    _records(tmp_path, batch_size=8)
    plan, twice, long = re.findall(r"^```python\n(.*?)^```", page("docs/from_python.md"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(plan, names)
    assert {run.spec["training"]["epochs"] for run in names["plan"].runs} == {2}
    same = [eval(line.replace("compare", "plan"), names) for line in twice.splitlines()]
    assert [run.id for run in same[0].runs] == [run.id for run in same[1].runs]
    exec(long, names)
    assert set(names["long"]["metric"]) == {"accuracy"} and len(names["long"]) == 24


def test_every_verb_of_the_command_line_that_has_a_result_is_a_function() -> None:
    from normlib.cli import VERBS

    assert set(VERBS) - set(dir(normlib)) == {"export"}  # a frame has to_parquet, to_csv and to_json of its own


def test_functions_take_settings_in_one_way() -> None:
    """All verbs have `settings` and further keywords, and none has a name of its own for them."""
    import normlib.api
    import normlib.verbs

    for module in (normlib.api, normlib.verbs):
        for node in ast.parse(Path(module.__file__).read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name in dir(normlib) and node.name != "train":
                assert (
                    "settings" in [each.arg for each in (*node.args.kwonlyargs, *node.args.args)] and node.args.kwarg
                ), node.name
