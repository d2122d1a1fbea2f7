"""Every check of the contract catches a norm with a planted fault, and passes norms without one."""

from __future__ import annotations

import re

import pytest

from normlib.norms.base import Norm
from normlib.testing import CHECKS, ContractError, check_norm, compiled, finding, findings
from tests.testing import (
    faulty_declarations,
    faulty_precision,
    faulty_shapes,
    faulty_state,
    faulty_statistics,
    faulty_torch,
    faulty_transforms,
)
from tests.testing.faulty_declarations import LeaksAcrossSamples
from tests.testing.faulty_precision import SavesItsStatistics
from tests.testing.few_checks import only
from tests.testing.right_norms import RIGHT, MeanSquare, Plain

FAULTY = (
    faulty_declarations,
    faulty_shapes,
    faulty_precision,
    faulty_state,
    faulty_statistics,
    faulty_transforms,
    faulty_torch,
)
FAULTS = [fault for room in FAULTY for fault in room.FAULTS]


def test_every_check_has_a_planted_fault() -> None:
    assert {check for _, check, _ in FAULTS} == set(CHECKS)


@pytest.mark.parametrize(("faulty", "check", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_caught(faulty: type[Norm], check: str, words: str) -> None:
    found = finding(check, faulty)
    if found.status == "not run":
        pytest.skip(found.reason)
    assert found.status == "FAILED", f"{check} does not catch {faulty.__name__}"
    assert re.search(words, found.reason), found.reason


@pytest.mark.parametrize("right", RIGHT)
def test_a_right_norm_of_a_strangers_passes(right: type[Norm]) -> None:
    with only(set(CHECKS) - {"inductor"}):  # by far the dearest, so for one of them
        assert [str(found) for found in findings(right) if found.status == "FAILED"] == []


def test_a_right_norm_of_a_strangers_passes_inductor() -> None:
    assert finding("inductor", MeanSquare).status in ("ok", "not run")


def test_a_check_that_this_machine_cannot_run_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_why_inductor_cannot_run", lambda: "there is no C++ compiler")
    found = finding("inductor", Plain)
    assert (found.status, found.reason) == ("not run", "there is no C++ compiler")
    with only({"inductor"}):
        assert check_norm(Plain) == [found]


def test_what_is_broken_is_raised_with_everything_found() -> None:
    with only({"dependence", "shapes", "pickle"}):
        with pytest.raises(
            ContractError, match=r"LeaksAcrossSamples breaks 1 of 3 promises:\n  FAILED   dependence: declares"
        ):
            check_norm(LeaksAcrossSamples)
        assert [str(found) for found in check_norm(Plain)] == [
            "ok       dependence",
            "ok       shapes",
            "ok       pickle",
        ]


class SaysSo(SavesItsStatistics):
    exceptions = {"second_gradients": "its backward takes the deviation as a number"}


class SaysMoreThanIsTrue(Plain):
    exceptions = {"second_gradients": "it is believed to be hard"}


def test_a_declared_exception_is_told_with_its_reason() -> None:
    found = finding("second_gradients", SaysSo)
    assert (found.status, found.reason) == ("declared", "its backward takes the deviation as a number")
    assert str(found) == "declared second_gradients: its backward takes the deviation as a number"


def test_an_exception_that_is_none_is_a_broken_promise() -> None:
    found = finding("second_gradients", SaysMoreThanIsTrue)
    assert found.status == "FAILED"
    assert "declared as an exception (it is believed to be hard), but the norm keeps this promise" in found.reason


def test_a_check_that_cannot_run_has_found_something() -> None:
    class RaisesAnything(Plain):
        def normalize(self, x):
            raise KeyError("x_hat")

    found = finding("shapes", RaisesAnything)
    assert (found.status, found.reason) == ("FAILED", "KeyError: 'x_hat'")


def test_every_check_says_what_it_holds_a_norm_to() -> None:
    for name in CHECKS:
        promise = finding(name, Plain).promise if name == "shapes" else (CHECKS[name].__doc__ or "")
        assert len(promise) > 20, name
