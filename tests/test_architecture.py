"""Imports go one way, libraries stay in their places, and modules stay small: the rules as data."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kalshi_ray"

# Layers from the bottom. A part imports parts of lower layers and of its own group; the groups of one layer are
# siblings which never import each other.
LAYERS: list[list[set[str]]] = [
    [{"errors", "telemetry", "config"}],
    [{"core"}],
    [{"wire"}],
    [{"exchange"}, {"data"}, {"policy"}],
    [{"collect"}, {"env"}, {"registry"}],
    [{"evaluate"}],
    [{"train"}, {"trade"}],
    [{"serve"}],
    [{"ops"}],
    [{"cli"}],
]
NEVER_IMPORTED = {"jobs", "tests", "bench"}

# Where a library may be imported: dotted prefixes inside the package.
PLACES: dict[str, set[str]] = {
    "torch": {"policy", "train"},
    "pyarrow": {"data", "collect", "registry"},
    "ray.rllib": {"train", "policy.network"},
    "ray": {
        "cli", "ops", "policy.network", "data.view_store", "data.catalog", "evaluate.run", "train", "collect.collector",
        "trade.actor", "serve", "exchange.client", "exchange.sim_server",
    },
    "asyncio": {
        "exchange.client", "exchange.sim_server", "data.catalog", "collect.collector", "trade.actor", "serve", "ops",
    },
    "asyncpg": {"data.catalog"},
    "prometheus_client": {"collect.collector"},
    "httpx": {"exchange.client"},
    "websockets": {"exchange.client", "exchange.sim_server"},
    "cryptography": {"exchange"},
    "gymnasium": {"env", "policy.network", "train", "cli"},
    "typer": {"cli"},
    "rich": {"cli"},
    "plotly": {"data.analysis", "evaluate", "train"},
    "stable_baselines3": {"env.checks"},
}  # fmt: skip

# What may not be imported in a part: it takes time, chance, files and settings as arguments.
FORBIDDEN: dict[str, set[str]] = {
    "core": {"time", "datetime", "random", "secrets", "logging", "socket", "threading", "asyncio", "msgspec"},
    "wire": {"time", "random", "secrets", "logging", "socket", "threading", "asyncio", "pathlib", "io", "os"},
    "env": {"time", "random", "secrets", "logging", "socket", "threading", "asyncio"},
    "policy": {"time", "random", "secrets", "logging", "socket", "asyncio"},
}
CORE_LIBRARIES = {"numpy", "numba", "kalshi_ray"}
# core/jit.py keeps the compiler's cache: the one place in core that knows of folders.
FILES_IN_CORE = {"core/jit.py"}

# The environment of the process is read here alone. KALSHI_RAY_RECORDED belongs to the tests.
READS_ENVIRONMENT = {"config.py"}

MODULE_LINES = 400
FUNCTION_LINES = 50
KERNEL_LINES = 80
# Words that say nothing about what a thing is. ("data" names the layer of recorded data, and its errors.)
AVOIDED = {"manager", "helper", "helpers", "utils", "util", "processor", "info", "tmp", "new", "old", "final", "smart"}

MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Everything a module imports, at its top or inside a function, with the line; `from a import b` counts as a.b."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def part_of(dotted: str) -> str:
    """`kalshi_ray.core.book` belongs to part `core`."""
    return (dotted.split(".") + [""])[1]


def place_of(path: Path) -> str:
    """The dotted name of a module inside the package: `policy.network`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def within(place: str, prefixes: set[str]) -> bool:
    return any(place == prefix or place.startswith(prefix + ".") for prefix in prefixes)


def layer_of(part: str) -> tuple[int, set[str]]:
    for depth, groups in enumerate(LAYERS):
        for group in groups:
            if part in group:
                return depth, group
    raise AssertionError(f"part {part!r} has no layer: add it to LAYERS")


def test_imports_go_one_way() -> None:
    found = []
    for path in MODULES:
        place = place_of(path)
        if place == "__init__":
            continue
        own = place.split(".")[0]
        depth, group = layer_of(own)
        for dotted, line in imports(path):
            root = dotted.split(".")[0]
            if root in NEVER_IMPORTED:
                found.append(f"{place}:{line} imports {dotted}")
            if root != "kalshi_ray" or part_of(dotted) in (own, "", "__version__"):
                continue
            theirs, their_group = layer_of(part_of(dotted))
            if theirs >= depth and their_group != group:
                found.append(f"{place}:{line} imports {dotted}, which is not below it")
    assert not found, "\n".join(found)


def test_libraries_stay_in_their_places() -> None:
    found = [
        f"{place_of(path)}:{line} imports {dotted}; it belongs in {sorted(places)}"
        for path in MODULES
        for dotted, line in imports(path)
        for library, places in PLACES.items()
        if (dotted == library or dotted.startswith(library + ".")) and not within(place_of(path), places)
    ]
    assert not found, "\n".join(found)


def test_a_part_does_not_import_what_it_must_be_given() -> None:
    found = [
        f"{place_of(path)}:{line} imports {dotted}"
        for path in MODULES
        for dotted, line in imports(path)
        if dotted.split(".")[0] in FORBIDDEN.get(place_of(path).split(".")[0], set())
    ]
    assert not found, "\n".join(found)


def test_core_imports_numpy_and_numba_only() -> None:
    folders = {"os", "pathlib", "tempfile", "io", "shutil"}
    found = []
    for path in (PACKAGE / "core").glob("*.py"):
        for dotted, line in imports(path):
            root = dotted.split(".")[0]
            foreign = root not in CORE_LIBRARIES and root not in sys.stdlib_module_names
            if foreign or (root in folders and str(path.relative_to(PACKAGE)) not in FILES_IN_CORE):
                found.append(f"{path.name}:{line} imports {dotted}")
    assert not found, "\n".join(found)


def test_the_environment_is_read_by_config_alone() -> None:
    found = []
    for path in MODULES:
        if str(path.relative_to(PACKAGE)) in READS_ENVIRONMENT:
            continue
        for node in ast.walk(tree_of(path)):
            named = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            if named and isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                found.append(f"{place_of(path)}:{node.lineno} reads os.{node.attr}; pass it in as a setting")
    assert not found, "\n".join(found)


def test_modules_stay_small() -> None:
    lengths = {place_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    found = {place: lines for place, lines in lengths.items() if lines > MODULE_LINES}
    assert not found, f"at most {MODULE_LINES} lines: {found}"


def test_functions_stay_short() -> None:
    found = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            # A record's layout is a table with one line for each field.
            table = node.name.endswith("_dtype") or any("kernel" in ast.unparse(d) for d in node.decorator_list)
            limit = KERNEL_LINES if table else FUNCTION_LINES
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > limit:
                found.append(f"{place_of(path)}:{node.lineno} {node.name} has {length} lines; at most {limit}")
    assert not found, "\n".join(found)


def test_every_module_says_in_one_line_what_it_holds() -> None:
    bare = [place_of(p) for p in MODULES if p.read_text(encoding="utf-8").strip() and not ast.get_docstring(tree_of(p))]
    assert not bare


def test_names_avoid_words_that_say_nothing() -> None:
    found = []
    for path in MODULES:
        if {*path.stem.lower().split("_"), *path.parent.name.lower().split("_")} & AVOIDED:
            found.append(f"module {place_of(path)}")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                # `new_batch` makes a new one: a verb there, as `make` and `read` are.
                spelt = "".join(f"_{c.lower()}" if c.isupper() else c for c in node.name.removeprefix("new_"))
                if {*spelt.split("_")} & AVOIDED:
                    found.append(f"{place_of(path)}:{node.lineno} {node.name}")
    assert not found, "\n".join(found)


def test_nothing_is_imported_in_a_circle() -> None:
    """At the top of modules; an import inside a function may look back."""
    graph: dict[str, set[str]] = {}
    known = {f"kalshi_ray.{place_of(p)}" for p in MODULES}
    for path in MODULES:
        needs: set[str] = set()
        for node in tree_of(path).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("kalshi_ray"):
                needs |= {f"{node.module}.{a.name}" for a in node.names} & known or {node.module} & known
            elif isinstance(node, ast.Import):
                needs |= {a.name for a in node.names} & known
        graph[f"kalshi_ray.{place_of(path)}"] = needs
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for needed in sorted(graph[module]):
                visit(needed, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())
