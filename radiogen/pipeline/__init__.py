"""The stages in order over a study folder, with resume."""
