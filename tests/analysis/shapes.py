"""Fields whose level sets have curvatures that are known: the truth is the analytic function's, not a program's."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

SLOPE = 0.2
"""eV per voxel."""


@dataclass(frozen=True)
class Shape:
    """A function of (z, y, x), in voxels from a centre off the grid, in eV; its front is where it is 0."""

    name: str
    function: object
    size: int

    @property
    def centre(self):
        return (self.size - 1) / 2 - 0.13

    def field(self):
        axis = np.arange(self.size) - self.centre
        return self.function(axis[:, None, None], axis[:, None], axis)

    def truth(self, vertices):
        """H, K of the point of the surface nearest to each vertex, and the distance to it.

        Derivatives are central differences of the function in double precision, over a step that leaves six digits.
        """
        points = vertices - self.centre
        start = points
        for _ in range(6):
            value, gradient, _ = self._derivatives(points)
            step = -(value / np.maximum((gradient**2).sum(axis=1), 1e-12))[:, None] * gradient
            points = points + step / np.maximum(1.0, np.linalg.norm(step, axis=1, keepdims=True))
        _, g, (zz, yy, xx, zy, zx, yx) = self._derivatives(points)
        hessian = np.moveaxis(np.array([[zz, zy, zx], [zy, yy, yx], [zx, yx, xx]]), 2, 0)
        length = np.linalg.norm(g, axis=1)
        normal = g / length[:, None]
        # The shape operator's trace and the sum of its principal minors (its third eigenvalue is 0).
        across = np.eye(3) - normal[:, :, None] * normal[:, None, :]
        operator = across @ hessian @ across / length[:, None, None]
        trace = np.trace(operator, axis1=1, axis2=2)
        gauss = 0.5 * (trace**2 - np.trace(operator @ operator, axis1=1, axis2=2))
        return trace / 2, gauss, np.linalg.norm(points - start, axis=1)

    def _derivatives(self, points, h=2e-3):
        def at(*moves):
            z, y, x = (points + h * sum(moves, np.zeros(3))).T
            return self.function(z, y, x)

        value, unit = at(), np.eye(3)
        up, down = [at(e) for e in unit], [at(-e) for e in unit]
        gradient = np.stack([(u - d) / (2 * h) for u, d in zip(up, down, strict=True)], axis=1)
        second = [(u + d - 2 * value) / h**2 for u, d in zip(up, down, strict=True)]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            a, b = unit[i], unit[j]
            second.append((at(a, b) - at(a, -b) - at(-a, b) + at(-a, -b)) / (4 * h * h))
        return value, gradient, second


def ball(radius, margin=14):
    return Shape(
        f"ball {radius}", lambda z, y, x: SLOPE * (np.sqrt(z * z + y * y + x * x) - radius), 2 * (radius + margin)
    )


def torus(ring=20.0, tube=8.0, size=84):
    return Shape("torus", lambda z, y, x: SLOPE * (np.hypot(np.hypot(y, x) - ring, z) - tube), size)


def gyroid(period=36.0, size=90):
    k = 2 * np.pi / period

    def function(z, y, x):
        terms = np.sin(k * z) * np.cos(k * y) + np.sin(k * y) * np.cos(k * x) + np.sin(k * x) * np.cos(k * z)
        return SLOPE / k / 1.5 * terms

    return Shape("gyroid", function, size)


def schwarz_p(period=36.0, size=90):
    k = 2 * np.pi / period
    return Shape("Schwarz P", lambda z, y, x: SLOPE / k / 1.5 * (np.cos(k * z) + np.cos(k * y) + np.cos(k * x)), size)


def merging(radius=13.0, apart=11.0, blend=3.0, size=80):
    """Two spheres whose signed distances are blended over `blend` voxels: a neck of negative curvature."""

    def function(z, y, x):
        one, two = (np.sqrt(z * z + y * y + (x + s) ** 2) - radius for s in (-apart, apart))
        return -SLOPE * blend * np.logaddexp(-one / blend, -two / blend)

    return Shape("merging spheres", function, size)


def nuclei(blend=3.0, size=88, count=24, apart=15.0, seed=0):
    """Nuclei at random places, born within 1 eV, whose distances are blended where they meet: necks and creases."""
    rng = np.random.default_rng(seed)
    places = np.empty((0, 3))
    while len(places) < count:
        place = rng.uniform(-0.45, 0.45, 3) * size
        if (np.linalg.norm(places - place, axis=1) > apart).all():
            places = np.vstack([places, place])
    births = rng.uniform(0, 5, count)

    def function(z, y, x):
        away = [
            np.sqrt((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 + 9) + birth
            for (a, b, c), birth in zip(places, births, strict=True)
        ]
        return -SLOPE * (blend * np.logaddexp.reduce([-d / blend for d in away]) + 11)

    return Shape("nuclei", function, size)


def random_front(scale=7.0, size=96, seed=0):
    """A smooth random field of about the slope of the others: (field of the grid), H only by a fine window."""
    rough = np.random.default_rng(seed).standard_normal((size,) * 3)
    smooth = gaussian_filter(rough, scale, mode="wrap")
    return SLOPE * scale * smooth / smooth.std()


def noise(size, sigma, correlation="white", seed=0):
    """Noise of a given standard deviation: white, over 0.6 voxel, or as slices have it after a Hann-filtered ramp."""
    out = np.random.default_rng(seed).standard_normal((size,) * 3)
    if correlation == "0.6 voxel":
        out = gaussian_filter(out, 0.6, mode="wrap")
    elif correlation == "hann":
        k = 2 * np.pi * np.fft.fftfreq(size)
        radial = np.hypot(k[:, None], k)
        transfer = np.sqrt(radial) * np.where(radial < np.pi, 0.5 * (1 + np.cos(radial)), 0)
        out = np.fft.ifft2(np.fft.fft2(out) * transfer).real
    return out * (sigma / out.std())


SHAPES = [ball(r) for r in (5, 7, 10, 14, 20, 30, 50)] + [torus(), gyroid(), schwarz_p(), merging()]
