"""Results to self-contained pages and figures."""
