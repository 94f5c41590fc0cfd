"""Speed, each figure a ratio measured in one run: machines differ, ratios hardly do.

    python -m pytest tests/benchmarks -s

The naive way is what tutorials of Deep Koalarization do: decode every photograph once per
network, convert with scikit-image in float64, and call `Model.predict` for each image.
These do not decide whether the tests pass; they print what a change did to speed.
"""

import dataclasses
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from skimage import color as skcolor
from skimage import data as samples
from skimage import io, transform

from colorizer.color import AB_BINS
from colorizer.data import DataConfig, load_dataset
from colorizer.embeddings import embed_files
from colorizer.networks import KOALARIZATION, NetworkConfig, build_network
from colorizer.photos import read_photo, write_photo
from colorizer.predict import Colorizer
from colorizer.training import ColorizationTask, TrainConfig, resolve_precision

UNTRAINED = dataclasses.replace(KOALARIZATION, extractor_weights=None)
BATCH = 16


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """JPEGs of 320×240 cut out of scikit-image's samples."""
    folder = tmp_path_factory.mktemp("photographs")
    originals = [samples.astronaut(), samples.coffee(), samples.rocket()]
    random = np.random.default_rng(0)
    for i in range(4 * BATCH):
        image = originals[i % 3]
        top, left = random.integers(0, (image.shape[0] - 240, image.shape[1] - 320))
        Image.fromarray(image[top : top + 240, left : left + 320]).save(folder / f"{i:03}.jpg")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    wide = transform.resize(samples.astronaut(), (768, 1024))
    Image.fromarray((wide * 255).astype("uint8")).save(path, quality=92)
    return path


def seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """The median time of a warm call."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def report(what: str, ours: float, naive: float, wanted: float) -> None:
    print(f"\n{what}: {naive / ours:.2f}× (naive {naive:.3f} s, ours {ours:.3f} s; aim {wanted}×)")


class Naive:
    """Deep Koalarization as tutorials build it."""

    def __init__(self) -> None:
        self.extractor = keras.applications.Xception(weights=None, classifier_activation=None)
        self.network = build_network(UNTRAINED, embedding_input=True)
        self.network.compile("adam", "mse", jit_compile=False)

    def embed(self, gray: np.ndarray) -> np.ndarray:
        image = transform.resize(np.repeat(gray[..., None], 3, axis=-1), (299, 299))
        return self.extractor.predict(2 * image[None] - 1, verbose=0)

    def train(self, paths: list[Path]) -> None:
        luminance, ab, embedding = [], [], []
        for path in paths:
            small = transform.resize(io.imread(path), (224, 224))
            lab = skcolor.rgb2lab(small)
            luminance.append(lab[..., :1] / 50 - 1)
            ab.append(lab[..., 1:] / 110)
            embedding.append(self.embed(skcolor.rgb2gray(io.imread(path)))[0])
        inputs = {"luminance": np.stack(luminance), "embedding": np.stack(embedding)}
        self.network.train_on_batch(inputs, {"ab": np.stack(ab)})

    def colorize(self, source: Path, target: Path) -> None:
        image = io.imread(source) / 255
        lab = skcolor.rgb2lab(image)
        inputs = {
            "luminance": transform.resize(lab[..., :1], (224, 224))[None] / 50 - 1,
            "embedding": self.embed(skcolor.rgb2gray(image)),
        }
        ab = self.network.predict(inputs, verbose=0)["ab"][0] * 110
        lab[..., 1:] = transform.resize(ab, lab.shape[:2])
        io.imsave(target, (skcolor.lab2rgb(lab) * 255).astype("uint8"))


@pytest.fixture(scope="module")
def naive() -> Naive:
    return Naive()


def test_training_the_koalarization_preset(benchmark, naive, photographs, tmp_path) -> None:
    """One batch, after the first epoch: the embeddings are in the cache, the photographs too."""
    settings = DataConfig(
        sources=(str(photographs[0].parent),),
        image_size=224,
        batch_size=BATCH,
        validation_share=0.0,
    )
    config = TrainConfig(data=settings, network=UNTRAINED, embeddings=str(tmp_path))
    precision = resolve_precision("auto")
    embedded = embed_files(photographs, UNTRAINED, cache=tmp_path)
    stream = iter(load_dataset(settings, embeddings=embedded).batches)
    keras.config.set_dtype_policy(precision)
    try:
        network = build_network(UNTRAINED, embedding_input=True)
    finally:
        keras.config.set_dtype_policy("float32")
    task = ColorizationTask(network, config, np.ones(len(AB_BINS), "float32"))
    task.compile("adam", jit_compile=False)

    def ours() -> None:
        task.train_on_batch(next(stream))

    ours_time, naive_time = seconds(ours), seconds(lambda: naive.train(photographs[:BATCH]))
    benchmark.pedantic(ours, rounds=3)
    report(f"training the Koalarization preset in {precision}", ours_time, naive_time, 5)


# The untrained network of the naive way predicts colours that no screen has.
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")
def test_colouring_a_photo_file_to_file(benchmark, naive, photo, tmp_path) -> None:
    colorizer = Colorizer()

    def ours() -> None:
        colorizer.colorize_file(photo, tmp_path / "ours.jpg", overwrite=True)

    naive_time = seconds(lambda: naive.colorize(photo, tmp_path / "naive.jpg"))
    ours_time = seconds(ours)
    benchmark.pedantic(ours, rounds=5)
    report("1024×768 JPEG, file to file", ours_time, naive_time, 3)
    extractor = keras.applications.Xception(weights=None)
    image = np.zeros((1, 299, 299, 3), "float32")
    forward = seconds(lambda: extractor.predict_on_batch(image))
    print(f"in forward passes of Xception at 299: {ours_time / forward:.2f}")


def test_mask_and_hints_cost_little_when_unused(benchmark) -> None:
    """The released layout with both inputs, one all ones and one all zeros, and without them."""
    luminance = np.zeros((1, 160, 224, 1), "float32")
    unused = {"mask": np.ones_like(luminance), "hints": np.zeros((1, 160, 224, 3), "float32")}
    plain, steered = (
        build_network(NetworkConfig(mask=taken, hints=taken)) for taken in (False, True)
    )
    for network in (plain, steered):
        network.compile(jit_compile=False)

    def run() -> None:
        steered.predict_on_batch({"luminance": luminance, **unused})

    without = seconds(lambda: plain.predict_on_batch({"luminance": luminance}), 15)
    benchmark.pedantic(run, rounds=5)
    print(f"\nthe network with unused mask and hints: {seconds(run, 15) / without:.2f}× as slow")


def test_colouring_costs_the_same_per_photo_and_memory_stays_flat(benchmark, tmp_path) -> None:
    colorizer = Colorizer()
    image = samples.chelsea()
    write_photo(tmp_path / "photo.jpg", image)

    def some(count: int) -> None:
        for _ in range(count):
            colorizer(read_photo(tmp_path / "photo.jpg").pixels)

    some(20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first = seconds(lambda: some(50), repeats=1) / 50
    start = time.perf_counter()
    benchmark.pedantic(some, args=(500,), rounds=1)
    last = (time.perf_counter() - start) / 500
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"\nper photo: {last / first:.2f}× over 500 as over 50; peak memory grew {grown:.0f} MiB")


@pytest.mark.parametrize(
    "code", ["import colorizer", "from colorizer.cli import main; main(['-h'])"]
)
def test_start_up(benchmark, code) -> None:
    command = [sys.executable, "-c", code]
    bare = seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=False), 5)

    def run() -> None:
        subprocess.run(command, capture_output=True, check=False)

    ours = seconds(run, 5)
    benchmark.pedantic(run, rounds=5)
    print(f"\n{code}: {ours:.3f} s, of which bare Python {bare:.3f} s (aim 0.3)")
