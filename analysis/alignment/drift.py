"""Where every projection of a 3D XANES scan stands: drift between the energies and jitter between the angles.

Every projection has a shift of its own, as each energy's tomogram is taken anew. Three sources know it, and each covers
what the others cannot see:

1. Centres of mass (`mass_centre`) place each energy's frames by themselves, whatever the contrast; but noisily, up to a
   rigid translation of the object, and only where it is inside the view.
2. Comparison with a mixture of the other energies at the same angle (`frame_shifts`) tells frames of different energies
   apart by hundredths of a pixel. But what appears at the edge can pass for a shift (A + w·B is A moved, to first
   order): so silhouettes are compared, whose outline does not react.
3. Reprojection (`reprojection`) gives what all energies have in common at an angle, and templates in which the frames
   of all angles agree: against these, which have no contrast that varies with the angle, jitter is refined at the end.

An object that reaches beyond the view has neither centre of mass nor outline. It gets one drift per energy, and steps
where the sample moved; jitter is then not corrected.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from redoxscope.analysis.alignment.coarse_frames import Coarse, bin_factor, coarse_frames
from redoxscope.analysis.alignment.frame_shifts import Found, Frames, better, find_shifts, shifted
from redoxscope.analysis.alignment.gauge import Alignment, fixed_gauge, gauge_of, turning
from redoxscope.analysis.alignment.mass_centre import mass_centres, row_shifts, silhouettes, sinusoid
from redoxscope.analysis.alignment.reprojection import align_angles, consistent
from redoxscope.analysis.alignment.rotation_axis import rotation_axis
from redoxscope.analysis.alignment.row_warp import warp

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
_LIKENESS = 0.6
"""A frame that resembles the others less than this is lost: it is looked for in the whole view, then interpolated."""
_LEARNERS = 16
"""Angles over which the mixture is learnt."""
_STEADY, _STEP = 9, 2.0
"""Angles over which a sample that moved stays where it is, and coarse px that it then moves at least."""
_ROUNDS = 3
"""Of reprojection; centres of mass told much before."""


@dataclass(frozen=True)
class Placed:
    """Where the frames of one energy stand, as far as the energies so far tell."""

    shifts: NDArray[np.float64]
    """(angle, 2) px (dy, dx) as of `Alignment`, but for what the energies to come will tell."""
    quality: NDArray[np.float64]
    """(angle,) 0 to 1, correlation with the mixture of the energies before; 0 where the shift is interpolated."""
    drift: tuple[float, float]
    """(dy, dx) px relative to the first energy, NaN without data."""
    coarse: Coarse
    """What `finish` takes."""


class DriftTracker:
    """Places the tomograms of a scan as they arrive, energy by energy; `finish` compares all of them once more.

    Memory: a few sets of coarse frames (at most 192 pixels wide), however many energies.

    Parameters
    ----------
    angles : (angle,) degrees, in any order, the same for all energies
    components : images in the mixture at each angle: spectral components that are told from noise
    """

    def __init__(self, angles: ArrayLike, *, components: int = 3) -> None:
        self.angles = np.asarray(angles, dtype=np.float64)
        self.components = components
        self.axis_offset = 0.0
        """px, as of `Alignment`, as far as the first energy tells."""
        self._design = turning(self.angles)
        self._order = np.argsort(self.angles, kind="stable")
        self._shape: tuple[int, ...] | None = None
        self._mixture: Frames | None = None
        """(component, angle, row, col), aligned; the axis stands at the centre of the full frames."""
        self._images: Frames | None = None
        """The same of the frames themselves: silhouettes cannot be reconstructed."""
        self._count = np.zeros(self.angles.size, dtype=np.int64)
        """(angle,) frames in the mixture."""
        self._by_mass = False
        self._gauge: Floats | None = None
        """(angle, 2) coarse px, the part of the first energy's positions that is the object's place and the axis'."""
        self._placed: list[Floats | None] = []
        """Positions of each energy's frames, coarse px."""
        self._scales: list[float] = []

    def place(self, tomogram: Floats, scale: float = 1.0) -> Placed:
        """Place the frames of the next energy against those of the energies so far.

        Parameters
        ----------
        tomogram : (angle, row, col) absorbance, NaN where unknown; positions of blank frames are interpolated
        scale : magnification relative to the first energy

        Raises
        ------
        ValueError
            If the shape does not fit the angles or the energies before.
        """
        coarse = self._coarse(tomogram, scale)
        frames, known = coarse.frames, coarse.known
        self._scales.append(scale)
        if not known.any():
            self._placed.append(None)
            return Placed(np.full((known.size, 2), np.nan), np.zeros(known.size), (np.nan, np.nan), coarse)
        centres = self._centres(frames, known)
        position: Floats
        quality: Floats
        if self._mixture is None or self._images is None:
            self._by_mass = bool(np.isfinite(centres).any())
            if not self._by_mass:
                axis = rotation_axis(frames[known], self.angles[known])[0] if known.sum() > 2 else 0.0
                centres = np.tile([0.0, axis + self._offset], (known.size, 1))
            good = known & np.isfinite(centres).all(axis=1)
            position, quality = self._filled(centres, good), good.astype(np.float64)
            self._mixture = shifted(self._outline(frames), position)[None]
            self._images = shifted(frames, position)[None] if self._by_mass else self._mixture
        else:
            outline = self._outline(frames)
            position, quality = self._against_mixture(outline, known, centres)
            good = quality > 0
            self._mixture = self._learnt(self._mixture, shifted(outline, position), good)
            self._images = (
                self._learnt(self._images, shifted(frames, position), good) if self._by_mass else self._mixture
            )
        self._count += quality > 0
        before = next((p for p in self._placed if p is not None), position)
        self._placed.append(position)
        if self._gauge is None:
            self._gauge, axis = gauge_of(position, self._design)
            self.axis_offset = axis * self._factor
        moved = np.median(position - before, axis=0) * self._factor * scale
        shifts = np.asarray((position - self._gauge) * self._factor * scale, dtype=np.float64)
        return Placed(shifts, np.asarray(quality, dtype=np.float64), (float(moved[0]), float(moved[1])), coarse)

    def finish(self, placed: Iterable[Coarse]) -> Alignment:
        """Joint refinement of all tomograms that were placed, as `place` gave them back, in the same order.

        Raises
        ------
        ValueError
            If these are not as many as were placed, or no energy had data.
        """
        if self._images is None:
            raise ValueError("no energy has any finite projection: there is nothing to align")
        positions = np.full((len(self._placed), self.angles.size, 2), np.nan)
        quality = np.zeros(positions.shape[:2])
        views, moved, axis_quality = self._images, np.zeros((self.angles.size, 2)), 0.0
        if self._by_mass:
            common = align_angles(views[0], self.angles, -self._offset, rounds=_ROUNDS)
            moved, axis_quality = common.shifts, float(np.median(common.quality))
            # Templates of all angles together: less noise, and what changes at the edge cannot pass for jitter.
            parts = enumerate(shifted(images, moved) for images in self._images)
            views = np.stack([consistent(v, self.angles, -self._offset, positive=k == 0) for k, v in parts])
        elif self.angles.size > 2:
            axis_quality = rotation_axis(views[0], self.angles)[1]
        for i, (coarse, at) in enumerate(zip(placed, self._placed, strict=True)):
            if at is None:
                continue
            known_position = at + moved
            found = find_shifts(coarse.frames, views, known_position, steps=6)
            valid = coarse.known & (found.quality > _LIKENESS) & np.isfinite(found.sigma)
            positions[i] = self._settled(found, known_position, valid) if valid.any() else known_position
            quality[i] = np.where(valid, found.quality, 0.0)
        scales = np.asarray(self._scales, dtype=np.float64)
        return fixed_gauge(positions * self._factor, quality, self.angles, scales, axis_quality)

    @property
    def _factor(self) -> int:
        return bin_factor(self._shape or (1, 1))

    @property
    def _offset(self) -> float:
        """Coarse px, centre column of the coarse frames minus that of the full ones."""
        width = (self._shape or (1, 1))[-1]
        return 0.5 * (width // self._factor - width / self._factor)

    def _coarse(self, tomogram: Floats, scale: float) -> Coarse:
        if tomogram.ndim != 3 or len(tomogram) != self.angles.size:
            raise ValueError(f"tomogram {tomogram.shape} for {self.angles.size} angles: (angle, row, col) is needed")
        if self._shape is not None and tomogram.shape != self._shape:
            raise ValueError(f"tomogram {tomogram.shape} among others of {self._shape}: they must be of one shape")
        self._shape = tomogram.shape
        frames, known = coarse_frames(tomogram, self._factor)
        return Coarse(frames if scale == 1.0 else warp(frames, (0.0, 0.0), scale), known)

    def _centres(self, frames: Frames, known: Flags) -> Floats:
        """(angle, 2) positions by the centres of mass, free of the object's translation; NaN where not to be had."""
        out = np.full((known.size, 2), np.nan)
        mass = mass_centres(frames)
        good = known & np.isfinite(mass.centre[:, 1])
        if not mass.inside[1] or good.sum() < 3:
            return out
        x = np.where(good, mass.centre[:, 1] + self._offset, np.nan)
        out[:, 1] = x - self._design[:, 1:] @ sinusoid(self.angles, x)[0][1:]
        y = mass.centre[:, 0] if mass.inside[0] else row_shifts(mass.row_mass, good)
        out[good, 0] = y[good] - np.median(y[good])
        return out

    def _against_mixture(self, frames: Frames, known: Flags, centres: Floats) -> tuple[Floats, Floats]:
        """Positions (angle, 2) and quality (angle,)."""
        assert self._mixture is not None
        weighed = known & np.isfinite(centres).all(axis=1)
        by_mass = self._by_mass and bool(weighed.sum() > 0.5 * known.sum())
        last = next(p for p in reversed(self._placed) if p is not None)
        start = self._filled(centres, weighed) if by_mass else last
        found = find_shifts(frames, self._mixture, start)
        poor = known & (self._count > 0) & (found.quality < _LIKENESS)
        if poor.any():
            found = better(found, find_shifts(frames[poor], self._mixture[:, poor], start[poor], search=True), poor)
        valid = known & (self._count > 0) & (found.quality >= _LIKENESS)
        if not valid.any():
            return start, np.zeros(known.size)
        position: Floats = np.array(found.shifts)
        if by_mass:
            # Frames at angles that the mixture has not seen go by their mass, translated as the others are.
            off = found.shifts - start
            position = start + np.median(off[valid & weighed], axis=0) * [1, 0]
            turn = self._design[:, 1:]
            position[:, 1] += turn @ sinusoid(self.angles, np.where(valid & weighed, off[:, 1], np.nan))[0][1:]
            position = np.where(valid[:, None], found.shifts, position)
            quality = np.where(valid | (weighed & (self._count == 0)), np.maximum(found.quality, _LIKENESS), 0.0)
        else:
            position = self._moved(position, valid)
            quality = np.where(valid, found.quality, 0.0)
        return self._filled(position, quality > 0), quality

    def _learnt(self, mixture: Frames, frames: Frames, good: Flags) -> Frames:
        """Principal components of the mixture so far and more aligned frames."""
        new = np.array(frames)
        both_seen = np.flatnonzero(good & (self._count > 0))
        learners = both_seen[:: max(1, both_seen.size // _LEARNERS)]
        if not good.all() and learners.size:
            # A missing frame is what the others of this energy are in terms of the mixture.
            known = mixture[:, learners].reshape(len(mixture), -1)
            shares = np.linalg.lstsq(known.T, new[learners].ravel(), rcond=None)[0]
            new[~good] = np.tensordot(shares, mixture[:, ~good], axes=1)
        both = np.concatenate([mixture, new[None]])
        flat = both[:, learners].reshape(len(both), -1)
        _, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64))
        main = vectors[:, ::-1].T[: self.components]
        main *= np.where(main @ flat.sum(axis=1) < 0, -1, 1)[:, None]
        return np.asarray(np.tensordot(main.astype(np.float32), both, axes=1))

    def _outline(self, frames: Frames) -> Frames:
        """What is compared: silhouettes, unless the object reaches beyond the view."""
        return silhouettes(frames) if self._by_mass else frames

    def _filled(self, positions: Floats, good: Flags) -> Floats:
        """Positions (angle, 2), interpolated over the angles where they are not good."""
        out, order = np.array(positions), self._order
        if good.any():
            for axis in (0, 1):
                at = np.flatnonzero(good[order])
                out[order, axis] = np.interp(np.arange(order.size), at, positions[order[at], axis])
        return out

    def _settled(self, found: Found, before: Floats, valid: Flags) -> Floats:
        """Positions (angle, 2) after the last comparison.

        It was with images, not silhouettes, whose changing contrast moves an object as a whole: such a translation is
        not taken from it. Jitter is damped to what stands out of the noise, so that none is made where there is none:
        shifts of variance t² known with error s are best taken as t² / (t² + s²) of what was found.
        """
        position = np.array(found.shifts)
        if not self._by_mass:
            return self._moved(position, valid)
        position -= self._translation(found.shifts - before, valid)
        smooth = self._translation(position, valid)
        off = position - smooth
        usual = (1.4826 * np.median(abs(off[valid]), axis=0)) ** 2
        noise = np.where(valid, found.sigma, 1.0)[:, None] ** 2
        true = np.maximum(usual - np.median(noise[valid]), 0.0)
        damped = true / np.maximum(true + noise, 1e-12)
        far = abs(off) > 6 * np.sqrt(usual) + 0.1
        return smooth + self._filled(np.where(far, 1.0, damped) * off, valid)

    def _moved(self, shifts: Floats, valid: Flags) -> Floats:
        """One drift for all frames, unless the sample moved at some angle.

        For an object without an outline in view, smaller differences between the angles may be its changing contrast.
        """
        shifts = self._filled(shifts, valid)
        slow = np.empty_like(shifts)
        slow[self._order] = ndimage.median_filter(shifts[self._order], (_STEADY, 1), mode="nearest")
        drift = np.median(slow, axis=0)
        return np.where((abs(slow - drift) > _STEP).any(), slow, drift)

    def _translation(self, shifts: Floats, valid: Flags) -> Floats:
        """What of the shifts (angle, 2) is a translation of the object or of the axis."""
        out = np.zeros_like(shifts)
        out[:, 0] = np.median(shifts[valid, 0])
        fitted, error = sinusoid(self.angles, np.where(valid, shifts[:, 1], np.nan))
        out[:, 1] = self._design @ fitted if np.isfinite(error) else np.median(shifts[valid, 1])
        return out
