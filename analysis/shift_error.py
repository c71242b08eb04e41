"""How well a shift is known that was found by least squares, together with a mixture of images."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

_BLOCK = 8
"""Pixels; wider than the noise of the band is correlated."""
_INTERPOLATION = 0.008
"""Pixels by which cubic convolution misplaces fine structure; what remains where there is no noise."""


def regress(products: Image, target: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least-squares coefficients, and their covariance for a residual of unit variance.

    Parameters
    ----------
    products : (column, column) of the columns with one another
    target : (column,) of the columns with what is to be explained
    """
    norm = np.sqrt(np.maximum(np.diag(products).astype(np.float64), 1e-24))
    alike = products / np.outer(norm, norm)
    # The components of the first scan and those of all scans are much alike: a trace of ridge tells them apart.
    inverse = np.linalg.inv(alike + 1e-4 * np.eye(len(norm)))
    return inverse @ (target / norm) / norm, inverse / np.outer(norm, norm)


def shift_error(columns: Image, value: Image, fitted: NDArray[np.float64], inverse: NDArray[np.float64]) -> float:
    """Standard error (px) of the last two of the coefficients, which are the shift; the images are (..., y, x).

    Neighbouring pixels of a band of structure err together: the residuals count by blocks that are wider than they are
    alike (a sandwich estimator; White, Econometrica 48, 817 (1980)).
    """
    rest = value - np.tensordot(fitted.astype(np.float32), columns, axes=1)
    scores = np.tensordot(inverse[-2:].astype(np.float32), columns, axes=1)
    # The slopes hold the noise of the mixture, which does not move with the frame: what does is what its own slopes
    # have in common with them.
    slopes = np.asarray(np.gradient(value), dtype=np.float32)
    follows = scores.reshape(2, -1) @ slopes.reshape(2, -1).T
    pulls = np.tensordot(_tamed(follows.astype(np.float64)), scores, axes=1) * rest
    height, width = (n // _BLOCK * _BLOCK for n in value.shape)
    blocks = pulls[:, :height, :width].reshape(2, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).sum(axis=(2, 4))
    return float(np.hypot(np.sqrt((blocks.astype(np.float64) ** 2).sum() / 2), _INTERPOLATION))


def _tamed(follows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Inverse of a (2, 2) matrix that is the identity without noise; where there is little else, twenty times that."""
    vectors, values, others = np.linalg.svd(follows)
    return np.asarray((others.T / np.maximum(values, 0.05)) @ vectors.T, dtype=np.float32)
