"""The real program for every test of flows."""

from tests.gui.flows import program, run, trained, window

__all__ = ["program", "run", "trained", "window"]
