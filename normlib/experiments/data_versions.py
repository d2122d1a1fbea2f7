"""Whether data were edited under an old version: what is loaded now, held against the hashes in earlier records.

In: runs and the store of their experiment. Out: nothing, or DataError before anything is trained. Loads each dataset at most
once, and none whose data cannot change without a new version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normlib.data import datasets
from normlib.data.dataset import DataError
from normlib.results.store import Store
from normlib.training.inputs import data_hash, without_batches
from normlib.training.spec import Run


def check_versions(runs: Sequence[Run], store: Store, data_dir: Path) -> None:
    """Refuse data that earlier records know by the same version and settings, but with other content. DataError."""
    changeable = {
        _key(run.spec, run.data_version): run
        for run in runs
        if not datasets[run.spec["data"]["name"]].cls.fixed  # type: ignore[attr-defined]
    }
    if not changeable:
        return
    recorded = {
        _key(record.spec, record.data_version): record.hashes["data"]
        for record in store.scan().records
        if record.trained and record.hashes
    }
    checked = set()
    for key, run in changeable.items():
        data = run.spec["data"]
        same_but_split = _key({"data": {**data, "split_seed": 0}}, run.data_version)
        if key not in recorded or same_but_split in checked:
            continue
        checked.add(same_but_split)
        now = data_hash(data, data_dir)
        if now != recorded[key]:
            raise DataError(
                f"data={data['name']} was edited under its old version {run.data_version!r}: runs in {store.runs} were made with other data "
                f"(hash {recorded[key]}, now {now}). Change version whenever the data change, so that runs are made again; or "
                "restore the data, or choose another results_dir"
            )


def _key(spec: Mapping[str, Any], version: str) -> str:
    """What has to have the same content: the settings of the data, and the version."""
    return json.dumps([without_batches(spec["data"]), version], sort_keys=True)
