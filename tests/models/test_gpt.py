"""Checks the language model: no output sees a later token whatever the norm, one trunk for all places, its settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import models
from normlib.models.attention_block import PLACEMENTS, Attention, Block
from normlib.models.site import Sites
from normlib.norms import create, norms
from normlib.norms import names as norm_names
from tests.models.few_data import LENGTH, VOCABULARY, FewTexts, error_rate_after_training

WIDTH, HEADS = 32, 2
CHANGED = 3  # the token that tests change
IDS = torch.randint(VOCABULARY, (4, LENGTH), generator=torch.Generator().manual_seed(0))
ALL_NORMS = {"norm_placement": "peri", "qk_norm": True, "embedding_norm": True}


def build(norm: str | None = None, num_outputs: int = VOCABULARY, **settings: object) -> tuple[nn.Module, Sites]:
    """A small network in float64, with a norm in every site or with empty sites."""
    torch.manual_seed(0)
    sites = Sites()
    settings = {"depth": 2, "width": WIDTH, "heads": HEADS, **settings}
    network = models["gpt"].cls(sites, (LENGTH,), num_outputs, VOCABULARY, **settings)
    for site in sites.sites if norm is not None else ():
        site.install(create(norm, site.num_features, channel_dim=-1))
    return network.double(), sites


def earlier_outputs_change(network: nn.Module) -> bool:
    """Whether the outputs ahead of a token change with it. The ones from there on have to."""
    ids = IDS.clone()
    ids[:, CHANGED] = (ids[:, CHANGED] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = network(IDS), network(ids)
    assert not torch.allclose(before[:, CHANGED:], after[:, CHANGED:])
    return not torch.allclose(before[:, :CHANGED], after[:, :CHANGED], rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", [name for name in norm_names() if norms[name].cls.slot == "norm"])
def test_no_output_sees_a_later_token(norm: str) -> None:
    network, _ = build(norm, **ALL_NORMS)
    if "two positions" in norms[norm].cls.needs:
        with pytest.raises(ValueError, match="the positions of a sample's channel"):
            network(IDS)
        return
    leaks = earlier_outputs_change(network)
    assert leaks == norms[norm].cls.depends_on_batch, "in training, batch statistics hold all tokens, and no others do"
    assert not earlier_outputs_change(network.eval())


def test_a_norm_over_all_positions_would_show_later_tokens() -> None:
    network, sites = build("layer")
    for site in sites.sites:
        site.positions_apart = 0
    assert earlier_outputs_change(network)


@pytest.mark.parametrize("options", [{"track_running_stats": "false"}, {}])
def test_statistics_of_the_evaluation_batch_are_skipped_with_the_reason(options: dict[str, str], make_text_run) -> None:
    statistics = "running" if options else "batch"
    run = make_text_run(
        "norm=batch", f"evaluation.statistics={statistics}", *(f"norm.{k}={v}" for k, v in options.items())
    )
    assert "BatchNorm would normalize with the statistics of the evaluation batch, which include later positions" in (
        run.skip_reason or ""
    )
    assert make_text_run("norm=layer", f"evaluation.statistics={statistics}").skip_reason is None


def test_layer_norm_is_over_the_channels_of_a_token() -> None:
    _, sites = build("layer", depth=1)
    x = torch.randn(4, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sites.sites[0](x), F.layer_norm(x, (WIDTH,)))


def test_a_batch_for_statistics_is_a_number_of_texts(make_text_run) -> None:
    from normlib.training.network import NetworkShape, build_network

    run = make_text_run("norm=batch", "site.norm_batch_size=2", "model.qk_norm=true")
    network = build_network(run.spec, NetworkShape((LENGTH,), VOCABULARY, VOCABULARY), total_steps=1)
    sizes = {name: site.norm.norm_batch_size for name, site in network.sites.items()}
    assert sizes.pop("last_site") == 2 * LENGTH
    assert {"query_key" in name: size for name, size in sizes.items()} == {False: 2 * LENGTH, True: 2 * LENGTH * HEADS}


def test_the_trunk_is_the_same_for_all_places_of_norms(make_text_run) -> None:
    from normlib.training.network import NetworkShape, build_network

    places = [(f"model.norm_placement={placement}",) for placement in PLACEMENTS]
    places += [("model.final_norm=false",), ("model.qk_norm=true", "model.embedding_norm=true")]
    shape = NetworkShape((LENGTH,), VOCABULARY, VOCABULARY)
    networks = [build_network(make_text_run("norm=layer", *place).spec, shape, total_steps=1) for place in places]
    assert len({network.trunk_hash for network in networks}) == 1
    assert len({network.count_parameters()["trunk"] for network in networks}) == 1
    # depth 1; two sites a block, and one at the end where the block does not end in a norm
    assert [len(network.sites) for network in networks] == [3, 2, 5, 3, 2, 6]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_each_placement_follows_its_equation(placement: str) -> None:
    torch.manual_seed(0)
    sites = Sites("gelu")
    block = Block(sites, WIDTH, HEADS, placement, causal_length=LENGTH).double()
    for site in sites.sites:
        site.install(create("layer", WIDTH, channel_dim=-1).double())
    x = torch.randn(3, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def norm(y: Tensor) -> Tensor:
        return F.layer_norm(y, (WIDTH,))

    expected = x
    for branch in block.branches:
        expected = {
            "pre": lambda y, f: y + f(norm(y)),
            "post": lambda y, f: norm(y + f(y)),
            "peri": lambda y, f: y + norm(f(norm(y))),
            "branch_end": lambda y, f: y + norm(f(y)),
        }[placement](expected, branch)
    torch.testing.assert_close(block(x), expected)
    ends = [[site] for site in sites.sites if sites.ahead[site] is not None]
    assert sites.branches == ends
    assert len(ends) == (2 if placement in ("peri", "branch_end") else 0)


def test_attention_is_the_papers_with_queries_and_keys_normed_a_head() -> None:
    torch.manual_seed(0)
    sites = Sites()
    attention = Attention(sites, WIDTH, HEADS, causal_length=LENGTH, qk_norm=True).double()
    for site in sites.sites:
        site.install(create("layer", WIDTH // HEADS, channel_dim=-1).double())
        nn.init.normal_(site.norm.weight)
    x = torch.randn(3, LENGTH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    heads = []
    for head in range(HEADS):
        rows = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
        query, key, value = (x @ part[rows].T for part in attention.project_in.weight.chunk(3))
        query, key = (
            F.layer_norm(each, (WIDTH // HEADS,), site.norm.weight)
            for each, site in zip((query, key), sites.sites, strict=True)
        )
        scores = query @ key.transpose(1, 2) / (WIDTH / HEADS) ** 0.5
        later = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        heads.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ value)
    torch.testing.assert_close(attention(x), torch.cat(heads, -1) @ attention.project_out.weight.T)
    assert attention.project_in.bias is None, "no bias stands ahead of a site"


def test_tied_embeddings_are_the_last_layer() -> None:
    network, sites = build(tied_embeddings=True, depth=1)
    last: list[Tensor] = []
    network.last_site.register_forward_hook(lambda _, inputs, output: last.append(output))
    torch.testing.assert_close(network(IDS), last[0] @ network.tokens.weight.T / WIDTH**0.5)
    assert sites.classifier is None
    assert not [name for name, _ in network.named_parameters() if name.startswith("classifier")]


@pytest.mark.parametrize("settings", [{}, {"norm_placement": "post", "tied_embeddings": True}, ALL_NORMS])
def test_it_learns_what_follows_each_token(settings: dict[str, object], tmp_path: Path) -> None:
    network, _ = build("layer", **settings)
    assert error_rate_after_training(network, FewTexts().load(tmp_path)["all"], classes_dim=2, steps=40) == 0


def test_a_shorter_text_gives_the_same_outputs() -> None:
    network, _ = build("layer")
    torch.testing.assert_close(network(IDS[:, :4]), network(IDS)[:, :4])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.heads=3", "width is a multiple of heads, got .*heads=3"),
        ("model.norm_placement=middle", "gpt: norm_placement is one of pre, post, peri, branch_end, got 'middle'"),
        ("model.depth=0", "depth, width and heads are at least 1"),
        ("site.placement=after", "gpt: what follows a norm is part of the network's plan.*site.placement=after"),
    ],
)
def test_settings_that_do_not_fit_are_refused(setting: str, message: str, make_text_run) -> None:
    with pytest.raises(ValueError, match=message):
        make_text_run(setting)


def test_a_final_norm_that_is_none_and_weights_that_cannot_be_tied_are_refused(make_text_run) -> None:
    with pytest.raises(ValueError, match="norm_placement=post ends in a norm.*leave it true"):
        make_text_run("model.norm_placement=post", "model.final_norm=false")
    with pytest.raises(
        ValueError, match=f"one output for each token of the vocabulary, {VOCABULARY}, but the task has 3"
    ):
        build(num_outputs=3, tied_embeddings=True)


def test_numbers_are_refused_and_so_are_tokens_by_a_model_for_numbers(few_data, make_run) -> None:
    with pytest.raises(
        ValueError, match=r"gpt: needs token ids \(T,\).*\(1, 8, 8\) with vocabulary=None; use model=mlp"
    ):
        make_run("model=gpt")
    with pytest.raises(
        ValueError, match="MLP takes numbers.*inputs are token ids; use model=gpt, model=rnn.*model=mlp"
    ):
        make_run("model=mlp", "data=few_texts", "data.batch_size=4")
