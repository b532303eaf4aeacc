"""A view pack in Ray's object store: put once, read by every process of a node without a copy."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import ray

from kalshi_ray.core.tape import ViewPack


def put_pack(pack: ViewPack) -> ray.ObjectRef[ViewPack]:
    """Copy the pack into the object store, once; give the reference to as many actors as there are."""
    return ray.put(pack)


def get_pack(reference: ray.ObjectRef[ViewPack]) -> ViewPack:
    """The pack behind a reference. Its arrays lie in shared memory and are read-only, as they were from birth."""
    pack: ViewPack = ray.get(reference)
    for field in fields(pack):
        array = getattr(pack, field.name)
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    return pack
