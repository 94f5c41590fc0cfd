"""A gray photograph in, a colour photograph out.

The package is used through its modules, each of which says what it holds:

    from colorizer.predict import colorize       # photographs
    from colorizer.training import train         # networks
    from colorizer.evaluate import evaluate      # figures

Importing `colorizer` itself loads nothing heavy: TensorFlow and Keras come in with
the module that needs them.
"""

import os

# TensorFlow prints build notes at level INFO on every start; warnings stay visible.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

__version__ = "0.1.0"
