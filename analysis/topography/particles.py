"""Particles that touch, told apart.

The distance to the surface is large in the middle of a particle and small where two of them touch. Its maxima, as far
as they stand out, are the markers of a watershed (scikit-image). A maximum stands out if the way to a higher one leads
through a constriction of less than three quarters of its height: this is an h-maximum (Soille, Morphological Image
Analysis, 2003) whose h goes with the particle's size, so that a rough, long or dented particle stays one. Cracks and
voids would make walls of it: they are closed first.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from redoxscope.analysis.topography.border import distance_to
from redoxscope.analysis.topography.level_tree import level_tree

CONSTRICTION = 0.75
"""A neck between two particles is narrower than this share of the smaller one's thickness."""
CRACK = 2.0
"""Voxels; cracks up to twice as wide are closed."""
LEAST_RADIUS = 4.0
"""Voxels; what is smaller is debris."""


def segment_particles(
    material: NDArray[np.bool_],
    *,
    constriction: float = CONSTRICTION,
    crack: float = CRACK,
    least_radius: float = LEAST_RADIUS,
) -> NDArray[np.int32]:
    """Number the particles of a volume.

    Parameters
    ----------
    material : (z, y, x), as where the edge energy is known
    constriction : between two particles, as a share of the smaller one's thickness, 0 to 1; 1 parts most
    crack : voxels, half the width up to which cracks are closed
    least_radius : voxels; pieces with less volume than a ball of this radius are left out

    Returns
    -------
    (z, y, x) 1 for the largest particle, 2 for the next and so on; 0 outside and for debris. All zero if there is no
    material; a volume one voxel thick is segmented as what it is, thin.

    Raises
    ------
    ValueError
        If the volume is not three-dimensional or the constriction is not between 0 and 1.
    """
    if material.ndim != 3:
        raise ValueError(f"the volume has {material.ndim} dimensions: (z, y, x) is needed")
    if not 0 < constriction <= 1:
        raise ValueError(f"a constriction of {constriction:g}: a share between 0 and 1 is needed")
    label = np.zeros(material.shape, dtype=np.int32)
    if not material.any():
        return label
    box = ndimage.find_objects(material.astype(np.uint8))[0]
    inside = np.asarray(material[box])
    depth = _depth(inside, crack)
    markers = _markers(depth, constriction)
    if markers.max() == 1:
        found = np.where(inside, 1, 0).astype(np.int32)
    else:
        # The closed cracks are flooded too: particles stay whole across them.
        found = np.where(inside, watershed(-depth, markers, mask=depth > 0), 0).astype(np.int32)
    size = np.bincount(found.ravel())
    size[0] = 0
    size[size < 4 / 3 * np.pi * least_radius**3] = 0
    order = np.argsort(-size, kind="stable")[: np.count_nonzero(size)]
    number = np.zeros(size.size, dtype=np.int32)
    number[order] = np.arange(1, order.size + 1)
    label[box] = number[found]
    return label


def _depth(inside: NDArray[np.bool_], crack: float) -> NDArray[np.float32]:
    """Distance to the outside, voxels; cracks and voids count as inside."""
    margin = int(np.ceil(crack)) + 2
    padded = np.pad(inside, margin)
    if crack > 0:
        # Closing by a ball: everything that a ball of this radius, moved about outside, cannot reach.
        grown = distance_to(padded) <= crack
        padded |= distance_to(~grown) > crack
    padded = ndimage.binary_fill_holes(padded)
    depth = distance_to(~padded)
    return np.asarray(depth[(slice(margin, -margin),) * 3])


def _markers(depth: NDArray[np.float32], constriction: float) -> NDArray[np.int32]:
    """A number at each maximum that stands out, 0 elsewhere."""
    tree = level_tree(np.where(depth > 0, -depth, np.float32(np.nan)))
    keep = np.ones(tree.value.size, dtype=bool)
    # Both are negative depths: the smaller particle's middle, and the constriction on the way to the larger one's.
    keep[tree.younger] = tree.join_value > constriction * tree.value[tree.younger]
    markers = np.zeros(depth.shape, dtype=np.int32)
    markers[tuple(tree.place[keep].T)] = np.arange(1, np.count_nonzero(keep) + 1)
    return markers
