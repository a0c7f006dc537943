"""A predictions table to metrics, baselines and a verdict; never imports segment, branches or fusion."""
