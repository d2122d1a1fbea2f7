"""A causal transformer that models text, in the manner of GPT-2 (arXiv:1706.03762, section 3; Radford et al. 2019)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from normlib.models import register
from normlib.models.attention_block import Block, require_placement
from normlib.models.site import Sites


@register("gpt")
class GPT(nn.Module):
    """`depth` causal transformer blocks of `width` and `heads` on the embeddings of tokens and of their positions.

    Input int64 (N, T), token ids below the data's vocabulary. Output (N, T, num_outputs): what follows each token. An
    output sees no later token. `norm_placement`: "pre", "post", "peri" and "branch_end" as in `attention_block.py`.
    `final_norm`: a site ahead of the last layer. "post" ends in a norm anyway and has no other. `embedding_norm`: a
    site on the sum of the embeddings. `qk_norm`: a site on the queries and one on the keys of each layer, for each head
    apart. `tied_embeddings`: the last layer has the weights of the tokens' embedding, divided by sqrt(width), and no
    bias. The trunk is the same for all placements, with any of these norms or without.

    Each token passes a site as a sample of its own, (N*T, width) without positions. So no norm of a sample can see a
    later token. Layer norm is over the channels of a token, as in every language model. Norms over positions, such as
    instance norm, are skipped with the reason. Batch norm takes its statistics over all tokens of the batch. So in
    training a token's output depends on later tokens, which is batch norm's known problem with text. Evaluation uses
    running statistics and sees nothing later. Settings under which evaluation would see later tokens are skipped with
    the reason.

    Sites only normalize. `site.activation` is that of the perceptrons. There is no dropout. The only biases are those
    of the perceptrons' first layers and of the last layer. Embeddings start normal with variance 1.

    Settings:
        depth: transformer blocks
        width: channels of a token
        heads: attention heads
        norm_placement: where the norm stands: before a branch, after it, on both sides, or at its end
        qk_norm: whether queries and keys are normalized
        final_norm: whether a site stands ahead of the last layer
        embedding_norm: whether a site stands on the sum of the embeddings
        tied_embeddings: whether the last layer shares the weights of the tokens' embedding
    """

    def __init__(
        self,
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocabulary: int | None,
        depth: int = 4,
        width: int = 64,
        heads: int = 4,
        norm_placement: Literal["pre", "post", "peri", "branch_end"] = "pre",
        qk_norm: bool = False,
        final_norm: bool = True,
        embedding_norm: bool = False,
        tied_embeddings: bool = False,
    ) -> None:
        super().__init__()
        if min(depth, width, heads) < 1 or width % heads:
            raise ValueError(
                f"gpt: depth, width and heads are at least 1, and width is a multiple of heads, got depth={depth}, width={width}, "
                f"heads={heads}"
            )
        require_placement("gpt", norm_placement)
        if vocabulary is None or len(input_shape) != 1:
            raise ValueError(
                "gpt: needs token ids (T,), from data that declare their vocabulary, but the data's input is "
                f"{tuple(input_shape)} with vocabulary={vocabulary}; use model=mlp or another model for numbers"
            )
        if norm_placement == "post" and not final_norm:
            raise ValueError(
                "gpt: norm_placement=post ends in a norm, which model.final_norm=false would not leave out; leave it true"
            )
        if tied_embeddings and num_outputs != vocabulary:
            raise ValueError(
                f"gpt: tied_embeddings needs one output for each token of the vocabulary, {vocabulary}, but the task has "
                f"{num_outputs}; leave model.tied_embeddings false"
            )
        sites.require_no_order("gpt")
        length = input_shape[0]
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)

        def site() -> nn.Module:
            return sites(width, ahead=None, activation=False, channel_dim=-1, positions_apart=length)

        self.embedding_site = site() if embedding_norm else None
        self.blocks = nn.Sequential(
            *(Block(sites, width, heads, norm_placement, length, qk_norm) for _ in range(depth))
        )
        self.last_site = site() if final_norm and norm_placement != "post" else None
        self.classifier = None if tied_embeddings else nn.Linear(width, num_outputs)
        sites.classifier = self.classifier

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]  # (N, T, width)
        if self.embedding_site is not None:
            x = self.embedding_site(x)
        x = self.blocks(x)
        if self.last_site is not None:
            x = self.last_site(x)
        if self.classifier is not None:
            return self.classifier(x)
        return nn.functional.linear(x, self.tokens.weight) / self.tokens.embedding_dim**0.5
