"""Settings of other types than they are declared to be are named."""

import dataclasses

import pytest

from colorizer.annotations import check_types
from colorizer.settings import TrainConfig


@dataclasses.dataclass
class Settings:
    count: int = 1
    rate: float | str = 0.5
    name: str | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    flag: bool = False


@pytest.mark.parametrize(
    "values",
    [{}, {"rate": 1}, {"rate": "auto"}, {"name": "a"}, {"pairs": ((1, 2), (3, 4)), "flag": True}],
)
def test_types_as_annotated_pass(values) -> None:
    check_types(Settings(**values))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"count": 1e3}, "count must be int. Received: 1000.0"),
        ({"count": True}, "count must be int. Received: True"),
        ({"rate": None}, r"rate must be float \| str. Received: None"),
        ({"rate": True}, "rate must be"),
        ({"name": 5}, r"name must be str \| None. Received: 5"),
        ({"pairs": ((1, 2, 3),)}, "pairs must be"),
        ({"pairs": [(1, 2)]}, "pairs must be"),
        ({"flag": 1}, "flag must be bool. Received: 1"),
    ],
)
def test_other_types_are_named(values, told) -> None:
    with pytest.raises(ValueError, match=told):
        check_types(Settings(**values))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1], "training must be an object of settings. Received: \\[1\\]"),
        ({"network": "unet"}, "network must be an object of settings. Received: 'unet'"),
        ({"data": "abc"}, "data must be an object of settings. Received: 'abc'"),
        ({"data": {"sources": 3}}, "sources must be .*Received: 3"),
        ({"network": {"encoder": [[3]]}}, "encoder must be .*Received: \\(\\(3,\\),\\)"),
        ({"network": {"decoder": 5}}, "decoder must be .*Received: 5"),
        ({"mask_patterns": 5}, "mask_patterns must be .*Received: 5"),
        ({"seed": -1}, "seed must be from 0 to 4294967295. Received: -1"),
        ({"data": {"seed": 2**32}}, "seed must be from 0 to 4294967295. Received: 4294967296"),
    ],
)
def test_json_of_another_shape_is_named(values, told) -> None:
    with pytest.raises(ValueError, match=told):
        TrainConfig.from_dict(values)
