"""Released and trained models on disk: a JSON description beside HDF5 weights.

`NAME.json` says what the network is, how it was trained, what decodes it, and the
SHA-256 of its weights. `NAME-HASH.weights.h5`, where HASH is the beginning of that, holds
an array `LAYER/INDEX` for each weight of each layer, of float16, or float32 where that overflows.
Keras's own layout numbers the layers of a kind in the order of the graph, so that one more branch
would shift all that follow; names do not shift. Nothing in either file is executed or unpickled.
"""

import contextlib
import dataclasses
import glob
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from colorizer.color import rebalancing_weights
from colorizer.networks import NetworkConfig, build_network
from colorizer.runs import put_in_place

FORMAT = 1
LARGEST_WORKING_SIZE = 1024  # pixels; networks learn at 64 to 256: this is gigabytes already
DEFAULT_MODEL = "default"

PRESETS: dict[str, str] = {
    "default": "xception_fusion with xception_half, multiscale fusion, distribution head; "
    "random initialisation, trained on 25,840 photographs and the Oxford flowers 17",
}
"""The released models: name → description. Figures are in `models/README.md`."""


class ModelError(ValueError):
    """A model that cannot be loaded; the message names the file and what is wrong."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A network with what is needed to use it.

    Attributes:
        network: the Keras model, weights loaded.
        config: what it was built from.
        prior: (313,) smoothed prior of the ab bins in its training data.
        rebalancing: λ of its class weights.
        details: everything else its JSON says (training, lineage, figures).
    """

    network: keras.Model
    config: NetworkConfig
    prior: np.ndarray
    rebalancing: float = 0.5
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def class_weights(self) -> np.ndarray:
        """(313,) the weights of the bins during training."""
        return rebalancing_weights(self.prior, rebalancing=self.rebalancing)


def models_folder() -> Path:
    """Where the released models are: beside the package, or inside an installed wheel."""
    beside = Path(__file__).resolve().parent.parent / "models"
    if (beside / f"{DEFAULT_MODEL}.json").is_file():
        return beside
    return Path(str(resources.files("colorizer") / "pretrained"))


def find_model(model: str | Path) -> Path:
    """The JSON file of a released model's name, a `.json` file, or the folder of a run.

    Raises:
        ModelError: there is none.
    """
    path = Path(model)
    if isinstance(model, str) and model in PRESETS:  # a folder of that name is ./NAME, or a Path
        path = models_folder() / f"{model}.json"
    elif path.is_dir():
        path = path / "model.json"
    if not path.is_file():
        raise ModelError(
            f"no model {str(model)!r}: expected {' or '.join(sorted(PRESETS))}, the .json file "
            "of a model, or the folder of a training run"
        )
    return path


def _weights_file(description: Path, sha256: str) -> Path:
    return description.with_name(f"{description.stem}-{sha256[:8]}.weights.h5")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_pretrained(model: str | Path = DEFAULT_MODEL) -> Pretrained:
    """Loads a model.

    Args:
        model: a name of `PRESETS`, a `.json` file, or the folder of a training run.

    Raises:
        ModelError: missing, truncated, altered, or weights of another network.
    """
    path = find_model(model)
    try:
        described = json.loads(path.read_text("utf-8"))
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']}; this version reads {FORMAT}")
        config = NetworkConfig.from_dict(described.pop("network"))
        prior = np.asarray(described.pop("prior"), "float64")
        rebalancing = float(described.pop("rebalancing"))
        rebalancing_weights(prior, rebalancing=rebalancing)
        weights = _weights_file(path, described["sha256"])
        # The file holds the extractor too: its own weights need not be fetched first.
        network = build_network(dataclasses.replace(config, extractor_weights=None))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} does not describe a model: {error}") from error
    if not weights.is_file():
        raise ModelError(f"{weights} is missing: {path} needs it")
    if _sha256(weights) != described["sha256"]:
        raise ModelError(f"{weights} is truncated, altered or of another model: wrong SHA-256")
    try:
        _read_weights(network, weights)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{weights} holds the weights of another network than {path}") from error
    return Pretrained(
        network=network, config=config, prior=prior, rebalancing=rebalancing, details=described
    )


def _named_weights(network: keras.Model) -> dict[str, keras.Variable]:
    return {
        f"{layer.name}/{index}": variable
        for layer in network.layers
        for index, variable in enumerate(layer.weights)
    }


def _read_weights(network: keras.Model, path: Path) -> None:
    with h5py.File(path, "r") as file:
        named = _named_weights(network)
        stored = sum(len(group) for group in file.values())
        if stored != len(named):
            raise ValueError(f"{stored} weights; expected {len(named)}")
        for name, variable in named.items():
            value = file[name][()]
            if value.shape != variable.shape:
                raise ValueError(f"{name}: shape {value.shape}; expected {variable.shape}")
            variable.assign(value.astype("float32"))


def _write_weights(network: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, variable in _named_weights(network).items():
            value = keras.ops.convert_to_numpy(variable)
            fits = np.abs(value).max(initial=0) <= np.finfo("float16").max
            file.create_dataset(name, data=value.astype("float16" if fits else "float32"))


def save_pretrained(model: Pretrained, path: str | Path) -> Path:
    """Writes `path` (a `.json` file) and the weights beside it, in float16 where that holds them.

    The name of the weights is that of their content, and the description names them: it is
    replaced in one step, so whatever happens, it goes with weights that are there.

    Returns:
        The path of the JSON file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, text = (path.with_name(f".partial-{path.stem}{end}") for end in (".h5", ".json"))
    try:
        _write_weights(model.network, partial)
        described = {
            **model.details,
            "format": FORMAT,
            "network": dataclasses.asdict(model.config),
            "rebalancing": model.rebalancing,
            "sha256": _sha256(partial),
            "prior": [float(f"{p:.6g}") for p in model.prior],
        }
        text.write_text(json.dumps(described, indent=1) + "\n", "utf-8")
        weights = _weights_file(path, described["sha256"])
        put_in_place(partial, weights)
        put_in_place(text, path)
    finally:
        partial.unlink(missing_ok=True)
        text.unlink(missing_ok=True)
    for old in path.parent.glob(f"{glob.escape(path.stem)}-????????.weights.h5"):
        if old != weights:
            with contextlib.suppress(OSError):  # on Windows one that is open; the next save tries
                old.unlink()
    return path
