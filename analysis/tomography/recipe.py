"""How the slices of a volume are made, as a user may choose."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The parameters of `tomography.reconstruct` that a user may choose."""

    filter_name: str = "hann"
    """Of filtered backprojection; "hann" halves the error of "ramp" at ordinary counts."""
    method: str = "fbp"
    """"sirt" or "tv" where angles are few or a wedge is missing: hundreds of times the work."""
    stripes: str = "none"
    """How rings are taken out."""
    backend: str = "gridding"
    truncated: bool = False
    """Whether the object is wider than the view."""
