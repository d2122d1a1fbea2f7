"""Recurrent networks for texts, series, and images as sequences, with norms inside the cell (arXiv:1607.06450,
arXiv:1603.09025)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normlib.models import register
from normlib.models.site import Sites

FORGET_BIAS = 1.0  # added to the forget gate, so that a cell keeps what it has at first (Jozefowicz et al. 2015)


class LSTM(nn.Module):
    """One LSTM layer of `width` units on sequences (N, T, in_features), to its states (N, T, width).

    As in equations 20 to 22 of the layer-norm paper, with norms L of their own on both products and on the cell:
    (f, i, o, g) = L(W_h h) + L(W_x x);  c = sigmoid(f + 1) c + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(L(c)).
    """

    def __init__(self, sites: Sites, in_features: int, width: int, steps: int) -> None:
        super().__init__()
        self.width = width
        self.from_input = nn.Linear(in_features, 4 * width, bias=False)
        self.from_state = nn.Linear(width, 4 * width, bias=False)
        self.input_site = sites(4 * width, ahead=self.from_input, activation=False, steps=steps)
        self.state_site = sites(4 * width, ahead=self.from_state, activation=False, steps=steps)
        self.cell_site = sites(width, ahead=None, activation=False, steps=steps)

    def forward(self, x: Tensor) -> Tensor:
        state = cell = x.new_zeros(len(x), self.width)
        states = []
        for step, entering in enumerate(self.from_input(x).unbind(1)):  # (N, 4 width)
            gates = self.state_site(self.from_state(state), step) + self.input_site(entering, step)
            forget, write, read, new = gates.chunk(4, 1)
            cell = torch.sigmoid(forget + FORGET_BIAS) * cell + torch.sigmoid(write) * torch.tanh(new)
            state = torch.sigmoid(read) * torch.tanh(self.cell_site(cell, step))
            states.append(state)
        return torch.stack(states, 1)


class GRU(nn.Module):
    """One GRU layer of `width` units on sequences (N, T, in_features), to its states (N, T, width).

    As in the supplement of the layer-norm paper, with norms L of their own:
    (z, r) = L(W_h h) + L(W_x x);  n = tanh(L(W x) + sigmoid(r) L(U h));  h = (1 - sigmoid(z)) h + sigmoid(z) n.
    """

    def __init__(self, sites: Sites, in_features: int, width: int, steps: int) -> None:
        super().__init__()
        self.width = width
        self.gates_from_input = nn.Linear(in_features, 2 * width, bias=False)
        self.gates_from_state = nn.Linear(width, 2 * width, bias=False)
        self.new_from_input = nn.Linear(in_features, width, bias=False)
        self.new_from_state = nn.Linear(width, width, bias=False)
        self.gates_input_site = sites(2 * width, ahead=self.gates_from_input, activation=False, steps=steps)
        self.gates_state_site = sites(2 * width, ahead=self.gates_from_state, activation=False, steps=steps)
        self.new_input_site = sites(width, ahead=self.new_from_input, activation=False, steps=steps)
        self.new_state_site = sites(width, ahead=self.new_from_state, activation=False, steps=steps)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), self.width)
        states = []
        entering = zip(self.gates_from_input(x).unbind(1), self.new_from_input(x).unbind(1), strict=True)
        for step, (to_gates, to_new) in enumerate(entering):  # (N, 2 width), (N, width)
            gates = self.gates_state_site(self.gates_from_state(state), step) + self.gates_input_site(to_gates, step)
            update, reset = torch.sigmoid(gates).chunk(2, 1)
            kept = reset * self.new_state_site(self.new_from_state(state), step)
            new = torch.tanh(self.new_input_site(to_new, step) + kept)
            state = (1 - update) * state + update * new
            states.append(state)
        return torch.stack(states, 1)


CELLS = {"lstm": LSTM, "gru": GRU}


@register("rnn")
class RNN(nn.Module):
    """`depth` recurrent layers of `width` units, `cell` lstm or gru, on a text, a series, or an image by its rows or
    pixels.

    Inputs are token ids int64 (N, T), series (N, C, L) or images (N, C, H, W). The output is (N, num_outputs), by a
    linear classifier on the last state. A token is a step of `width` values, its embedding, which starts normal with
    variance 1. A series has L steps of C values. `sequence` is for images: rows are H steps of C*W values, pixels are
    H*W steps of C values. The norms stand inside the cell, as in the layer-norm paper. They see (N, features) without
    positions, and are the same at every step. What follows them is part of the cell, so `site.activation` means nothing
    here. Biases are those of the norms. Ahead of the norm on the cell there is no layer, so methods on weights need
    `cell` gru.

    Batch norm keeps running statistics for each time step (Cooijmans et al. 2017, arXiv:1603.09025), and so do all
    norms that have some. There are as many as the input has steps, and they cost memory for every step. A longer
    sequence would use the last ones for the rest. Where all samples agree, as at the first pixels of a digit, the
    variance is zero. Then the gradient through the cell's norm is multiplied by 1/sqrt(eps). The authors add noise to
    the first state there, and start scales at 0.1. Neither is done here, so that all norms start alike. So take rows
    rather than pixels with batch norm.

    Settings:
        cell: the recurrent cell
        sequence: what a step is on images: a row, or a pixel
        depth: recurrent layers
        width: units of each layer
    """

    def __init__(
        self,
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocabulary: int | None = None,
        cell: Literal["lstm", "gru"] = "lstm",
        sequence: Literal["rows", "pixels"] = "rows",
        depth: int = 1,
        width: int = 64,
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"rnn: depth and width are at least 1, got depth={depth}, width={width}")
        if cell not in CELLS or sequence not in ("rows", "pixels"):
            raise ValueError(
                f"rnn: cell is lstm or gru and sequence is rows or pixels, got cell={cell}, sequence={sequence}"
            )
        sites.require_no_order("rnn")
        self.embed = None if vocabulary is None else nn.Embedding(vocabulary, width)
        self.by_rows = sequence == "rows"
        if vocabulary is not None and len(input_shape) == 1:
            steps, in_features = input_shape[0], width
        elif vocabulary is None and len(input_shape) == 2:
            in_features, steps = input_shape
        elif vocabulary is None and len(input_shape) == 3:
            channels, height, breadth = input_shape
            steps, in_features = (height, channels * breadth) if self.by_rows else (height * breadth, channels)
        else:
            raise ValueError(
                "rnn: needs token ids (T,), series (C, L) or images (C, H, W), but the data's input is "
                f"{tuple(input_shape)} with vocabulary={vocabulary}; use model=mlp or other data"
            )
        self.layers = nn.Sequential(
            *(CELLS[cell](sites, width if above else in_features, width, steps) for above in range(depth))
        )
        self.classifier = sites.classifier = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.embed is not None:
            x = self.embed(x)  # (N, steps, in_features)
        elif x.dim() == 4 and self.by_rows:
            x = x.permute(0, 2, 1, 3).flatten(2)
        else:
            x = x.flatten(2).transpose(1, 2)
        with parametrize.cached():  # a method on weights computes each of them once for all steps
            x = self.layers(x)
        return self.classifier(x[:, -1])
