"""The notebooks run from top to bottom."""

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 3
    scope: dict[str, object] = {"__name__": "__main__"}
    try:
        for cell in code:
            exec(compile(cell.replace("plt.show()", ""), path.name, "exec"), scope)
        assert pyplot.get_fignums()
    finally:
        pyplot.close("all")
