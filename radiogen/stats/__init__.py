"""Formulas on arrays that know nothing of patients."""
