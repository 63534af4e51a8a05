"""Generative models: one file per system, found by the registry (torch)."""
