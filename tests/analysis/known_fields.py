"""Fields whose level sets are known: (z, y, x) eV, low in the new phase."""

import numpy as np

LEVEL = 8340.0
SLOPE = 0.2  # eV per voxel


def distance(shape, centre):
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    return np.sqrt(sum((g - c) ** 2 for g, c in zip(grids, centre, strict=True)))


def grown_balls(shape, centres, births, slope=SLOPE, blunt=0.0):
    """Balls that appear at the centres at their energies and grow by 1/slope voxels per eV.

    `blunt`, eV, rounds the creases where they meet, so that the saddles are smooth.
    """
    each = [birth + slope * distance(shape, centre) for centre, birth in zip(centres, births, strict=True)]
    if not blunt:
        return np.min(each, axis=0).astype("f4")
    low = np.min(each, axis=0)
    return (low - blunt * np.log(sum(np.exp((low - f) / blunt) for f in each))).astype("f4")


def two_wells(shape=(48, 48, 80), apart=16.0, bend=0.004, across=0.01):
    """f = LEVEL + bend·((s²-apart²)/(2·apart))² + across·(z²+y²)/2, s along x from the middle.

    Minima at s = ±apart, at LEVEL; the saddle between them at LEVEL + bend·apart²/4, from where on the section through
    it is a circle of radius √(2(E - saddle)/across).
    """
    z, y, x = (g - (n - 1) / 2 - 0.21 for g, n in zip(np.ogrid[tuple(map(slice, shape))], shape, strict=True))
    return LEVEL + bend * ((x * x - apart**2) / (2 * apart)) ** 2 + across * (z * z + y * y) / 2


def noisy(field, sigma, seed=0):
    return (field + sigma * np.random.default_rng(seed).standard_normal(field.shape)).astype("f4")
