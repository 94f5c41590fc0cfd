"""What several test modules share."""

import keras
import numpy as np
import pytest
from hypothesis import settings
from skimage import data

# No deadline: a first call compiles, and the machine may be busy. The same examples every time.
settings.register_profile("colorizer", deadline=None, derandomize=True)
settings.load_profile("colorizer")


def pytest_configure(config):
    # TensorFlow 2.21's variables predate NumPy 2's `copy=`; nothing of ours can change that.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mixed_bfloat16():
    """Half precision for one test; the policy is put back after it."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_dtype_policy(before)


@pytest.fixture
def gray_photos():
    """Three different parts of a photograph, (3, 32, 32) float32 in [-1, 1]: L / 50 - 1."""
    camera = data.camera().astype(np.float32) / 127.5 - 1
    return np.stack([camera[y : y + 128 : 4, 160:288:4] for y in (40, 100, 300)])
