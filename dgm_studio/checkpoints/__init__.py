"""Weights on disk: written whole or not at all, believed only after a check."""
