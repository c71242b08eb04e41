"""What differs from beamline to beamline: a checked profile.toml."""

import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError, model_validator

from redoxscope.analysis.front import FrontWindow
from redoxscope.analysis.xanes import Edge
from redoxscope.live.errors import UserError
from redoxscope.live.profile_tables import (
    Camera,
    Documents,
    EdgeTable,
    Front,
    OtherEdge,
    Registration,
    Steps,
    Table,
    Tomography,
)


class Profile(Table):
    """All of a profile.toml."""

    name: str
    description: str = ""
    documents: Documents
    camera: Camera = Camera()
    registration: Registration = Registration()
    edge: EdgeTable = EdgeTable()
    """The one that front, histogram and 3D analysis are of."""
    other_edges: tuple[OtherEdge, ...] = ()
    """Edges that are scanned in the same sweep: each has maps of its own."""
    tomography: Tomography = Tomography()
    front: Front = Front()
    histogram: Steps = Steps(low=8335.0, high=8347.0, step=0.1)
    """Bins of the edge-energy histogram, eV."""
    iso_energies: Steps = Steps(low=8338.0, high=8342.0, step=0.5)
    """Isosurfaces of the 3D analysis, eV."""

    @model_validator(mode="after")
    def _different(self) -> "Profile":
        groups = [table.group for table in self.edges]
        for table in self.edges:
            if groups.count(table.group) > 1:
                raise ValueError(
                    f"two edges are called {table.name!r}, in files {table.group}: give each a name of its own"
                )
        return self

    def with_references_in(self, folder: Path) -> "Profile":
        """The same with its reference spectra in this folder, unless their paths are absolute."""
        tables = []
        for table in self.edges:
            found = tuple(str((folder / Path(path).expanduser()).absolute()) for path in table.references)
            tables.append(table.model_copy(update={"references": found}))
        return self.model_copy(update={"edge": tables[0], "other_edges": tuple(tables[1:])})

    @property
    def edges(self) -> tuple[EdgeTable, ...]:
        """All edges, the main one first."""
        return (self.edge, *self.other_edges)

    def xanes_edge(self) -> Edge:
        """The main edge as the analysis wants it."""
        return self.edge.edge()

    def front_window(self) -> FrontWindow:
        """The front as the analysis wants it."""
        return FrontWindow(self.front.energy, self.front.half_width)

    def magnification(self, energy: float, reference: float, *, tomogram: bool = False) -> float:
        """Magnification at an energy over that at the reference energy (both eV)."""
        rule = self.registration.magnification
        if tomogram:
            rule = self.registration.magnification_3d or rule
        factor = energy / reference
        return {"proportional": factor, "inverse": 1.0 / factor, "fixed": 1.0}[rule]


def profile_names() -> list[str]:
    """Profiles that come with redoxscope."""
    return sorted(p.name for p in files("redoxscope.profiles").iterdir() if p.joinpath("profile.toml").is_file())


def load_profile(name: str | Path) -> Profile:
    """A profile by name, or by the path of its file or folder.

    Raises UserError naming the key, or the file of a reference spectrum, and the remedy.
    """
    text = str(name)
    if text in profile_names():
        return _parse(files("redoxscope.profiles").joinpath(text, "profile.toml").read_text("utf-8"), text)
    path = Path(name)
    if path.is_dir():
        path = path / "profile.toml"
    if not path.is_file():
        raise UserError(f"{text}: no such profile; give a file, or one of {', '.join(profile_names())}")
    try:
        profile = _parse(path.read_text("utf-8"), str(path)).with_references_in(path.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; give a readable TOML file") from error
    from redoxscope.live.reference_spectra import check_references  # which knows the profile

    check_references(profile)
    return profile


def _parse(text: str, source: str) -> Profile:
    try:
        return Profile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source}: {error}; mend the TOML") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "profile"
        if first["type"] == "extra_forbidden":
            raise UserError(f"{source}: unknown key {key!r}; remove it or correct its spelling") from error
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"{source}: {key}: {reason}; correct it") from error
