"""Checks the figures of whole reports: their width follows the setting in every kind of report, and those of plug-ins are there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import normlib
from normlib.cli import main
from normlib.experiments.settings import FigureSettings
from normlib.plugins import load_plugin
from normlib.results.plots.static import INCHES, KINDS
from normlib.results.report import write_report
from normlib.results.store.store import Store
from normlib.results.study.axes import ReportError
from normlib.results.tables import table as tables
from normlib.settings import settings_in
from tests.results.factories import make_record

PLUGIN = """
import normlib
from normlib.results.plots.columns import by_condition

def seeds(study):
    {body}

@normlib.register_table("mine", "A question", "Why it is asked.", plots=[seeds])
def answer(study):
    return []
"""
FIGURE = """return by_condition(
        study, "seeds", lambda condition, arm: condition.array(arm, study.question.value),
        lambda condition, values: (values[0], float("nan"), float("nan")), unit="", digits="{:.2f}", y_title="y", caption="Mine.",
    )"""
RECORDS = [make_record(norm=norm, seed=seed) for norm in ("batch", "group") for seed in range(2)]


def widths(folder: Path) -> set[float]:
    """Of the figures in a report's folder, in inches."""
    texts = [path.read_text() for path in folder.glob("figures/*.svg")]
    assert len(texts) >= 4
    return {round(float(text.split('width="')[1].split("pt")[0]) / 72, 3) for text in texts}


def test_the_settings_know_every_width() -> None:
    width = settings_in(FigureSettings)["width"]
    assert width.choices == tuple(INCHES) and width.default in INCHES and not width.changes_numbers


def test_the_width_is_asked_on_the_command_line_or_in_the_experiments_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("results/small_batch")
    for record in RECORDS:
        Store("results", "small_batch").write(record)
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/narrow.yaml").write_text("# @package _global_\nname: small_batch\nfigures: {width: column}\n")
    narrow = ["experiment=narrow", "--config-dir", "conf"]
    for arguments, inches in (
        (["report"], INCHES["text"]),
        (["report", "figures.width=column"], INCHES["column"]),
        (["report", *narrow], INCHES["column"]),
        (["report", *narrow, "figures.width=text"], INCHES["text"]),
    ):
        assert main(arguments) == 0
        assert widths(folder) == {inches}, arguments
    capsys.readouterr()
    for verb in ("report", "plan", "compare"):
        assert main([verb, "figures.width=colum"]) == 2
        assert "did you mean 'column'?" in capsys.readouterr().err, verb


def test_so_it_is_for_figures_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = pd.DataFrame(
        {"norm": ["batch", "group"] * 2, "seed": [0, 0, 1, 1], "batch_size": [2] * 4, "accuracy": [0.1, 0.2, 0.3, 0.4]}
    )
    runs["train/accuracy"], runs["seconds_per_step"] = runs["accuracy"], 0.1
    runs.to_csv("runs.csv", index=False)
    asked = {"arm": "norm", "seed": "seed", "metric": "accuracy"}
    normlib.report(runs, **asked, to="frame", figures_width="column")
    flags = [word for name, value in asked.items() for word in (f"--{name}", value)]
    assert main(["report", "runs.csv", "figures.width=column", *flags, "--to", "file"]) == 0
    for folder in ("frame", "file"):
        text = Path(folder, "figures/accuracy.svg").read_text()
        assert float(text.split('width="')[1].split("pt")[0]) / 72 == pytest.approx(INCHES["column"])
    assert "figures_width=&#39;column&#39;" in Path("frame/report.html").read_text(), "the command that makes it again"
    with pytest.raises(ReportError, match=r"figures\.width"):
        normlib.report(runs, **asked, to="frame", figures_width="poster")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Loads a plug-in with a plot, which goes again afterwards."""
    monkeypatch.chdir(tmp_path)

    def load(body: str) -> None:
        Path("my_table.py").write_text(PLUGIN.replace("{body}", body))
        load_plugin("my_table.py")

    yield load
    tables._registered.pop("mine", None)


def test_a_figure_of_a_plugin_is_in_files_and_on_the_page(plugin) -> None:
    plugin(FIGURE)
    report = write_report(Path("report"), RECORDS)
    assert {f"seeds.{kind}" for kind in KINDS} <= {path.name for path in report.files}
    text = report.page.read_text()
    part = text.index('<details class="part" id="mine">')
    assert part < text.index('data-plot="seeds"', part) < text.index("Why it is asked.", part) + 2000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "ZeroDivisionError"),
        ("return 'a figure'", "return a Figure, or None"),
        (FIGURE.replace('"seeds"', '"se/eds"'), "letters, digits and underscores"),
    ],
)
def test_a_faulty_plot_is_one_message_that_names_the_file(plugin, body: str, said: str) -> None:
    plugin(body)
    with pytest.raises(ReportError, match="my_table.py") as error:
        write_report(Path("report"), RECORDS)
    assert said in str(error.value)
