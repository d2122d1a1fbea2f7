"""torch's fully_shard (FSDP2) takes a network with any norm, on one process: it trains as without, state included."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from normlib.norms import names
from normlib.testing.requirements import ROUNDING, require_close
from normlib.testing.saved import train
from normlib.testing.subject import subject


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dist.DeviceMesh]:
    rendezvous: Path = tmp_path_factory.mktemp("gloo") / "store"
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.parametrize("name", names())
def test_fully_shard_takes_the_norm(name: str, mesh: dist.DeviceMesh) -> None:
    of = subject(name)
    plain = of.network()
    sharded = copy.deepcopy(plain)
    fully_shard(sharded, mesh=mesh)
    outputs = []
    for network in (plain, sharded):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        outputs.append(train(network, optimizer, of.images, range(3)))
    for got, expected in zip(outputs[1], outputs[0], strict=True):
        require_close(got, expected, ROUNDING, "under fully_shard, against without")
    for (name, got), expected in zip(sharded.named_buffers(), plain.buffers(), strict=True):
        require_close(got, expected, ROUNDING, f"under fully_shard, against without: {name}")
