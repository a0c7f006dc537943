"""How much of a graph network's logit comes from each connection, measured against what is expected of that connection.

Two ways, both against the mean of every connection over the training cases. To take a connection's message away altogether, as masks do, asks
about a graph that no patient has: the message of an ordinary connection is not nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32

from radiogen.branches.network.classifier import GraphClassifier
from radiogen.branches.network.gnn import stack_cases
from radiogen.branches.network.rows import GraphRows


def integrated_gradients(model: GraphClassifier, X: GraphRows, steps: int) -> Float[np.ndarray, "c e"]:
    """Return the share that every connection has in the difference of the logit from that of an average network, with its sign.

    The gradient is averaged along the straight line from the connections' means over the training cases to those of the case, and multiplied by
    the distance; features of a connection are summed. Nodes stay those of the case. Over the connections the values add up to the difference of
    the two logits, as nearly as the steps allow.

    Args:
        model: fitted.
        X: the cases, with the connections of the training.
        steps: places on the line.

    Returns:
        Logit units; above 0 speaks for label 1.

    Source: Sundararajan et al. 2017, ICML, equation 1; places in the middle of equal parts.
    """
    nodes, edges = model.prepared(X)
    places = ((np.arange(steps, dtype=np.float32) + 0.5) / steps)[:, None, None]
    found = np.zeros((len(X), len(X.edges)))
    for number, (node, edge) in enumerate(zip(nodes, edges, strict=True)):
        away = edge - model.reference_
        path = np.asarray(model.reference_ + places * away, dtype=np.float32)
        gradient = _gradient(model, np.repeat(node[None], steps, axis=0), path, X)
        found[number] = (gradient * away).sum(axis=1)
    return found


def occlusion(model: GraphClassifier, X: GraphRows) -> Float[np.ndarray, "c e"]:
    """Return how much the logit falls when one connection at a time is set to its mean over the training cases.

    One pass of the network per connection: slow, and without any assumption, so the measure of the other ways.

    Args:
        model: fitted.
        X: the cases, with the connections of the training.

    Returns:
        Logit units; above 0 speaks for label 1.

    Source: occlusion of Zeiler and Fergus 2014, ECCV, on connections in place of patches.
    """
    nodes, edges = model.prepared(X)
    found = np.zeros((len(X), len(X.edges)))
    for number in range(len(X)):
        whole = model.logits(nodes[[number]], edges[[number]], X.edges)[0]
        for edge in range(len(X.edges)):
            without = edges[[number]]
            without[0, edge] = model.reference_[edge]
            found[number, edge] = whole - model.logits(nodes[[number]], without, X.edges)[0]
    return found


def _gradient(
    model: GraphClassifier, nodes: Float32[np.ndarray, "s n f"], path: Float32[np.ndarray, "s e g"], X: GraphRows
) -> Float32[np.ndarray, "e g"]:
    """Return the mean gradient of the logit over several values of the connections."""
    network = model.network_.eval()
    x, index, _ = stack_cases(nodes, path, X.edges)
    values = torch.tensor(path, device=model.device_, requires_grad=True)
    both = values.reshape(-1, path.shape[2]).repeat(2, 1)
    logits = network(x.to(model.device_), index.to(model.device_), both, nodes.shape[1])
    (gradient,) = torch.autograd.grad(logits.sum(), values)
    mean: np.ndarray = gradient.mean(0).cpu().numpy()
    return mean
