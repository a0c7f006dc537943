"""Made-up cohorts of graphs whose label is known to lie in the connections."""

import numpy as np

from radiogen.branches.network.rows import GraphRows


def edges_of(n_nodes=12, n_edges=30, seed=0):
    pairs = np.array([(a, b) for a in range(n_nodes) for b in range(a + 1, n_nodes)])
    chosen = np.random.default_rng(seed).choice(len(pairs), n_edges, replace=False)
    return pairs[np.sort(chosen)]


def cohort(n_cases=120, seed=0, n_latents=4, others_change=False):
    """In every case 5 of 10 connections carry a changed latent: of the first set where the label is 0, of the second where it is 1.

    Where others change, so do 5 of the 10 connections of neither set, whatever the label.
    """
    rng = np.random.default_rng(seed)
    edges = edges_of()
    nodes = rng.normal(size=(n_cases, 12, 3)).astype(np.float32)
    values = rng.normal(0.5, 0.1, size=(n_cases, len(edges), n_latents)).astype(np.float32)
    y = np.tile([0, 1], n_cases // 2)
    sets = np.arange(20).reshape(2, 10)
    for case in range(n_cases):
        values[case, rng.choice(sets[y[case]], 5, replace=False), 1] += 1.0
        if others_change:
            values[case, rng.choice(np.arange(20, 30), 5, replace=False), 1] += 1.0
    rows = GraphRows(np.array([f"case-{n:03d}" for n in range(n_cases)]), nodes, values, edges, np.eye(12))
    return rows, y, sets
