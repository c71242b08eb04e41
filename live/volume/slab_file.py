"""A slab of a volume as a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from redoxscope.analysis.volume.evaluate import EdgeSlab
from redoxscope.live.atomic import need_room, replacing
from redoxscope.live.nexus import new_file

VOLUMES = ("edge_energy", "sigma", "jump")


def write_slab(path: Path, edges: Sequence[Sequence[EdgeSlab]]) -> None:
    """The rows of a slab, for each edge; raises OSError if the disk is full."""
    need_room(path, sum(part.edge_energy.nbytes * len(VOLUMES) for parts in edges for part in parts))
    with replacing(path) as temporary, new_file(temporary) as file:
        for number, parts in enumerate(edges):
            group = file.create_group(str(number))
            for name in VOLUMES:
                group[name] = np.concatenate([getattr(part, name) for part in parts])
            group["unfolded"] = np.concatenate([np.full(len(part.edge_energy), part.strange) for part in parts])
