"""A phantom whose projections are known exactly: ellipsoids that react across an edge."""

import numpy as np


def particle(radius, inclusions=14, seed=0):
    """(n, 7) z, y, x, semi-axes along z and in the plane, angle in the plane (rad): a hull and what is inside it."""
    rng = np.random.default_rng(seed)
    hull = [0.0, 3.0, -4.0, 0.9 * radius, radius, 0.8 * radius, 0.4]
    parts = [hull]
    while len(parts) < inclusions + 1:
        place, size = rng.uniform(-0.7, 0.7, 3) * radius, rng.uniform(0.08, 0.25, 3) * radius
        if np.linalg.norm(place) + size.max() < 0.75 * radius:
            parts.append([place[0], place[1] + 3.0, place[2] - 4.0, *size, rng.uniform(0, 3)])
    return np.array(parts)


def project(parts, weights, angles, shape, axis=0.0, shifts=None):
    """(angle, row, col) line integrals, exact at 2 x 2 points of each pixel; shifts (angle, 2) px move the frames."""
    rows, cols = shape
    moves = np.zeros((len(angles), 2)) if shifts is None else shifts
    out = np.zeros((len(angles), rows, cols), dtype=np.float32)
    sub = np.array([-0.25, 0.25])
    for a, angle in enumerate(np.deg2rad(angles)):
        v = (np.arange(rows)[:, None] + sub).ravel() - (rows - 1) / 2 - moves[a, 0]
        u = (np.arange(cols)[:, None] + sub).ravel() - (cols - 1) / 2 - axis - moves[a, 1]
        fine = np.zeros((2 * rows, 2 * cols))
        for (z, y, x, tall, long, short, turn), weight in zip(parts, weights, strict=True):
            width2 = (long * np.cos(angle - turn)) ** 2 + (short * np.sin(angle - turn)) ** 2
            across = u - x * np.cos(angle) - y * np.sin(angle)
            i = np.flatnonzero(abs(v - z) < tall)
            j = np.flatnonzero(across**2 < width2)
            if i.size and j.size:
                inside = (1 - ((v[i] - z) / tall) ** 2)[:, None] * width2 - across[j] ** 2
                fine[i[0] : i[-1] + 1, j[0] : j[-1] + 1] += (
                    weight * 2 * long * short / width2 * np.sqrt(np.maximum(inside, 0))
                )
        out[a] = fine.reshape(rows, 2, cols, 2).mean(axis=(1, 3))
    return out


def scan(parts, angles, shape, energies, axis, noise, shifts=None, seed=1, change=0.6):
    """(energy, angle, row, col) absorbance: the hull doubles across the edge, kinds of inclusions react in turn."""
    rng = np.random.default_rng(seed)
    kind, size = np.arange(len(parts) - 1) % 3, 2 * parts[0, 4]
    out = []
    for i, x in enumerate(np.linspace(-3, 3, energies)):
        step = 1 / (1 + np.exp(-2 * (x - np.array([-1, 0, 1]))))
        weights = np.concatenate(
            [[(0.25 + 0.25 / (1 + np.exp(-2 * x))) / size], (change * step[kind] + 0.5 - change) / size]
        )
        frames = project(parts, weights, angles, shape, axis, None if shifts is None else shifts[i])
        out.append(frames + rng.normal(0, noise, frames.shape).astype(np.float32))
    return np.stack(out)


def without_translation(shifts, angles):
    """Shifts (energy, angle, 2) without what a translation of the object does, which projections do not tell."""
    theta = np.tile(np.deg2rad(angles), len(shifts))
    out = np.array(shifts)
    out[..., 0] -= np.nanmean(out[..., 0])
    design, x = np.stack([np.cos(theta), np.sin(theta)], axis=1), out[..., 1].ravel()
    known = np.isfinite(x)
    out[..., 1] = (x - design @ np.linalg.lstsq(design[known], x[known], rcond=None)[0]).reshape(out.shape[:2])
    return out
