"""The stages of the 3D analysis: tomography and topography."""

from collections.abc import Iterator

import numpy as np
import pyvista
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import iradon

from redoxscope.analysis.tomography.reconstruction import Plan
from redoxscope.analysis.topography.report import Topography, topography
from redoxscope.analysis.topography.surface import isosurface
from redoxscope.live.bench.inputs import EDGE, Sizes, shells, sinograms
from redoxscope.live.bench.measure import Peer, Stage
from redoxscope.live.bench.peers import imported

Floats = NDArray[np.floating]


def tomography_stages(sizes: Sizes) -> Iterator[Stage]:
    """Filtered backprojection of several slices with a plan made before, one thread, at two sizes."""
    yield _tomography_stage(sizes.slice, sizes.angles, sizes.slices)
    yield _tomography_stage(sizes.wide_slice, sizes.wide_angles, sizes.slices)


def _tomography_stage(width: int, count: int, slices: int) -> Stage:
    angles = np.arange(count) * 180 / count
    projections, truth = sinograms(angles, slices, width)
    axis = np.arange(width) - (width - 1) / 2
    circle = np.hypot(axis[:, None], axis) < 0.45 * width
    plan, by_finufft = (Plan(angles, width, backend=backend) for backend in ("gridding", "finufft"))

    def apart(a: Floats, b: Floats) -> float:
        return float(np.sqrt(np.mean((a - b)[:, circle] ** 2)) / truth[:, circle].std())

    def difference(ours: Floats, theirs: Floats) -> float:
        """The larger of ours from theirs and ours from the truth."""
        return max(apart(ours[: len(theirs)], theirs), apart(ours, truth))

    def from_exact(ours: Floats, theirs: Floats) -> float:
        """Ours from the transform at full accuracy, of which theirs is to be no further."""
        exact = Plan(angles, width, backend="finufft", accuracy=1e-6).reconstruct(projections[:, :2])
        return max(apart(part[:2], exact) for part in (ours, theirs))

    def by_skimage() -> Floats:
        # Its y axis points up; for an even width its centre is half a pixel from ours: the sinogram is moved there.
        theta = np.deg2rad(angles)
        half = 0.5 * (np.cos(theta) + np.sin(theta) - 1) if width % 2 == 0 else 0 * theta
        columns = np.arange(width)
        moved = [np.interp(columns + s, columns, row) for s, row in zip(half, projections[:, 0], strict=True)]
        return np.asarray(iradon(np.array(moved).T, theta=-angles, filter_name="ramp"))[None]

    peers = [
        Peer("finufft", lambda: by_finufft.reconstruct(projections), slices, from_exact, 5e-4),
        Peer("scikit-image iradon", by_skimage, 1, difference, 0.03),
    ]
    algotom = imported("algotom.rec.reconstruction")
    if algotom is not None:

        def by_algotom() -> Floats:
            centre = (width - 1) / 2
            out = algotom.fbp_reconstruction(
                projections[:, 0], centre, angles=-np.deg2rad(angles), filter_name=None, apply_log=False, gpu=False
            )
            return np.asarray(out)[None]

        peers.append(Peer("algotom FBP", by_algotom, 1, difference, 0.03))
    name = f"tomography, {width}² × {count} angles"
    touched = projections.nbytes + truth.nbytes
    run = lambda: plan.reconstruct(projections)  # noqa: E731
    return Stage(name, "slice", slices, touched, run, tuple(peers), "density over its spread, rms")


def topography_stage(sizes: Sizes) -> Stage:
    """The front at one edge energy with its curvature."""
    volume, centre = shells(sizes.volume)

    def run() -> Topography:
        return topography(volume, [EDGE.nominal])

    def by_vtk() -> tuple[Floats, Floats]:
        grid = pyvista.ImageData(dimensions=volume.shape)
        grid.point_data["energy"] = gaussian_filter(volume, 1.5).ravel(order="F")
        mesh = grid.contour([EDGE.nominal], scalars="energy", method="flying_edges")
        return np.asarray(mesh.points), np.asarray(mesh.curvature("mean"))

    def scaled(points: Floats, mean: Floats) -> float:
        """Median of curvature times radius, on the spheres that are whole: 1 if it is right."""
        r = np.linalg.norm(points - centre, axis=1)
        whole = (r > 10) & (r < sizes.volume / 2 - 4)
        return float(np.median(np.abs(mean[whole]) * r[whole]))

    def difference(ours: Topography, theirs: tuple[Floats, Floats]) -> float:
        """Ours may be 1 % from the truth; theirs is given its tolerance."""
        front = ours.surfaces[0]
        found = scaled(front.vertices, front.mean_curvature)
        return max(10 * abs(found - 1), abs(found - scaled(*theirs)))

    vertices = len(isosurface(volume, EDGE.nominal).vertices) / 1e3
    peer = Peer("VTK curvature (PyVista), smoothed", by_vtk, vertices, difference, 0.1)
    touched = 2 * volume.nbytes + 1e3 * vertices * 8 * 12
    name = f"isosurface and curvature, {sizes.volume}³"
    return Stage(name, "kvertex", vertices, touched, run, (peer,), "mean curvature over the truth, medians")
