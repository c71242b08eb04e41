"""Compile what a 3D analysis needs before there is one: `python -m redoxscope.live.volume.warm`.

The compiled functions are kept on disk by numba; on a machine where they are not, this takes half a minute that the
first tomogram of the night need not wait for.
"""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import redoxscope.analysis


def start_warming() -> "subprocess.Popen[bytes] | None":
    """Begin in a process of its own, with low priority; None if it has been done before."""
    if any(Path(redoxscope.analysis.__file__).parent.glob("alignment/__pycache__/*.nbi")):
        return None
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "redoxscope.live.volume.warm"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | one,
        start_new_session=True,
    )


def warm() -> None:
    """A ball of two phases, a few voxels wide, through the whole analysis.

    It absorbs below the edge as well: what cannot be seen there cannot be aligned, and has no front.
    """
    from redoxscope.analysis.alignment.drift import DriftTracker
    from redoxscope.analysis.tomography.cross_sections import slices
    from redoxscope.analysis.topography.report import topography
    from redoxscope.analysis.volume.evaluate import edge_volume
    from redoxscope.analysis.xanes import Edge

    energies = np.concatenate([[8200, 8250, 8300], np.arange(8334.0, 8350), [8390, 8420, 8450]])
    angles = np.arange(0, 180, 6.0)
    z, u = np.mgrid[-15.5:16, -23.5:24]
    outer, core = (2 * np.sqrt(np.maximum(r**2 - z**2 - u**2, 0)) for r in (14, 8))
    noise = np.random.default_rng(0).normal(0, 1e-3, (energies.size, angles.size, *z.shape))
    step = [0.5 + 1 / (1 + np.exp(-(energies - at) / 0.8)) for at in (8341.5, 8339.5)]
    parts = step[0][:, None, None] * (outer - core) + step[1][:, None, None] * core
    projections = (0.02 * parts[:, None] + noise).astype(np.float32)
    volume = edge_volume(list(projections), energies, angles, Edge())
    slices(projections[0], angles, filter_name="hann")
    DriftTracker(angles).place(projections[0])
    topography(volume.edge_energy, [8340.0, 8340.5], 0.05, sigma=volume.sigma)


if __name__ == "__main__":
    os.nice(10)
    # What compiling allocates stays: to look through it again and again for garbage is a seventh of the time.
    gc.set_threshold(100_000)
    warm()
