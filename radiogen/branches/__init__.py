"""Cohort rows to features; siblings that do not know each other."""
