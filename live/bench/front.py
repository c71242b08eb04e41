"""The stages of topography by themselves: drawing the front's surface, and its curvature vertex by vertex."""

import numpy as np
import pyvista
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from redoxscope.analysis.topography.curvature import LEVELS, ladder_of, windowed_curvature
from redoxscope.analysis.topography.noise import estimate_noise
from redoxscope.analysis.topography.smooth_field import continue_field, smooth_field
from redoxscope.analysis.topography.surface import Surface, isosurface, vertex_areas
from redoxscope.analysis.topography.window_choice import SOME, ChosenCurvature, choose_curvature
from redoxscope.live.bench.inputs import EDGE, Sizes, shells
from redoxscope.live.bench.measure import Peer, Stage

Floats = NDArray[np.floating]

_NOISE = 0.2
"""eV per voxel, on fronts with a slope of 0.4 eV per voxel: half a voxel, before smoothing."""
_WINDOW = 2.25
"""Voxels; of the surface that all are given."""


def front_stages(sizes: Sizes) -> list[Stage]:
    """The surface of a noisy volume, smoothed, and the curvature at its vertices."""
    volume, centre = shells(sizes.volume)
    volume += _NOISE * np.random.default_rng(7).standard_normal(volume.shape)
    whole = continue_field(volume)
    smooth = smooth_field(whole, _WINDOW)
    level = EDGE.nominal - smooth.offset
    surface = isosurface(smooth.values, level)
    vertices = len(surface.vertices) / 1e3

    def by_skimage() -> Surface:
        points, faces, _, _ = marching_cubes(smooth.values, level, gradient_direction="ascent")
        return Surface(points.astype(np.float64), faces.astype(np.intp))

    def apart(ours: Surface, theirs: Surface) -> float:
        ours_area, theirs_area = (vertex_areas(s.vertices, s.faces).sum() for s in (ours, theirs))
        return float(abs(ours_area / theirs_area - 1))

    drawing = Stage(
        f"isosurface, {sizes.volume}³", "kvertex", vertices, smooth.values.nbytes + 1e3 * vertices * 48,
        lambda: isosurface(smooth.values, level),
        (Peer("scikit-image marching cubes", by_skimage, vertices, apart, 0.01),), "area, relative",
    )  # fmt: skip
    noise = estimate_noise(whole.values, whole.depth)
    points = surface.vertices - whole.origin.astype(np.float64)
    depth = whole.depth[tuple(np.rint(points).astype(np.intp).T)]
    radius = np.linalg.norm(surface.vertices - centre, axis=1)
    # The spheres that are whole, and not so small that no window resolves them.
    counted = (radius > 10) & (radius < sizes.volume / 2 - 4)
    mesh = pyvista.PolyData.from_regular_faces(surface.vertices[:, ::-1], surface.faces[:, ::-1].astype(int))

    def error(mean: Floats) -> float:
        return float(np.median(np.abs(np.abs(mean[counted]) * radius[counted] - 1)))

    def by_field() -> ChosenCurvature:
        ladder = ladder_of(whole.values)
        some = windowed_curvature(ladder, points[SOME])
        return choose_curvature(ladder, points, some, noise, np.ones(len(points)), depth)

    def by_vtk() -> Floats:
        return np.asarray(mesh.curvature("mean"))

    def ten_times(ours: ChosenCurvature, theirs: Floats) -> float:
        return 10 * error(ours.mean) / error(theirs)

    curvature = Stage(
        f"curvature at the vertices, {sizes.volume}³", "kvertex", vertices,
        LEVELS * (0.5 * whole.values.nbytes + 1e3 * vertices * 52), by_field,
        (Peer("VTK curvature (PyVista), smoothed", by_vtk, vertices, ten_times, 1.0),),
        "10 × our error over theirs, medians",
    )  # fmt: skip
    return [drawing, curvature]
