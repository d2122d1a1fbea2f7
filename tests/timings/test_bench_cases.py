"""Checks what inputs hold, that a cold ring is larger than a cache, and that a block allocates its memory again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from normlib.cli import main
from normlib.timings import ring as rings
from normlib.timings.cases import INPUTS, Case
from normlib.timings.folder import BenchFolder
from normlib.timings.ring import MOST_COPIES, last_level_cache_bytes, move_to_new_memory, number_of_copies, ring


@pytest.mark.parametrize(
    ("inputs", "mean", "deviation"), [("normal", 0, 1), ("shifted", 3, 1), ("pixels", 127.5, 73.9)]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_inputs_have_the_mean_they_are_named_for(inputs: str, mean: float, deviation: float, dtype: str) -> None:
    """10,000 values: 4 standard errors of the mean are 4 % of the deviation. Bfloat16 holds whole numbers up to 256."""
    case = Case("100x4x5x5", "channels_last", dtype, "cpu", 1, inputs)
    x, gradient = case.draw(0), case.draw_gradient(1)
    assert x.stride()[1] == 1 and x.dtype == getattr(torch, dtype)
    assert x.double().mean() == pytest.approx(mean, abs=0.04 * deviation)
    assert x.double().std() == pytest.approx(deviation, rel=0.04)
    assert gradient.double().mean() == pytest.approx(0, abs=0.04), "gradients have no mean, whatever the input"
    if inputs == "pixels":
        assert set(x.flatten().tolist()) == set(map(float, range(256)))


def test_a_cold_ring_is_twice_as_large_as_the_cache_and_a_warm_one_is_one_copy() -> None:
    x = Case("4x256", "contiguous", "float32", "cpu", 1).num_bytes
    assert x == 4096
    assert number_of_copies(x, "warm", None) == 1
    assert number_of_copies(x, "cold", 2**20) == 512
    assert number_of_copies(x, "cold", 100) == 2, "never the same copy twice in a row"
    with pytest.raises(ValueError, match="does not tell the size of its last-level cache.*bench.caches"):
        number_of_copies(x, "cold", None)
    with pytest.raises(ValueError, match=r"a cold cache of 512 MiB would need 262,144 copies.*a shape of 8,192 bytes"):
        number_of_copies(x, "cold", 4096 * MOST_COPIES)


def test_the_cache_is_read_from_what_linux_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "CPU_CACHES", tmp_path)
    assert last_level_cache_bytes("cpu") is None
    for index, size in enumerate(["48K", "1024K", "32M", ""]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size + "\n")
    assert last_level_cache_bytes("cpu") == 32 * 2**20


def test_copies_are_alike_but_share_no_memory() -> None:
    x = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    for leaves in (False, True):
        made = ring(x, 3, leaves)
        assert len({copy.data_ptr() for copy in (x, *made)}) == 4
        assert all(torch.equal(copy, x) and copy.stride() == x.stride() for copy in made)
        assert all(copy.requires_grad is leaves and copy.is_leaf for copy in made)


def test_a_block_moves_what_a_layer_holds_and_changes_no_value() -> None:
    layer = torch.nn.BatchNorm1d(64)
    held = [*layer.parameters(), *layer.buffers()]
    values, places = [tensor.clone() for tensor in held], [tensor.data_ptr() for tensor in held]
    spacers = move_to_new_memory([layer], block=1)
    assert all(torch.equal(tensor, value) for tensor, value in zip(held, values, strict=True))
    assert all(tensor.data_ptr() != place for tensor, place in zip(held, places, strict=True))
    assert [tensor is again for tensor, again in zip(held, [*layer.parameters(), *layer.buffers()])] == [True] * 5
    assert [each.numel() for each in spacers] != [each.numel() for each in move_to_new_memory([layer], block=2)]


def test_inputs_and_caches_are_in_the_records_and_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("normlib.timings.measurement.last_level_cache_bytes", lambda device: 2048)
    asked = ["bench", "norm=batch,rms", "bench.shapes=[4x8x3x3]", "bench.layouts=[contiguous]", "bench.devices=[cpu]"]
    asked += [
        f"bench.inputs=[{','.join(INPUTS)}]",
        "bench.caches=[warm,cold]",
        "bench.blocks=2",
        "bench.rounds=1",
        "bench.passes=[forward]",
    ]
    assert main([*asked, f"results_dir={tmp_path}"]) == 0
    timings = BenchFolder(tmp_path).read()
    every = {(inputs, cache) for inputs in INPUTS for cache in ("warm", "cold")}
    assert {(t.inputs, t.cache) for t in timings} == every and len(timings) == 2 * len(every)
    assert {(t.cache, t.copies, t.cache_bytes) for t in timings} == {("warm", 1, None), ("cold", 4, 2048)}
    table = (tmp_path / "bench" / "tables" / "cost.md").read_text(encoding="utf-8")
    assert "| batch | 4×8×3×3 | pixels | cold |" in table and "pixels, whole numbers from 0 to 255" in table
    assert "twice the last-level cache" in table


def test_a_cold_cache_of_unknown_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rings, "CPU_CACHES", tmp_path)
    asked = ["bench", "norm=batch", "bench.shapes=[4x8]", "bench.devices=[cpu]", "bench.caches=[cold]"]
    assert main([*asked, f"results_dir={tmp_path}"]) == 2
    assert "there is nothing to time: batch: the system does not tell" in capsys.readouterr().err
