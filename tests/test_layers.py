"""Which room may import which: each only those in rows above its own."""

import ast
from pathlib import Path

import pytest

import pixelkin

LAYERS = [
    {"errors", "caution"},
    {"types", "config", "processes", "files", "parquet", "bounds"},
    {"isolation"},
    {"images", "tiles", "metrics", "models", "modelfile", "archives"},
    {"provenance", "judgement"},
    {"degrade", "model", "data"},
    {"protocol"},
    {"benchmarks", "scoring", "explain"},
    {"evaluate", "report"},
    {"rows", "robustness", "audit", "compare", "scan"},
    {"measure"},
    {"tables"},
    {"lab"},
    {"show", "service"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
ROOT = Path(pixelkin.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ONLY_IN = {
    "torch": "lab",
    "lightning_fabric": "lab",
    "safetensors": "lab",
    "typer": "cli show",
    "rich": "show",
    "sklearn": "audit lab",
    "pyarrow": "parquet",
    "ray": "scan",
    "fsspec": "scan",
    "c2pa": "provenance",
    "fastapi": "service",
    "starlette": "service",
    "uvicorn": "service",
    "pydantic": "service",
    "prometheus_client": "service",
}


def room_of(file):
    return file.relative_to(ROOT).with_suffix("").parts[0]


def imports(tree, *, inside_functions=True):
    """Modules imported at run time, as dotted names; what only type checkers see is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node, inside_functions=inside_functions)


def rooms_imported(file, **how):
    for name in imports(ast.parse(file.read_text()), **how):
        parts = name.split(".")
        if parts[0] == "pixelkin" and parts[1:2] and parts[1] in RANK:
            yield parts[1]


def test_every_room_has_a_layer():
    assert {room_of(file) for file in FILES} - {"__init__"} == set(RANK)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_downwards(file):
    room = room_of(file)
    if room == "__init__":
        assert list(rooms_imported(file, inside_functions=False)) == []
        return
    wrong = [other for other in rooms_imported(file) if other != room and RANK[other] >= RANK[room]]
    assert wrong == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_laboratory_is_imported_by_itself_and_inside_commands_only(file):
    if room_of(file) != "lab":
        assert "lab" not in rooms_imported(file, inside_functions=False)
    if room_of(file) not in {"lab", "cli"}:
        assert "lab" not in rooms_imported(file)


@pytest.mark.parametrize(("package", "rooms"), ONLY_IN.items())
def test_a_heavy_package_stays_in_its_room(package, rooms):
    users = {
        room_of(file)
        for file in FILES
        if package in {n.split(".")[0] for n in imports(ast.parse(file.read_text()))}
    }
    assert users
    assert users <= set(rooms.split())


def test_detectors_never_import_one_another():
    folder = ROOT / "lab" / "detectors"
    systems = {file.stem for file in folder.glob("*.py")} - {"__init__", "base"}
    for name in systems:
        found = imports(ast.parse((folder / f"{name}.py").read_text()))
        assert not [
            other
            for other in found
            if other.startswith("pixelkin.lab.detectors.") and other.split(".")[3] in systems
        ]
