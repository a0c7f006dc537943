"""Names of the feature branches, without importing them."""

from __future__ import annotations

from radiogen.registry import Registry

BRANCHES = Registry(
    "branches",
    {
        "clinical": "radiogen.branches.clinical:ClinicalBranch",
        "embedding": "radiogen.branches.embedding.branch:EmbeddingBranch",
        "location": "radiogen.branches.location:LocationBranch",
        "network": "radiogen.branches.network.branch:NetworkBranch",
        "radiomics": "radiogen.branches.radiomics:RadiomicsBranch",
    },
)
"""Branch name -> its scikit-learn transformer."""
