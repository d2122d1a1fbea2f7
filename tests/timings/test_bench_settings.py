"""Checks what a bench may be asked: defaults, lists, everything, and that what cannot be is refused with the fix."""

from __future__ import annotations

import pytest

from normlib.experiments.complaints import ConfigError
from normlib.registry import RegistryError
from normlib.timings.asked import read
from normlib.timings.cases import cases


def test_defaults_and_everything() -> None:
    asked = read([])
    assert {"batch", "group", "layer"} <= set(asked.norms) and asked.results_dir == "results"
    assert asked.bench.dtypes == ["float32"] and not asked.bench.compile
    everything = read(["bench.full=true", "bench.threads=[1]"]).bench
    assert everything.dtypes == ["float32", "bfloat16"] and everything.compile
    assert everything.inputs == ["normal", "shifted", "pixels"] and everything.caches == ["warm", "cold"]
    assert everything.threads == [1], "what is given outright wins"


def test_norms_are_listed_as_everywhere() -> None:
    assert read(["norm=batch,group"]).norms == ("batch", "group")
    assert read(["norm=[batch,group]"]).norms == ("batch", "group")
    assert read(["norm=batch"]).norms == ("batch",)
    assert set(read(["norm=glob(batch*)"]).norms) == {"batch", "batch_renorm"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["norm=bacth"], "no norm is named 'bacth'; did you mean 'batch'"),
        (["bench.shape=[2x3]"], "no setting of bench is named 'bench.shape'; did you mean 'bench.shapes'"),
        (["rounds=3"], "no setting of bench is named 'rounds'; did you mean 'bench.rounds'"),
        (["bench.shapes=[32*64]"], "a shape is NxC"),
        (["bench.shapes=[]"], "bench.shapes is empty"),
        (["bench.layouts=[nhwc]"], "bench.layouts: no choice is named 'nhwc'"),
        (["bench.dtypes=[float31]"], "did you mean 'float32'"),
        (["bench.devices=[tpu]"], "bench.devices: no choice is named 'tpu'"),
        (["bench.inputs=[pixel]"], "bench.inputs: no choice is named 'pixel'; did you mean 'pixels'"),
        (["bench.inputs=[]"], "bench.inputs is empty"),
        (["bench.caches=[cool]"], "did you mean 'cold'"),
        (["bench.caches=cold"], "bench.caches=cold: this is a list, even of one: bench.caches=[cold]"),
        (["bench.shapes=[4x8,4x8]"], "bench.shapes has '4x8' twice"),
        (["bench.blocks=1"], "bench.blocks is at least 2, since the intervals are over blocks; got 1"),
        (["bench.rounds=0"], "at least 1; got 0"),
        (["bench.rounds=many"], "'many'"),
        (["bench.threads=[0]"], "at least 1"),
        (["bench.threads=1,2"], "give several as a list, bench.threads=[...]"),
        (["bench.dtypes=float32"], "bench.dtypes=float32: this is a list, even of one: bench.dtypes=[float32]"),
        (["plugins=[nowhere.py]"], "there is no file 'nowhere.py'"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises((ConfigError, RegistryError)) as refused:
        read(overrides)
    assert message in str(refused.value)


def test_cases_have_channels_last_where_their_rank_has_it() -> None:
    asked = ["bench.shapes=[4x8,4x5x8,4x8x5x5]", "bench.devices=[cpu]", "bench.threads=[1,2]", "bench.inputs=[normal]"]
    found = list(cases(read(asked).bench))
    assert [(each.shape, each.layout) for each in found if each.threads == 2] == [
        ("4x8", "contiguous"), ("4x5x8", "contiguous"), ("4x8x5x5", "contiguous"), ("4x8x5x5", "channels_last"),
    ]  # fmt: skip
    assert {each.shape: each.channel_dim for each in found} == {"4x8": 1, "4x5x8": -1, "4x8x5x5": 1}
    assert found[-1].draw(0).stride()[1] == 1
