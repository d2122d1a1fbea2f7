"""Checks the recurrent networks: against torch's own cells without norms, step by step with them, and their order of reading."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from normlib.models import models
from normlib.models.rnn import FORGET_BIAS, GRU, LSTM
from normlib.models.site import Sites
from normlib.norms import create

WIDTH, STEPS, FEATURES = 5, 4, 3
X = torch.randn(6, STEPS, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def cell(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param(Sites(), FEATURES, WIDTH, STEPS).double()


@pytest.mark.parametrize("cell", [LSTM], indirect=True)
def test_without_norms_the_lstm_is_torchs_with_a_forget_bias(cell: LSTM) -> None:
    torchs = nn.LSTM(FEATURES, WIDTH, batch_first=True, dtype=torch.float64)
    order = [1, 0, 3, 2]  # torch has input, forget, new, output; the paper forget, input, output, new
    with torch.no_grad():
        for name, ours in (("weight_ih_l0", cell.from_input), ("weight_hh_l0", cell.from_state)):
            getattr(torchs, name).copy_(ours.weight.view(4, WIDTH, -1)[order].flatten(0, 1))
        torchs.bias_ih_l0.copy_(torch.tensor([0, FORGET_BIAS, 0, 0]).repeat_interleave(WIDTH))
        torchs.bias_hh_l0.zero_()
    torch.testing.assert_close(cell(X), torchs(X)[0])


@pytest.mark.parametrize("cell", [GRU], indirect=True)
def test_without_norms_the_gru_is_torchs(cell: GRU) -> None:
    torchs = nn.GRU(FEATURES, WIDTH, batch_first=True, bias=False, dtype=torch.float64)
    with torch.no_grad():
        for name, gates, new in (
            ("weight_ih_l0", cell.gates_from_input, cell.new_from_input),
            ("weight_hh_l0", cell.gates_from_state, cell.new_from_state),
        ):
            update, reset = gates.weight.chunk(2)  # torch's update gate keeps what the paper's replaces
            getattr(torchs, name).copy_(torch.cat([reset, -update, new.weight]))
    torch.testing.assert_close(cell(X), torchs(X)[0])


def norm_all(network: nn.Module, sites: Sites, name: str) -> nn.Module:
    for site in sites.sites:
        site.install(create(name, site.num_features))
    return network.double()


def test_the_layer_norm_lstm_follows_equations_20_to_22() -> None:
    torch.manual_seed(0)
    sites = Sites()
    cell = norm_all(LSTM(sites, FEATURES, WIDTH, STEPS), sites, "layer")
    for parameter in cell.parameters():
        nn.init.normal_(parameter)

    def normed(x: Tensor, site: nn.Module) -> Tensor:
        return nn.functional.layer_norm(x, x.shape[1:], site.norm.weight, site.norm.bias, 1e-5)

    h = c = torch.zeros(6, WIDTH, dtype=torch.float64)
    for step in range(STEPS):
        sums = normed(h @ cell.from_state.weight.T, cell.state_site)
        sums = sums + normed(X[:, step] @ cell.from_input.weight.T, cell.input_site)
        f, i, o, g = sums.chunk(4, 1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(normed(c, cell.cell_site))
        torch.testing.assert_close(cell(X)[:, step], h)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_batch_norm_keeps_statistics_of_each_step_and_one_scale_for_all(kind: type) -> None:
    torch.manual_seed(0)
    sites = Sites()
    cell = norm_all(kind(sites, FEATURES, WIDTH, STEPS), sites, "batch")
    cell(X)
    for site in sites.sites:
        means = torch.stack([norm.running_mean for norm in site.norms])
        assert means.shape == (STEPS, site.num_features)
        assert [int(norm.num_batches_tracked) for norm in site.norms] == [1] * STEPS
        assert len({id(norm.weight) for norm in site.norms}) == 1
    of_input = sites.sites[0].norms
    first = cell.from_input if kind is LSTM else cell.gates_from_input
    for step, norm in enumerate(of_input):  # momentum 0.1, from zero
        torch.testing.assert_close(norm.running_mean, 0.1 * first(X[:, step]).mean(0).detach())


@pytest.mark.parametrize("sequence", ["rows", "pixels"])
def test_images_are_read_from_the_top_left(sequence: str) -> None:
    network = models["rnn"].cls(Sites(), (2, 3, 4), 10, sequence=sequence, width=2)
    fed: list[Tensor] = []
    network.layers[0].register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    x = torch.arange(24.0).view(1, 2, 3, 4)
    network(x)
    if sequence == "rows":
        assert torch.equal(fed[0][0, 1], torch.cat([x[0, 0, 1], x[0, 1, 1]])), "a step is a row of every channel"
        assert fed[0].shape == (1, 3, 8)
    else:
        assert torch.equal(fed[0][0, 5], x[0, :, 1, 1])
        assert fed[0].shape == (1, 12, 2)


def test_a_series_is_read_position_by_position_and_a_text_by_its_embeddings() -> None:
    fed: list[Tensor] = []
    series = models["rnn"].cls(Sites(), (2, 5), 10, width=3)
    series.layers[0].register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    x = torch.arange(10.0).view(1, 2, 5)
    series(x)
    assert torch.equal(fed[0], x.transpose(1, 2))
    text = models["rnn"].cls(Sites(), (4,), 10, vocabulary=6, width=3)
    text.layers[0].register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    ids = torch.tensor([[5, 0, 5, 2]])
    text(ids)
    assert torch.equal(fed[1], text.embed.weight[ids])


def test_a_method_on_weights_makes_them_once_for_all_steps(make_run) -> None:
    from normlib.training.network import NetworkShape, build_network

    run = make_run("model=rnn", "model.cell=gru", "model.width=4", "norm=spectral_norm")
    network = build_network(run.spec, NetworkShape((1, 8, 8), 10), total_steps=1).module
    layer = network.layers[0].new_from_state
    calls: list[None] = []
    layer.parametrizations.weight[0].register_forward_hook(lambda *_: calls.append(None))
    network(torch.zeros(2, 1, 8, 8))
    assert len(calls) == 1


@pytest.mark.parametrize("setting", ["cell=tree", "sequence=columns"])
def test_unknown_cells_and_sequences_are_refused(setting: str, make_run) -> None:
    with pytest.raises(ValueError, match="rnn: cell is lstm or gru and sequence is rows or pixels"):
        make_run("model=rnn", f"model.{setting}")


@pytest.mark.parametrize("model", ["rnn", "transformer"])
@pytest.mark.parametrize("setting", ["site.placement=after", "site.dropout=0.1"])
def test_settings_that_no_site_would_heed_are_refused(model: str, setting: str, make_run) -> None:
    with pytest.raises(ValueError, match=f"{model}: what follows a norm is part of the network's plan.*{setting}"):
        make_run(f"model={model}", setting)
