"""Checks that files of runs are read as they stand: every format, names that look like nothing, nested values, and refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from normlib.results.elsewhere.frames import TableError, number_in, plain_frame
from normlib.results.elsewhere.read import READERS, read_table

RUNS = pd.DataFrame({
    "norm": ["batch", "None", "NA", "group"],
    "batch size": [2, 2, 8, 8],
    "lr": [0.1, 1e-3, 0.1, 0.30000000000000004],
    "amp": [True, False, True, True],
    "dice": [0.5, math.nan, 0.25, 1 / 3],
})  # fmt: skip


def write(runs: pd.DataFrame, path: Path) -> Path:
    if path.suffix in (".csv", ".tsv"):
        runs.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    elif path.suffix == ".parquet":
        runs.to_parquet(path)
    else:
        runs.to_json(path, orient="records", lines=path.suffix == ".jsonl", double_precision=15)
    return path


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_gives_the_same_runs(suffix: str, tmp_path: Path) -> None:
    table = read_table(write(RUNS, tmp_path / f"runs{suffix}"))
    assert list(table) == list(RUNS)
    assert list(table["norm"]) == list(RUNS["norm"]), "a name that pandas takes for an absent value stays a name"
    assert pd.api.types.is_integer_dtype(table["batch size"]) and list(table["batch size"]) == [2, 2, 8, 8]
    assert table["amp"].tolist() == [True, False, True, True]
    np.testing.assert_allclose(table["lr"].to_numpy(dtype=float), RUNS["lr"], rtol=1e-15)
    np.testing.assert_array_equal(table["dice"].isna(), RUNS["dice"].isna())
    pd.testing.assert_frame_equal(table, plain_frame(RUNS), check_exact=False, rtol=1e-15)


def test_a_csv_keeps_every_digit_and_whole_numbers_with_gaps_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('\ufeff"",seed,x,word\r\n0,0,0.30000000000000004,\r\n1,,nan,"a, ""b"""\r\n')
    table = read_table(tmp_path / "a.csv")
    assert list(table) == ["column 1", "seed", "x", "word"], "the index that pandas writes has no name"
    assert table["seed"].dtype == "Int64" and table["seed"].tolist()[0] == 0 and table["seed"].isna()[1]
    assert table["x"][0] == 0.30000000000000004 and math.isnan(table["x"][1])
    assert table["word"].tolist() == [None, 'a, "b"']


def test_hashes_of_decimal_digits_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,hashes.data,code.norm,seed\n12,1234567890123456,12e4,3\n")
    assert read_table(tmp_path / "a.csv").loc[0].tolist() == ["12", "1234567890123456", "12e4", 3]


RUN_OF_THE_API: dict[str, Any] = {
    "name": "fine-surf-1", "state": "finished",
    "config": {"norm": {"value": "batch", "desc": None}, "optimizer": {"lr": 0.1}, "layers": [1, 2]},
    "summary": {"dice": 0.5, "_wandb": {"runtime": 3}},
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".json", ".jsonl", "repr.csv", "json.csv", "frame"])
def test_nested_values_become_columns(suffix: str, tmp_path: Path) -> None:
    """As `wandb.Api` gives runs, and as its guide writes them: whole mappings in the cells of a CSV."""
    path, frame = tmp_path / f"runs{suffix}", pd.DataFrame([RUN_OF_THE_API])
    if suffix == ".json":
        path.write_text(json.dumps([RUN_OF_THE_API], indent=1))
    elif suffix == ".jsonl":
        path.write_text(json.dumps(RUN_OF_THE_API) + "\n\n")
    elif suffix == "repr.csv":
        frame.to_csv(path)
    elif suffix == "json.csv":
        frame.assign(**{key: frame[key].map(json.dumps) for key in ("config", "summary")}).to_csv(path)
    table = plain_frame(frame) if suffix == "frame" else read_table(path)
    found = {key: value for key, value in table.loc[0].to_dict().items() if key != "column 1"}
    assert found == {
        "name": "fine-surf-1", "state": "finished", "config.norm": "batch", "config.optimizer.lr": 0.1,
        "config.layers": "[1, 2]", "summary.dice": 0.5, "summary._wandb.runtime": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [("8", 8), (" 0.10", 0.1), ("-1e-3", -0.001), ("2.", 2.0), ("NaN", math.nan), ("Infinity", math.inf), ("1_000", None),
     ("85.3%", None), ("0,83", None), ("", None), ("infinite", None), ("9" * 400, None)],
)  # fmt: skip
def test_what_counts_as_a_number(text: str, number: float | None) -> None:
    found = number_in(text)
    assert found == number or (found is not None and number is not None and math.isnan(found) and math.isnan(number))
    assert type(found) is type(number)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"norm\nbatch\n", "ends in .csv, .tsv, .parquet, .jsonl, .json, and .*a.txt does not"),
        ("a.csv", None, "there is no file .*a.csv"),
        ("a.csv", b"", "holds no runs"),
        ("a.csv", b"norm,dice\n", "holds no runs"),
        ("a.csv", b"norm;dice\nbatch;1\n", "one column, 'norm;dice': put ',' between its columns"),
        ("a.csv", b"norm,dice\nbatch\n", "has 2 columns, and line 2 has 1"),
        ("a.csv", b"norm,norm\na,b\n", "2 are called 'norm'"),
        ("a.csv", b"norm,dice\n\xe9,1\n", "not text in UTF-8"),
        ("a.csv", b'norm,dice\n"batch"x,1\n', "is not a table"),
        ("a.parquet", b"PAR1", "is no Parquet file"),
        ("a.jsonl", b'{"norm": 1}\n{"norm": \n', "line 2 of .* is not JSON"),
        ("a.jsonl", b"[1]\n", "line 1 of .* has to hold one object, a run, and holds \\[1\\]"),
        ("a.json", b"3", "a list with an object for each run, and holds 3"),
        ("a.json", b"[]", "holds no runs"),
    ],
)
def test_what_is_no_table_is_refused(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=said):
        read_table(tmp_path / name)


def test_parquet_without_pyarrow_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(RUNS, tmp_path / "runs.parquet")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TableError, match="needs the package pyarrow, which is not installed: pip install"):
        read_table(path)


def test_a_frame_is_refused_without_rows_and_with_a_name_twice() -> None:
    with pytest.raises(TableError, match="holds no runs"):
        plain_frame(RUNS.iloc[:0])
    with pytest.raises(TableError, match="2 are called 'norm'"):
        plain_frame(pd.concat([RUNS, RUNS[["norm"]]], axis=1))
