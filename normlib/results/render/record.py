"""A record in a few lines for a terminal or a notebook: what the run scored, or why it did not."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from normlib.results.store.record import Record
from normlib.tasks.metric import Metric, shown


def show_record(console: Console, record: Record, results_dir: str | None = None) -> None:
    """Print one run: what it scored, or why it did not, and with a `results_dir` where its record is."""
    named = (f"{key}={label}" for key in ("norm", "model", "data") if (label := record.labels.get(key)) is not None)
    console.print(Text(f"{record.status}: {' '.join(named)} seed={record.spec.get('seed')}", style="bold"))
    if record.reason:
        console.print(Text(record.reason))
    metrics = [Metric.from_facts(facts) for facts in record.metric_facts]
    for split, scores in record.metrics.items():
        if not scores:
            continue
        figures = (f"{each.title} {shown(each, scores[each.name])}" for each in metrics if each.name in scores)
        console.print(Text(f"  {split:<11}{', '.join(figures)}"))
    if record.seconds_training is not None:
        console.print(Text(f"  {_work_of(record)}"))
    if results_dir is not None:
        console.print(Text(f"record: {Path(results_dir) / record.experiment / 'runs' / record.id}.json", style="dim"))


def _work_of(record: Record) -> str:
    """What a run took and how large its network is, as far as the record tells."""
    steps = f"{record.steps} steps in " if record.steps else ""
    said = f"{steps}{record.seconds_training:.2f} s of training"
    if record.parameters:
        said += f"; {record.parameters['trunk']:,} trunk and {record.parameters['norm']:,} norm parameters"
    return said
