"""Two networks on the same regions in one picture: which connections they share, and whether these are equally strong."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import rankdata

from radiogen.report.style import BLUE, INK, ORANGE, PAPER, PURPLE, drawing, new_figure, quiet_axes

_WIDTH_IN, _HEIGHT_IN = 10.0, 4.8


def agreement_figure(
    names: tuple[str, str],
    n_nodes: int,
    first: Integer[np.ndarray, "e 2"],
    second: Integer[np.ndarray, "f 2"],
    shared_weights: Float[np.ndarray, "s 2"],
) -> Figure:
    """Draw the matrix of connections of two networks, and the ranks of the weights of shared connections.

    Args:
        names: of the two.
        n_nodes: regions.
        first: pairs of regions from 0.
        second: the same of the other.
        shared_weights: weights of the connections that both have.

    Example:
        >>> pairs = np.array([[0, 1], [1, 2]])
        >>> len(agreement_figure(("a", "b"), 3, pairs, pairs[:1], np.ones((1, 2))).axes)
        2
    """
    matrix = np.zeros((n_nodes, n_nodes), dtype=np.uint8)
    for edges, value in ((first, 1), (second, 2)):
        matrix[edges[:, 0], edges[:, 1]] += value
        matrix[edges[:, 1], edges[:, 0]] += value
    counts = [int((np.triu(matrix, 1) == value).sum()) for value in (1, 2, 3)]
    colours = (ORANGE, PURPLE, BLUE)
    with drawing():
        figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
        left, right = figure.subplots(1, 2)
        left.imshow(matrix, cmap=ListedColormap([PAPER, *colours]), vmin=0, vmax=3, interpolation="nearest")
        words = (f"only {names[0]}", f"only {names[1]}", "both")
        handles = [
            Patch(color=colour, label=f"{word}: {count}")
            for colour, word, count in zip(colours, words, counts, strict=True)
        ]
        left.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=8, frameon=False)
        left.set_title("connections between regions", color=INK, fontsize=10)
        left.set_xlabel("region", color=INK)
        left.set_ylabel("region", color=INK)
        ranks = rankdata(shared_weights, axis=0) if len(shared_weights) else shared_weights
        right.scatter(ranks[:, 0], ranks[:, 1], s=6, c=BLUE, alpha=0.4, linewidths=0)
        right.set_title(f"weights of {len(shared_weights)} shared connections", color=INK, fontsize=10)
        right.set_xlabel(f"rank in {names[0]} (1: weakest)")
        right.set_ylabel(f"rank in {names[1]}")
        quiet_axes(right)
    return figure
