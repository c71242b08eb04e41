"""The front's surfaces at several edge energies, with the curvature at each vertex and its standard error."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from redoxscope.analysis.topography.curvature import (
    BASE,
    FLAT_TOPS,
    LEVELS,
    WINDOWS,
    curvature_at,
    ladder_of,
    principal_curvatures,
    windowed_curvature,
)
from redoxscope.analysis.topography.ends import ended, up_to_border
from redoxscope.analysis.topography.noise import Noise, estimate_noise
from redoxscope.analysis.topography.scale_space import Level, sample, scale_space, smoothed
from redoxscope.analysis.topography.smooth_field import (
    APART,
    ContinuedField,
    SmoothField,
    continue_field,
    flat_top_weights,
    recontinued,
    smooth_field,
    smooth_field_on,
)
from redoxscope.analysis.topography.specks import without_specks
from redoxscope.analysis.topography.surface import isosurface, vertex_areas
from redoxscope.analysis.topography.window_choice import SOME, choose_curvature, window_for_histograms

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Image = NDArray[np.float32]
Indices = NDArray[np.intp]

BORDER = 2.0
"""Voxels; a vertex closer than this to missing voxels is flagged: its curvature rests on an extrapolation."""
_SURFACE_WINDOWS = WINDOWS[:4]
_NARROWER = (1.0, 1.26)
"""Voxels; windows too narrow for curvatures. At a border or a crack, where half of what a window sees is continued,
even 1.6 voxels leave the surface half a voxel off if it bends within two."""
_DISPLACEMENT = 0.06
"""Voxels; noise may move the surface by this much, if the widest window allows."""
_LARGE = 4 * np.pi * float(_SURFACE_WINDOWS[-1]) ** 2
"""Voxel²; smaller pieces may be noise, see `specks`."""
_SLOPES = 5000
"""Places at each level at which slopes and changes are looked up."""
_CALM = 1.4
"""Times the window of the surfaces, about that of the histograms: how wide the continuation is that both find beyond
the border. One that follows its noise makes and unmakes holes there."""
_EVEN = 2.0
"""Voxels over which a map of the noise is smoothed: what is estimated voxel by voxel is noisy itself."""


@dataclass(frozen=True)
class FrontSurface:
    """The front at one edge energy; the arrays are empty if there is none."""

    iso_energy: float
    vertices: Doubles
    """(n, 3) in (z, y, x), µm from the centre of voxel (0, 0, 0)."""
    faces: Indices
    """(m, 3) vertex numbers."""
    mean_curvature: Doubles
    """(n,) 1/µm, positive where the new phase is convex; by the window that suits the vertex."""
    gaussian_curvature: Doubles
    """(n,) 1/µm², by the same window."""
    vertex_area: Doubles
    """(n,) µm², a third of the triangles around it."""
    near_border: NDArray[np.bool_]
    """(n,) within two voxels of missing data, where curvature is extrapolated."""
    kappa1: Doubles
    """(n,) 1/µm, the larger principal curvature."""
    kappa2: Doubles
    """(n,) 1/µm, the smaller principal curvature."""
    mean_curvature_sigma: Doubles
    """(n,) 1/µm, standard error of the mean curvature: noise, and what smoothing has taken of a sharp bend."""
    window: Doubles
    """(n,) µm, σ of the window that suits the vertex."""
    mean_curvature_fixed: Doubles
    """(n,) 1/µm, by one window for all vertices of all energies: for histograms, which a choice would distort; the
    field beyond the border is the quieter one of `smooth_field.recontinued`, as it is for the surfaces."""
    gaussian_curvature_fixed: Doubles
    """(n,) 1/µm², by the same window."""


@dataclass(frozen=True)
class Fronts:
    """Surfaces, and what they were made with."""

    surfaces: tuple[FrontSurface, ...]
    smooth: SmoothField | None
    """The field whose level sets they are; None if it has no known voxel, or there is no level."""
    noise: Noise
    """Of the field."""
    surface_window: float
    """σ of the window whose surfaces are drawn, µm; NaN if the field has no known voxel, or there is no level."""
    fixed_window: float
    """σ of the window of the `_fixed` curvatures, µm; NaN if there is no surface."""


def front_surfaces(
    field: Floats, levels: Floats, voxel_size: float, sigma: Floats | None = None, window: float | None = None
) -> Fronts:
    """Surfaces field = level of a smoothed field, with curvature by DESIGN §5.

    Parameters
    ----------
    field : (z, y, x) eV on cubic voxels, NaN where missing
    levels : (iso,) eV
    voxel_size : µm
    sigma : (z, y, x) how noisy each voxel is compared to the others; in any unit, not positive where not known
    window : σ of the flat-top window whose surfaces are drawn, voxels; by default found from the noise
    """
    if not len(levels) or not np.isfinite(field).any():
        nothing = tuple(_without_vertices(float(level)) for level in levels)
        return Fronts(nothing, None, Noise(0.0, 0.0, 0.0), np.nan, np.nan)
    whole = continue_field(field)
    relative = None if sigma is None else _relative(whole, sigma)
    noise = estimate_noise(whole.values, whole.depth, relative)
    ladder = ladder_of(whole.values)
    if window is None:
        window = _surface_window(whole, ladder, levels, noise)
    calm = recontinued(whole, _CALM * window)
    quiet = scale_space(calm.values, LEVELS)
    smooth = _smooth(calm, quiet, window)
    left = noise.of_value(smooth.window / APART, smooth.window * APART)
    drawn = up_to_border(smooth)
    surfaces = [
        without_specks(
            ended(isosurface(drawn, e - smooth.offset, min_area=0.0), whole),
            smooth.values,
            field,
            e,
            smooth.offset,
            left,
            _LARGE,
        )
        for e in levels
    ]
    del drawn
    points = np.concatenate([s.vertices for s in surfaces]) - whole.origin.astype(np.float64)
    depth = _at_nearest(whole.depth, points)
    scale = np.ones(len(points)) if relative is None else _at_nearest(relative, points)
    ends = np.cumsum([0] + [len(s.vertices) for s in surfaces])
    areas = [vertex_areas(s.vertices, s.faces) for s in surfaces]
    some = windowed_curvature(ladder, points[SOME])
    chosen = choose_curvature(ladder, points, some, noise, scale, depth, left)
    fixed = window_for_histograms(some, noise, scale[SOME], np.concatenate(areas)[SOME], depth[SOME] > BORDER)
    fixed_mean, fixed_gaussian, _ = curvature_at(quiet, points, np.full(len(points), FLAT_TOPS[fixed]))
    first, second = principal_curvatures(chosen.mean, chosen.gaussian)
    out = []
    for level, surface, area, start, end in zip(levels, surfaces, areas, ends, ends[1:], strict=False):
        own = slice(start, end)
        out.append(
            FrontSurface(
                iso_energy=float(level),
                vertices=surface.vertices * voxel_size,
                faces=surface.faces,
                mean_curvature=chosen.mean[own] / voxel_size,
                gaussian_curvature=chosen.gaussian[own] / voxel_size**2,
                vertex_area=area * voxel_size**2,
                near_border=depth[own] <= BORDER,
                kappa1=first[own] / voxel_size,
                kappa2=second[own] / voxel_size,
                mean_curvature_sigma=chosen.sigma[own] / voxel_size,
                window=WINDOWS[BASE[chosen.window[own]]] * voxel_size,
                mean_curvature_fixed=fixed_mean[own].astype(np.float64) / voxel_size,
                gaussian_curvature_fixed=fixed_gaussian[own].astype(np.float64) / voxel_size**2,
            )
        )
    width = float(WINDOWS[fixed]) * voxel_size if len(points) else np.nan
    return Fronts(tuple(out), smooth, noise, smooth.window * voxel_size, width)


def _surface_window(whole: ContinuedField, ladder: list[Level], levels: Floats, noise: Noise) -> float:
    """The narrowest window, in voxels, that keeps the noise away from all levels.

    Or the narrowest one that leaves less noise than the next wider one would change by smoothing too much: there a
    front bends sharply, as in a particle full of cracks.
    """
    values, slope = _where_it_crosses(whole, ladder[: len(_SURFACE_WINDOWS) + 1], levels - whole.offset)
    change = np.sqrt(np.mean(np.diff(values, axis=0) ** 2, axis=1)) if values.size else np.zeros(len(values) - 1)
    for window in _NARROWER:
        if noise.of_value(window / APART, window * APART) < _DISPLACEMENT * slope:
            return window
    for w, least in enumerate((*change, np.inf)):
        if noise.of_value(ladder[w].width, ladder[w + 1].width) < max(_DISPLACEMENT * slope, least):
            break
    return float(_SURFACE_WINDOWS[w])


def _smooth(whole: ContinuedField, ladder: list[Level], window: float) -> SmoothField:
    """Smoothed by a window, by what the ladder has of it already."""
    for w in np.flatnonzero(window == WINDOWS):
        return smooth_field_on(whole, ladder[w], ladder[w + 1])
    return smooth_field(whole, window)


def _where_it_crosses(whole: ContinuedField, ladder: list[Level], levels: Floats) -> tuple[Doubles, float]:
    """Values by each window where the field by the widest one crosses a level (window, n), and the slope there."""
    weights = [flat_top_weights(narrow.width, wide.width) for narrow, wide in pairwise(ladder)]
    narrow, wide = ladder[-2:]
    (u, v), step = weights[-1], wide.step
    crossed: list[list[Indices]] = [[] for _ in levels]
    for z in range(len(wide.samples)):
        plane = np.float32(u) * narrow.samples[z] + np.float32(v) * wide.samples[z]
        known = whole.depth[z * step, ::step, ::step] > 0
        beside = known[:, 1:] & known[:, :-1]
        for places, e in zip(crossed, levels, strict=True):
            at = np.argwhere(beside & ((plane[:, 1:] < e) != (plane[:, :-1] < e)))
            places.append(np.insert(at, 0, z, axis=1))
    all_at = [np.concatenate(places) for places in crossed]
    chosen = np.concatenate([at[:: 1 + len(at) // _SLOPES] for at in all_at])
    points = np.ascontiguousarray((chosen + np.array([0, 0, 0.5])) * step, dtype=np.float32)
    found = np.empty((len(ladder), len(points), 10), dtype=np.float32)
    for level, out in zip(ladder, found, strict=True):
        sample(level.samples, level.step, points, out)
    flat = np.stack([u * a + v * b for (u, v), (a, b) in zip(weights, pairwise(found), strict=True)])
    slope = np.linalg.norm(flat[-1, :, 1:4], axis=1)
    return flat[:, :, 0], float(np.median(slope)) if len(slope) else 0.0


def _relative(whole: ContinuedField, sigma: Floats) -> Image:
    """A map of the noise, smooth and about 1; 1 where it is not known."""
    part = whole.crop(sigma)
    good = np.isfinite(part) & (part > 0) & (whole.depth > 0)
    if not good.any():
        return np.ones_like(part)
    part = np.where(good, part / np.float32(np.median(part[good])), np.float32(0)).clip(0, 10)
    weight = smoothed(good.astype(np.float32), _EVEN**2)
    return np.where(weight > 1e-3, smoothed(part, _EVEN**2) / np.maximum(weight, np.float32(1e-3)), np.float32(1))


def _at_nearest(volume: Image, points: Floats) -> Doubles:
    """(n,) values of the voxels nearest to points (n, 3)."""
    z, y, x = (points + 0.5).astype(np.intp).T
    return np.asarray(volume[z, y, x], dtype=np.float64)


def _without_vertices(level: float) -> FrontSurface:
    none = np.empty(0)
    faces = np.empty((0, 3), dtype=np.intp)
    flags = np.empty(0, dtype=np.bool_)
    return FrontSurface(level, np.empty((0, 3)), faces, none, none, none, flags, *[none] * 6)
