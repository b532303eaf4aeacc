"""`@kernel`: compiled functions over records, cached for every process of the machine.

Numba's own cache notices an edit in the file of a function, but not in the files of the functions it calls. The
cache folder is therefore named by a digest of all sources that hold kernels. With NUMBA_DISABLE_JIT=1 the same
functions run as plain Python over `as_rows` views.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core import config
from numba.core import types as numba_types
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

types: Any = numba_types  # whose annotations leave most of it out
COMPILED = not config.DISABLE_JIT
_FOLDERS_WITH_KERNELS = ("core", "env", "data", "evaluate", "policy", "train")


@cache
def sources_digest() -> str:
    """Hash of every source file that may hold a kernel, and of the compiler's version."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in _FOLDERS_WITH_KERNELS:
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(str(path.relative_to(package)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


@cache
def cache_folder() -> Path:
    """Where compiled kernels live: NUMBA_CACHE_DIR if set, else the user's cache, else the temporary folder."""
    homes = [Path(config.CACHE_DIR)] if config.CACHE_DIR else []
    homes += [Path.home() / ".cache" / "kalshi_ray", Path(tempfile.gettempdir()) / f"kalshi_ray-{os.getuid()}"]
    for home in homes:
        folder = home / "kernels" / sources_digest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    tried = ", ".join(map(str, homes))
    raise OSError(f"no folder for compiled kernels is writable: tried {tried}; set NUMBA_CACHE_DIR")


def _compile_alike(template: Callable[..., Any], arguments: Any, named: Any) -> Any:
    """Compile a callee once for int64, not once more for every constant and every width that callers pass."""
    return template([_widened(kind) for kind in arguments], {name: _widened(kind) for name, kind in named.items()})


def _widened(kind: Any) -> Any:
    plain = types.unliteral(kind)
    return types.int64 if isinstance(plain, types.Integer) and plain.bitwidth < 64 else plain


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` on first call: no Python objects, no GIL, no bounds checks, IEEE arithmetic.

    Kernels write into arrays they are given and make none, so that numba need not count references (`_nrt`): a fifth
    of the time of an environment step otherwise.
    """
    chosen = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder())
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
    finally:
        config.CACHE_DIR = chosen
    if COMPILED:
        compiled.get_call_template = partial(_compile_alike, compiled.get_call_template)
    return cast("Callable[P, R]", compiled)


class FieldsFirst(np.record):  # type: ignore[misc]  # final in numpy's stubs, not in numpy
    """A record whose fields win over the attributes of numpy's scalars (`size`, `flags`), as they do when compiled."""

    def __getattribute__(self, name: str) -> Any:
        field = (np.record.__getattribute__(self, "dtype").fields or {}).get(name)
        if field is None:
            return np.record.__getattribute__(self, name)
        value = np.record.__getattribute__(self, "getfield")(*field[:2])
        return value.view(_fields_first(value.dtype)) if value.dtype.names else value


def _fields_first(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype((FieldsFirst, dtype))


def as_rows(array: NDArray[Any]) -> NDArray[Any]:
    """The array as kernels want it: plain when compiled, with named fields as attributes when not."""
    return array if COMPILED or array.dtype.names is None else array.view(_fields_first(array.dtype))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array, locked: numba compiles locked and open arrays apart, and those of the object store are locked."""
    array.setflags(write=False)
    return array
