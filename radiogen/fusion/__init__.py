"""Branch tables to one probability, everything fitted inside the fold."""
