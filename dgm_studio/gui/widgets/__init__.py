"""Reusable widgets: each knows Qt and the theme, none knows a model. Signals carry plain values and numpy arrays."""
