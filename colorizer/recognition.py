"""Recognition: what an extractor is taught to tell of a photograph, and the task that teaches it.

A colorizer needs to know that this is a leaf and that is the sky [1]; colours teach that slowly.
So our own extractor may first learn to recognise, from the luminance alone.

What it learns to tell
    The *class* of a photograph: softmax cross-entropy. With a single class it is 0.
    The *features* that a teacher, MobileNetV2 of ImageNet, sees in the whole photograph in
    colour: what it would call a thing says more than a label does [2], and features say more
    than an answer does [3]. Each dimension is brought to mean 0 and deviation 1 over the training
    photographs; the loss is the mean squared error. Raw features are positive, and much the same
    for all photographs, so that their cosine is high for whoever knows the mean alone; here
    the mean alone scores 1, the teacher itself 0, and every dimension counts as much as another.
    As a mean over many dimensions its gradient is short: weighted alike, the classes' was 17 to 25
    times as long, at the start and after 700 steps; hence the default of its weight.
    Both heads are linear, on the extractor's output averaged over places. A crop has the class and
    the features of the photograph it is from: the extractor is to guess the whole from a part.

Classes
    The class of a photograph is the name of its source and of the folders that lead to it from
    there, less the split's: `things/train/dogs/a.jpg` is of `things/dogs`, and a flat folder is a
    class of its own. Where sources lie within each other, the innermost counts. Of two data
    sets more is known (`CLASS_RULES`): `flowers17` is flat and its numbers tell, 80 to a
    class; `places365` has folders that mean nothing, and is one class.

The stream
    is that of `data.load_dataset`, whose `embedding` (B, D + 1) holds the teacher's features (D = 0
    without a teacher) and, last, the number of the class, -1 for one that training has not.

References
    [1] F. Baldassarre, D. González Morín, L. Rodés-Guirao. "Deep Koalarization: Image
        Colorization using CNNs and Inception-ResNet-v2". arXiv:1712.03400, 2017.
    [2] G. Hinton, O. Vinyals, J. Dean. "Distilling the Knowledge in a Neural Network".
        arXiv:1503.02531, 2015.
    [3] A. Romero et al. "FitNets: Hints for Thin Deep Nets". ICLR 2015.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from colorizer.annotations import as_object, check_seed, check_types
from colorizer.color import rgb_to_luminance
from colorizer.data import DataConfig, counted_source
from colorizer.embeddings import embed_with
from colorizer.extractors import pooled_application
from colorizer.settings import TrainConfig
from colorizer.sources import PHOTO_NAME, SPLITS, source_folder

Tensor = Any

TEACHERS = ("MobileNetV2",)
TEACHER_SIZES = (96, 128, 160, 192, 224)  # pixels: those that MobileNetV2 was trained at
TEACHER_BATCH = 64
FLOWERS_PER_CLASS = 80


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Every setting of a run.

    Attributes:
        data: what to train on.
        teacher: "MobileNetV2", with Keras's download, or "MobileNetV2:FILE.weights.h5", without
            its top; None = classes only.
        teacher_size: side at which the teacher sees photographs, in pixels.
        teacher_cache: folder of the teacher's features; None = `teacher` in the run's folder.
        class_weight, feature_weight: of the two terms of the loss.
        epochs, steps_per_epoch, learning_rate, warmup, weight_decay, clip_norm, precision: as of
            `settings.TrainConfig`, but the learning rate is a number.
        init_from: a model with the extractor `xception_half`, to start from.
        seed: of weights, order and crops.

    Raises:
        ValueError: a teacher, size, rate, weight or number that is none, or settings of a teacher
            without one.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    teacher: str | None = None
    teacher_size: int = 160
    teacher_cache: str | None = None
    class_weight: float = 1.0
    feature_weight: float = 20.0  # makes the gradients of both terms about as long
    epochs: int = 20
    steps_per_epoch: int | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.03
    weight_decay: float = 1e-2
    clip_norm: float = 5.0
    precision: str = "auto"
    init_from: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        check_seed(self.seed)
        rate = self.learning_rate
        if not (isinstance(rate, int | float) and 0 < rate < math.inf):
            raise ValueError(f"learning_rate must be a positive number. Received: {rate!r}")
        self.fitting()  # refuses what it would not take
        if self.teacher is not None and self.teacher.partition(":")[0] not in TEACHERS:
            expected = " or ".join(f"{name}[:FILE.weights.h5]" for name in TEACHERS)
            raise ValueError(f"teacher must be {expected}. Received: {self.teacher!r}")
        if self.teacher_size not in TEACHER_SIZES:
            raise ValueError(
                f"teacher_size must be one of {TEACHER_SIZES}. Received: {self.teacher_size}"
            )
        for name in ("class_weight", "feature_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more. Received: {getattr(self, name)}")
        for name in ("teacher_size", "teacher_cache", "feature_weight"):
            if self.teacher is None and getattr(self, name) != getattr(type(self), name):
                raise ValueError(
                    f"{name} needs a teacher. Received: {getattr(self, name)!r} and teacher None"
                )

    def fitting(self) -> TrainConfig:
        """How it is trained, in the settings of any training."""
        shared = ("epochs", "steps_per_epoch", "learning_rate", "warmup", "weight_decay")
        names = (*shared, "clip_norm", "precision")
        return TrainConfig(**{name: getattr(self, name) for name in names})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PretrainConfig":
        """The config of JSON `values`; raises ValueError naming any unknown entry."""
        values = as_object(values, "pretraining")
        try:
            return cls(data=DataConfig.from_dict(values.pop("data", {})), **values)
        except TypeError as error:
            raise ValueError(f"pretraining settings: {error}") from error


# ----------------------------------------------------------------------------- the classes


def _flower(name: str) -> str | None:
    """`image_0081.jpg` → "01": the second class of 80; None for other names."""
    matched = PHOTO_NAME.fullmatch(name)
    return matched and f"{(int(matched[1]) - 1) // FLOWERS_PER_CLASS:02d}"


CLASS_RULES: dict[str, Callable[[str], str | None]] = {
    "flowers17": _flower,
    "places365": lambda name: "",
}
"""Name of a source → a file's name → the class within the source; None = by its folder."""


def class_of(path: Path, source: Path) -> str:
    """The class of a photograph, SOURCE or SOURCE/…, by the rule of the module.

    Args:
        path: of the photograph, within `source`.
        source: a folder.
    """
    name = source.name if source.name not in ("", "..") else source.resolve().name
    told = CLASS_RULES[name](path.name) if name in CLASS_RULES else None
    if told is not None:
        return f"{name}/{told}".rstrip("/")
    inner = path.relative_to(source).parent.parts
    if inner and inner[0] in SPLITS:
        inner = inner[1:]
    return "/".join((name, *inner))


def photo_classes(files: Sequence[Path], config: DataConfig) -> list[str]:
    """The class of each photograph of a config's sources."""
    folders = [source_folder(counted_source(source)[0]) for source in config.sources]
    folders.sort(key=lambda folder: len(folder.parts), reverse=True)
    return [
        class_of(path, next(folder for folder in folders if path.is_relative_to(folder)))
        for path in files
    ]


# ----------------------------------------------------------------------------- the teacher


def build_teacher(config: PretrainConfig) -> keras.Model | None:
    """The config's teacher: colours (B, S, S, 3) in [-1, 1] → features (B, D).

    Raises:
        ValueError: its weights cannot be had.
    """
    if config.teacher is None:
        return None
    return pooled_application(
        config.teacher, config.teacher_size, known=TEACHERS, argument="teacher"
    )


def teach(
    config: PretrainConfig, teacher: keras.Model | None, files: Sequence[Path], cache: Path
) -> np.ndarray:
    """The teacher's features of photographs, (N, D) float32; NaN where there is no picture.

    Without a teacher D is 0.
    """
    if teacher is None:
        return np.zeros((len(files), 0), "float32")
    return embed_with(
        teacher,
        files,
        name=f"{str(config.teacher).partition(':')[0]}-colour-{config.teacher_size}",
        size=config.teacher_size,
        prepare=lambda rgb: rgb.astype("float32") / 127.5 - 1,
        cache=cache,
        batch_size=TEACHER_BATCH,
    )


def feature_statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (D,) of (N, D), rows of NaN left out; 1 for what never changes."""
    known = features[~np.isnan(features).any(axis=1)].astype("float64")
    if not known.size:
        return np.zeros(features.shape[1]), np.ones(features.shape[1])
    deviation = known.std(axis=0)
    return known.mean(axis=0), np.where(deviation < 1e-6, 1.0, deviation)


# -------------------------------------------------------------------------------- the task


def gray_rgb(photographs: Tensor) -> Tensor:
    """`uint8` (B, H, W, 3) → the extractor's input: L / 50 - 1 three times, as in `networks`."""
    return ops.repeat(rgb_to_luminance(photographs) / 50 - 1, 3, axis=-1)


class PretrainingTask(keras.Model):
    """An extractor with two linear heads: `fit` on photographs trains all three.

    Args:
        extractor: (B, H, W, 3) → (B, h, w, C).
        config: the run's settings.
        classes: how many.
        mean, deviation: (D,) of the teacher's features; D = 0 without a teacher.
    """

    def __init__(
        self,
        extractor: keras.Model,
        config: PretrainConfig,
        *,
        classes: int,
        mean: np.ndarray,
        deviation: np.ndarray,
    ) -> None:
        super().__init__(name="pretraining")
        self.extractor, self.config = extractor, config
        self.mean, self.deviation = mean.astype("float32"), deviation.astype("float32")
        self.heads = {"class": keras.layers.Dense(classes, dtype="float32", name="class_head")}
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("class_loss", "accuracy")}
        if len(mean):
            self.heads["feature"] = keras.layers.Dense(
                len(mean), dtype="float32", name="feature_head"
            )
            self.trackers["feature_loss"] = keras.metrics.Mean(name="feature_loss")

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Photographs → `class` (B, classes) logits, and `feature` (B, D), standardised.

        Args:
            inputs: `image` (B, H, W, 3) `uint8` sRGB; all else is ignored.
        """
        seen = self.extractor(gray_rgb(inputs["image"]), training=training)
        pooled = ops.mean(ops.cast(seen, "float32"), axis=(1, 2))
        return {name: head(pooled) for name, head in self.heads.items()}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The weighted sum of `loss_terms`."""
        terms = self.loss_terms(y_pred, x["embedding"])
        for name, value in terms.items():
            self.trackers[name].update_state(value)
        loss = self.config.class_weight * terms["class_loss"]
        if "feature_loss" in terms:
            loss = loss + self.config.feature_weight * terms["feature_loss"]
        return loss

    def standardised(self, embedding: Tensor) -> Tensor:
        """The teacher's features in a stream's `embedding` (B, D + 1), as they are predicted."""
        return (embedding[:, :-1] - self.mean) / self.deviation

    def loss_terms(self, outputs: dict[str, Tensor], embedding: Tensor) -> dict[str, Tensor]:
        """The scalar terms of the loss, before their weights, and `accuracy`.

        Args:
            outputs: of `call`.
            embedding: (B, D + 1), the teacher's features and, last, the number of the class.
        """
        logits, numbers = outputs["class"], ops.cast(embedding[:, -1], "int32")
        entropy = keras.losses.sparse_categorical_crossentropy(numbers, logits, from_logits=True)
        told = ops.cast(ops.argmax(logits, axis=-1), "int32") == numbers
        terms = {
            "class_loss": ops.mean(entropy),
            "accuracy": ops.mean(ops.cast(told, "float32")),
        }
        if "feature" in outputs:
            missed = outputs["feature"] - self.standardised(embedding)
            terms["feature_loss"] = ops.mean(ops.square(missed))
        return terms
