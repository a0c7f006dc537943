"""Torch parts of the networks that fuse branches: each turns the branches that a row has into one logit, and masks those it lacks."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from radiogen.config.fusion import FusionNetworkSettings

Features = Float[Tensor, "n branches positions width"]
"""A few vectors per row and branch; zero where a row lacks the branch."""

Present = Bool[Tensor, "n branches"]
"""Which branches a row has; at least one."""

Logits = Float[Tensor, " n"]
"""Log-odds per row."""

Weights = Float[Tensor, "n branches"]
"""Per row a share for each branch; they sum to 1, and a branch that the row lacks has 0."""

Columns = Float[Tensor, "m columns"]
"""Prepared columns of one branch."""


class BranchEmbedding(nn.Module):
    """Turns the prepared columns of one branch into a few vectors, and can tell the label by itself from their sum along fixed signs.

    The signs are the same for all branches, so that what speaks for the positive class points the same way in each of them.

    Args:
        columns: prepared columns of the branch.
        settings: size and dropout.
    """

    def __init__(self, columns: int, settings: FusionNetworkSettings) -> None:
        super().__init__()
        self.shape = (settings.positions, settings.width)
        self.dropout = nn.Dropout(settings.dropout)
        self.linear = nn.Linear(columns, settings.positions * settings.width, bias=False)
        self.offset = nn.Parameter(torch.zeros(()))
        nn.init.normal_(self.linear.weight, std=0.1 / columns**0.5)

    def forward(self, x: Columns) -> Float[Tensor, "m positions width"]:
        """Return the vectors."""
        return self.linear(self.dropout(x)).reshape(-1, *self.shape)

    def logits(self, x: Columns) -> Float[Tensor, " m"]:
        """Return the log-odds that the branch alone gives."""
        return self.forward(x).flatten(1) @ signs(self.shape[0] * self.shape[1]) + self.offset


def signs(size: int) -> Float[Tensor, " size"]:
    """Return +1 and -1 in turn, scaled to length 1.

    Example:
        >>> signs(4).tolist()
        [0.5, -0.5, 0.5, -0.5]
    """
    return (1 - 2 * (torch.arange(size) % 2)).float() / size**0.5


class FusionHead(nn.Module):
    """What the three heads share: a linear read-out that starts along the signs that every branch learned with.

    Args:
        settings: size and dropout.
    """

    def __init__(self, settings: FusionNetworkSettings) -> None:
        super().__init__()
        size = settings.positions * settings.width
        self.dropout = nn.Dropout(settings.dropout)
        self.readout = nn.Linear(size, 1)
        with torch.no_grad():
            self.readout.weight.copy_(signs(size)[None])
            self.readout.bias.zero_()

    def read(self, fused: Float[Tensor, "n positions width"]) -> Logits:
        """Return the log-odds of fused vectors."""
        return self.readout(self.dropout(fused.flatten(1)))[:, 0]


class CrossAttention(FusionHead):
    """CA-Net: every branch asks the others, and counts the less the more it leans on them.

    e_ij = MLP([q_i; k_j]), one MLP for all directions; alpha = softmax over j of e; F = q + sum_j alpha_ij k_j; reliability r = 1 / sum_ij
    sigmoid(e_ij); fused = sum of r F over the branches, divided by the sum of r. With more than two branches (ours) the sum over j is averaged over
    the other branches, and so is that of r. A branch that a row lacks neither asks nor answers; a row with one branch is read as it is.

    Args:
        settings: size and dropout.
        branches: how many there are.

    Source: CA-Net, collaborative attention fusion of radiology and pathology for glioma subtyping, BrainLes 2021.
    """

    def __init__(self, settings: FusionNetworkSettings, branches: int) -> None:
        super().__init__(settings)
        self.score = nn.Sequential(
            nn.Linear(2 * settings.width, settings.hidden), nn.Tanh(), nn.Linear(settings.hidden, 1)
        )

    def forward(self, features: Features, present: Present) -> tuple[Logits, Weights]:
        """Return the log-odds and the share of each branch's reliability."""
        n, branches, positions, width = features.shape
        queries = features[:, :, None, :, None, :].expand(n, branches, branches, positions, positions, width)
        keys = features[:, None, :, None, :, :].expand(n, branches, branches, positions, positions, width)
        score = self.score(torch.cat([queries, keys], dim=-1))[..., 0]
        answer = torch.einsum("nboij,nojc->nboic", score.softmax(-1), features)
        others = (present[:, :, None] & present[:, None, :] & ~torch.eye(branches, dtype=torch.bool)).float()
        count = others.sum(2)
        met = (others[..., None, None] * answer).sum(2) / count.clamp(min=1)[..., None, None]
        leaning = (others * score.sigmoid().sum((3, 4))).sum(2) / count.clamp(min=1)
        reliability = present.float() / torch.where(count > 0, leaning, 1.0)
        share = reliability / reliability.sum(1, keepdim=True)
        fused = (share[..., None, None] * (features + met)).sum(1)
        return self.read(fused), share


class LocallyConnected(FusionHead):
    """Every fused number is a weighted sum, over the branches that a row has, of the same number of each: g_i = sum_j f_ij w_ij + b_i.

    Args:
        settings: size and dropout.
        branches: how many there are.

    Source: Lang et al., A video data based transfer learning approach for classification of MGMT status in brain tumor MR images, BrainLes 2021
    (over sequences); the read-out is one linear layer here.
    """

    def __init__(self, settings: FusionNetworkSettings, branches: int) -> None:
        super().__init__(settings)
        self.weight = nn.Parameter(torch.ones(branches, settings.positions, settings.width))
        self.bias = nn.Parameter(torch.zeros(settings.positions, settings.width))

    def forward(self, features: Features, present: Present) -> tuple[Logits, Weights]:
        """Return the log-odds, and equal shares: the weights are those of numbers, not of rows."""
        there = present.float()
        fused = (there[..., None, None] * features * self.weight).sum(1) + self.bias
        return self.read(fused), there / there.sum(1, keepdim=True)


class GatedAttention(FusionHead):
    """The mean of the branches that a row has, each weighed by gated attention: a = softmax of w^T (tanh(V h) * sigmoid(U h)).

    Args:
        settings: size and dropout.
        branches: how many there are.

    Source: Ilse, Tomczak, Welling, ICML 2018, section 2.4.
    """

    def __init__(self, settings: FusionNetworkSettings, branches: int) -> None:
        super().__init__(settings)
        size = settings.positions * settings.width
        self.value = nn.Linear(size, settings.hidden)
        self.gate = nn.Linear(size, settings.hidden)
        self.score = nn.Linear(settings.hidden, 1, bias=False)

    def forward(self, features: Features, present: Present) -> tuple[Logits, Weights]:
        """Return the log-odds and the attention."""
        vectors = features.flatten(2)
        score = self.score(self.value(vectors).tanh() * self.gate(vectors).sigmoid())[..., 0]
        share = score.masked_fill(~present, -torch.inf).softmax(1)
        return self.read((share[..., None, None] * features).sum(1)), share


HEADS: dict[str, type[CrossAttention | LocallyConnected | GatedAttention]] = {
    "cross-attention": CrossAttention,
    "locally-connected": LocallyConnected,
    "gated-attention": GatedAttention,
}
"""Name of a fusion -> its head."""

WEIGHT_NAMES = {"cross-attention": "reliability", "gated-attention": "attention"}
"""Name of a fusion -> what its shares per row are called; the locally connected layer has none."""
