"""The tables of a profile.toml."""

import re
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from redoxscope.analysis.tomography.recipe import Recipe
from redoxscope.analysis.xanes import Definition, Edge, Window


class Table(BaseModel):
    """Checked as it is made: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Documents(Table):
    """How this beamline's documents say what a frame is."""

    image: str
    """Data key of the frames."""
    energy: str
    """Data key of the photon energy; a start key of that name serves where events have none."""
    energy_unit: Literal["eV", "keV"] = "eV"
    energies: str
    """Start key of the list of energies, in the same unit."""
    angle: str | None = None
    """Data key of the rotation angle, degrees."""
    temperature: str | None = None
    """Data key of the sample temperature, °C."""
    exposure: str | None = None
    """Data key, or start key, of the exposure time, s."""
    sample_streams: tuple[str, ...] = ("primary",)
    flat_streams: tuple[str, ...] = ("flat",)
    dark_streams: tuple[str, ...] = ("dark",)
    plans_2d: tuple[str, ...]
    """Values of the start document's plan_name that are XANES scans of one projection."""
    plans_3d: tuple[str, ...] = ()
    """Those that are tomograms, of one energy or of all."""
    series: tuple[str, ...] = ("series",)
    """Start keys; runs in which they agree are one series. A run that has none of them is a series of its own."""
    pixel_size: str | None = None
    """Start key of the pixel size."""
    pixel_size_unit: Literal["um", "nm"] = "um"


class Camera(Table):
    """What its counts mean."""

    photons_per_count: float = Field(1.0, gt=0)
    """Detected photons per count: sets the noise."""
    saturation: float | None = Field(None, gt=0)
    """Counts at and above this know nothing."""


class Registration(Table):
    """How the image moves and grows with energy."""

    magnification: Literal["proportional", "inverse", "fixed"] = "proportional"
    """`proportional` to energy; `inverse`, where the image shrinks as the zone plate's focal length grows (measured on
    frames of SSRL 6-2C); or `fixed`, where the beamline refocuses or corrects it."""
    magnification_3d: Literal["proportional", "inverse", "fixed"] | None = None
    """The same for tomograms; as `magnification` if left out."""
    minimum_quality: float = Field(0.12, ge=0, le=1)
    """Correlation below which a measured shift is not trusted."""


class EdgeTable(Table):
    """The absorption edge and how its energy is defined; see `analysis.xanes.Edge`."""

    name: str = "Ni K"
    definition: Definition = "half_jump"
    span: float = Field(2.0, gt=0)
    nominal: float = 8341.0
    pre: Window = (8200.0, 8310.0)
    post: Window = (8380.0, 8460.0)
    search: Window = (8325.0, 8360.0)
    plateau: Window | None = (8346.0, 8352.0)
    plateau_ratio: float = Field(1.36, gt=0)
    plateau_scatter: float = Field(0.07, ge=0)
    jump_drift: float = Field(0.01, ge=0)
    jump_trend: float = -0.02
    jump_trend_scatter: float = Field(0.015, ge=0)
    energy_offset: float = 0.0
    min_jump: float = Field(0.02, gt=0)
    min_jump_over_noise: float = Field(4.0, ge=0)
    subspace: bool = True
    neighbours: bool = True
    """Whether noisy pixels of the maps lean on those around; see `analysis.neighbours`."""
    references: tuple[str, ...] = ()
    """Text files of two columns, energy (eV, on the scale that edge energies are reported on) and absorption of phases
    that may be there; relative to the profile's folder. A first scan's provisional maps rest on them."""

    @model_validator(mode="after")
    def _ordered(self) -> "EdgeTable":
        for name in ("pre", "post", "search", "plateau"):
            low, high = getattr(self, name) or (0, 1)
            if not low < high:
                raise ValueError(f"{name} = [{low:g}, {high:g}]: the first must be the smaller")
        if self.pre[1] > self.post[0]:
            raise ValueError("the pre-edge window must end before the post-edge window begins")
        self.edge()  # which refuses what no analysis can be made with
        return self

    @property
    def group(self) -> str:
        """The edge's name in files: letters, digits and _ only."""
        return group_name(self.name)

    def edge(self) -> Edge:
        """As the analysis wants it."""
        values = self.model_dump(exclude={"subspace", "neighbours", "references"})
        # A window without any energy: nothing is guessed from it.
        return Edge(**values | {"plateau": self.plateau or (np.inf, np.inf)})


class OtherEdge(EdgeTable):
    """A further edge in the same scan: nothing of what says where it is has a default."""

    name: str = Field(min_length=1)
    nominal: float
    pre: Window
    post: Window
    search: Window
    plateau: Window | None = None
    """Left out, nothing is guessed before a first scan's post-edge."""

    @model_validator(mode="after")
    def _sensible(self) -> "OtherEdge":
        if not self.pre[1] <= self.nominal <= self.post[0]:
            raise ValueError(
                f"nominal = {self.nominal:g} is not between the pre-edge window, which ends at {self.pre[1]:g}, and "
                f"the post-edge window, which begins at {self.post[0]:g}"
            )
        for name in ("search", "plateau"):
            low, high = getattr(self, name) or self.search
            if low < self.pre[0] or high > self.post[1]:
                raise ValueError(
                    f"{name} = [{low:g}, {high:g}] is not between the beginning of the pre-edge window, "
                    f"{self.pre[0]:g}, and the end of the post-edge window, {self.post[1]:g}"
                )
        return self


class Tomography(Table):
    """How slices are reconstructed; see `analysis.tomography.recipe.Recipe`."""

    filter: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"] = "hann"
    """Of filtered backprojection, from sharp to smooth."""
    method: Literal["fbp", "sirt", "tv"] = "fbp"
    """Filtered backprojection; for few angles or a missing wedge one of the others, at hundreds of times the work."""
    stripes: Literal["none", "sorting", "filtering", "large", "all"] = "none"
    """How rings are taken out, by the package algotom."""
    backend: Literal["gridding", "finufft", "astra"] = "gridding"
    """Of filtered backprojection: our own kernels, the package that they are tested against, or the ASTRA toolbox."""

    @model_validator(mode="after")
    def _sensible(self) -> "Tomography":
        if self.method != "fbp":
            for name in {"filter", "backend"} & self.model_fields_set:
                if getattr(self, name) != Tomography.model_fields[name].default:
                    raise ValueError(f'{name} is of method = "fbp" only: leave it out, or choose that method')
        if self.stripes != "none" and find_spec("algotom") is None:
            raise ValueError("stripes are taken out by algotom: pip install 'redoxscope[tomo]', or set it to \"none\"")
        if self.backend == "astra" and find_spec("astra") is None:
            raise ValueError('backend "astra" is the ASTRA toolbox: pip install astra-toolbox, or choose "gridding"')
        return self

    def recipe(self) -> Recipe:
        """As the analysis wants it."""
        return Recipe(self.filter, self.method, self.stripes, self.backend)


class Front(Table):
    """Which edge energies are the reaction front, eV."""

    energy: float = 8341.0
    half_width: float = Field(0.1, gt=0)


class Steps(Table):
    """Evenly spaced values, ends included."""

    low: float
    high: float
    step: float = Field(gt=0)

    def values(self) -> NDArray[np.float64]:
        """low, low + step, …, high."""
        return np.linspace(self.low, self.high, round((self.high - self.low) / self.step) + 1)


def group_name(name: str) -> str:
    """A name as that of a group in files: letters, digits and _ only."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)
