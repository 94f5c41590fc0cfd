"""The architecture: who may import whom, and what an import may cost."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "colorizer"

LAYERS = [
    {"annotations", "containers"},
    {"color", "frequencies", "normalization", "options", "photos", "runs", "sources"},
    {"aging", "albums", "fields", "hints", "masks", "metrics", "report"},
    {"data", "outliers", "regions"},
    {"conditions", "earlier", "extractors"},
    {"networks", "losses"},
    {"weights", "embeddings", "settings"},
    {"recognition", "tasks"},
    {"range_test"},
    {"pretraining", "training", "classical"},
    {"predict", "recipe"},
    {"benchmark"},
    {"evaluate", "steering", "samples"},
    {"cli", "app"},
]
LAYER = {module: number for number, modules in enumerate(LAYERS) for module in modules}
TENSORFLOW_MODULES = {"data", "sources"}
ELSEWHERE = {"normalization": "call", "tasks": "resolve_precision", "cli": "_start_backend"}
HEAVY = {"tensorflow", "keras", "matplotlib", "gradio"}
IMPORT_SECONDS = 0.3

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def tree_of(module):
    return ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))


def imports_of(tree):
    """Every (imported name, function it is inside of or None), absolute."""
    found = []

    def visit(node, function):
        if isinstance(node, ast.Import):
            found.extend((alias.name, function) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(filter(None, ["colorizer" if node.level else "", node.module]))
            found.extend((f"{origin}.{alias.name}", function) for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(tree, None)
    return found


def siblings_of(tree):
    """The package's own modules that a module imports, wherever in it."""
    parts = (name.split(".") for name, _ in imports_of(tree))
    return {p[1] for p in parts if p[0] == "colorizer" and len(p) > 1 and not p[1].startswith("__")}


@pytest.mark.parametrize(
    ("source", "siblings"),
    [
        ("from colorizer import color, masks", {"color", "masks"}),
        ("from colorizer.data import DataConfig as D", {"data"}),
        ("def f():\n    import colorizer.predict as p", {"predict"}),
        ("from . import photos\nfrom .color import ab", {"photos", "color"}),
        ("from colorizer import __version__\nimport colorizerx.y, numpy", set()),
    ],
)
def test_imports_are_found(source, siblings):
    assert siblings_of(ast.parse(source)) == siblings


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__init__"])
def test_a_module_imports_only_from_lower_layers(module):
    assert module in LAYER, f"{module}.py has no layer: put it in the table"
    wrong = {s for s in siblings_of(tree_of(module)) if LAYER.get(s, 99) >= LAYER[module]}
    assert not wrong, f"{module} (layer {LAYER[module]}) imports {wrong} of its own layer or above"


def test_the_package_itself_imports_none_of_its_modules():
    assert siblings_of(tree_of("__init__")) == set()


@pytest.mark.parametrize("module", MODULES)
def test_tensorflow_is_imported_only_where_it_is_needed(module):
    places = {
        function
        for name, function in imports_of(tree_of(module))
        if name.split(".")[0].startswith("tensorflow")
    }
    if module in ELSEWHERE:
        assert places <= {ELSEWHERE[module]}
    elif module not in TENSORFLOW_MODULES:
        assert not places
    assert None not in places, "tensorflow is imported inside of the function that needs it"


def child_seconds():
    resource = pytest.importorskip("resource")  # which Windows has not
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("module", ["colorizer", "colorizer.cli"])
def test_import_is_light(module):
    if module == "colorizer.cli" and "cli" not in MODULES:
        pytest.skip("colorizer/cli.py is not written yet")
    code = f"import {module}, sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    seconds = []
    for _ in range(3):
        # Processor time, not the clock: other work on the machine must not fail this.
        before = child_seconds()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        child = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(child_seconds() - before)
        assert child.stdout.split() == []
    assert min(seconds) < IMPORT_SECONDS
