"""Settings against the annotations of the dataclasses that hold them."""

import dataclasses
import os
from collections.abc import Mapping
from numbers import Integral, Real
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

SEEDS = 2**32
"""How many there are: what NumPy and TensorFlow take."""


def as_object(values: Any, name: str) -> dict[str, Any]:
    """A copy of what JSON has as an object; ValueError says what was to be one if it is none."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be an object of settings. Received: {values!r}")
    return dict(values)


def as_tuples(value: Any) -> Any:
    """A value of JSON with its arrays, at any depth, as tuples."""
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


def check_types(config: Any) -> None:
    """Refuses a dataclass whose fields hold other types than their annotations say.

    JSON has whatever was written into it: `1e3` for a count, a number for a name.

    Raises:
        ValueError: it names the first such field.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        if not _is_of(value, hint):
            told = getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint)
            raise ValueError(f"{field.name} must be {told}. Received: {value!r}")


def check_seed(seed: int) -> None:
    """Raises ValueError if no random generator takes it."""
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seed must be from 0 to {SEEDS - 1}. Received: {seed}")


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotation: a class, a union or a tuple of such."""
    parts = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_is_of(value, part) for part in parts)
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        each = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(value) == len(each) and all(map(_is_of, value, each))
    if isinstance(value, bool):
        return hint is bool
    kinds: dict[Any, Any] = {int: Integral, float: Real, str: (str, os.PathLike)}
    return isinstance(value, kinds.get(hint, hint))
