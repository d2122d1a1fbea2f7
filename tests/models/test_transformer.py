"""Checks the transformer: against torch's encoder layer in both orders, one trunk for all placements, its positions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normlib.models import models
from normlib.models.attention_block import PLACEMENTS, Block
from normlib.models.site import Sites
from normlib.norms import create
from normlib.training.network import NetworkShape, build_network

WIDTH, HEADS = 8, 2


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_a_block_is_torchs_encoder_layer(placement: str) -> None:
    torch.manual_seed(0)
    sites = Sites("gelu")
    block = Block(sites, WIDTH, HEADS, placement)
    for site in sites.sites:
        site.install(create("layer", WIDTH, scope="position", channel_dim=-1))
    torchs = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=placement == "pre"
    )
    attention, perceptron = block.branches
    with torch.no_grad():
        for theirs, ours in (
            (torchs.self_attn.in_proj_weight, attention.project_in.weight),
            (torchs.self_attn.in_proj_bias, attention.project_in.bias),
            (torchs.self_attn.out_proj.weight, attention.project_out.weight),
            (torchs.linear1.weight, perceptron.widen.weight),
            (torchs.linear1.bias, perceptron.widen.bias),
            (torchs.linear2.weight, perceptron.project_out.weight),
        ):
            theirs.copy_(ours)
        torchs.self_attn.out_proj.bias.zero_()
        torchs.linear2.bias.zero_()
    x = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block.double()(x.double()), torchs.double()(x.double()))


def test_the_trunk_is_the_same_wherever_the_norms_stand(make_run) -> None:
    hashes = {
        build_network(
            make_run("model=transformer", "model.width=8", f"model.norm_placement={placement}", "norm=layer").spec,
            NetworkShape((1, 8, 8), 10), total_steps=1,
        ).trunk_hash
        for placement in PLACEMENTS
    }  # fmt: skip
    assert len(hashes) == 1


def test_what_a_branch_adds_is_normed_at_its_end() -> None:
    torch.manual_seed(0)
    sites = Sites()
    block = Block(sites, WIDTH, HEADS, "branch_end")
    for site in sites.sites:
        site.install(create("layer", WIDTH, scope="position", channel_dim=-1))
        nn.init.zeros_(site.norm.weight)
    x = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x), "a scale of zero leaves the shortcuts alone"
    assert [[site] for site in sites.sites] == sites.branches
    assert [sites.ahead[site] for site in sites.sites] == [branch.project_out for branch in block.branches]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_order_of_the_patches_matters(pooling: str) -> None:
    torch.manual_seed(0)
    network = models["transformer"].cls(Sites(), (1, 4, 8), 10, width=8, heads=2, depth=1, patch=4, pooling=pooling)
    x = torch.randn(2, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    swapped = torch.cat([x[..., 4:], x[..., :4]], -1)
    assert not torch.allclose(network(x), network(swapped), atol=1e-3)
    nn.init.zeros_(network.positions.weight)
    torch.testing.assert_close(network(x), network(swapped))  # without positions a set of patches is all it sees


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("heads=3", "width is a multiple of heads, got .*heads=3"),
        ("patch=3", "sides are multiples of patch=3"),
        ("norm_placement=middle", "norm_placement is one of pre, post, peri, branch_end, got 'middle'"),
        ("pooling=max", "pooling is one of cls, mean, got 'max'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(setting: str, message: str, make_run) -> None:
    with pytest.raises(ValueError, match=message):
        make_run("model=transformer", f"model.{setting}")
