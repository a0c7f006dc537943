"""One torch training stack: losses, optimisers, the loop and its checkpoints. It knows nothing of patients."""
