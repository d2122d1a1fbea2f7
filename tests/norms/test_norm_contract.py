"""Every registered norm passes the contract, with settings of its own too; what a norm of ours declares is all that holds."""

from __future__ import annotations

import pytest

from normlib.norms import names, norms
from normlib.testing import CHECKS, check_norm, finding, subject
from normlib.testing.declarations import true_invariances

VARIANTS = {
    "batch": [{"momentum": None}, {"affine": False}, {"guard": True}],
    "batch_renorm": [
        {"schedule": None},
        {"schedule": "fraction"},
        {"affine": False, "schedule": None},
        {"guard": True},
    ],
    "group": [{"num_groups": 2}, {"group_size": 4}, {"affine": False}],
    "instance": [{"track_running_stats": True}, {"affine": False}],
    "layer": [{"scope": "position"}, {"affine": False}, {"scope": "position", "affine": False}],
    "rms": [{"scope": "position"}],
    "pono": [{"variance": "unbiased"}],
    "scale_norm": [{"affine": False}],
    "frn": [{"affine": False}],
    "evonorm_b0": [{"momentum": None}, {"guard": True}],
    "evonorm_s0": [{"num_groups": 4}],
}
# What takes most of the time looks at the same code whatever the settings; only a schedule changes what is compiled.
DEAR = {"compile", "inductor", "export", "second_gradients", "resume"}
COMPILED = {"batch_renorm": {"schedule": "fraction"}}
# Some five seconds each of a C++ compiler: here for the norms whose state moves, for all of them in `normlib check`.
DEAREST = "inductor"
CASES = [
    *(
        (name, {}, check)
        for name in names()
        for check in CHECKS
        if check != DEAREST or norms[name].cls.depends_on_batch
    ),
    *(
        (name, settings, check)
        for name, variants in VARIANTS.items()
        for settings in variants
        for check in CHECKS
        if check not in DEAR or (COMPILED.get(name) == settings and check != DEAREST)
    ),
]


@pytest.mark.parametrize(("name", "settings", "check"), CASES, ids=str)
def test_norm_keeps_its_promise(name: str, settings: dict[str, object], check: str) -> None:
    found = finding(check, name, **settings)
    if found.status == "not run":
        pytest.skip(found.reason)
    assert found.status in ("ok", "declared"), found.reason


@pytest.mark.parametrize("name", names())
def test_a_norm_of_ours_declares_every_invariance(name: str) -> None:
    cls = norms[name].cls
    if cls.__module__.startswith("normlib.") and cls.slot in ("norm", "site"):
        assert cls.invariances == true_invariances(subject(name))


def test_the_schedule_of_batch_renorm_moves_in_the_compiled_run() -> None:
    """What the check of compiled runs compares, at the schedule that it is run with."""
    of = subject("batch_renorm", schedule="fraction")
    norm = of.warmed_up()
    assert norm.report()["r_max"] > of.build().report()["r_max"]


def test_the_whole_contract_runs_in_one_call() -> None:
    found = check_norm("none")
    assert [each.check for each in found] == list(CHECKS)
    assert all(each.status in ("ok", "not run") for each in found)


def test_a_norm_is_a_file_of_its_own_name() -> None:
    for name in names():
        module = norms[name].cls.__module__
        assert not module.startswith("normlib.") or module in (f"normlib.norms.{name}", f"normlib.norms.weights.{name}")
