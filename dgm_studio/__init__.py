"""DGM Studio: train, look inside, steer and compare deep generative models.

Importing this package imports nothing heavy: neither torch nor Qt.
"""

__version__ = "0.1.0"
