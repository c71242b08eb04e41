"""What the monitor should find: maps and volume without noise, by code of the simulator's own."""

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from redoxscope.simulators.elements import NICKEL, Element, chosen
from redoxscope.simulators.microscope import Microscope
from redoxscope.simulators.spectra import ENERGIES_FINE, half_jump

if TYPE_CHECKING:
    from redoxscope.simulators.world import World

LEAST_JUMP = 0.02


def ray_half_jump(microscope: Microscope, extent: float, element: Element = NICKEL) -> NDArray[np.float32]:
    """(H, W) half-jump of an element's edge in eV, of the noise-free spectra along the beam at 0°.

    Magnification 1, no drift; NaN where the edge jump is below 0.02.
    """
    parts = microscope.to_detector(microscope.components(extent, 0.0)).astype(np.float64)
    spectra = np.tensordot(microscope.line_weights(ENERGIES_FINE + element.offset), parts, axes=1)
    edge, jump = half_jump(spectra.reshape(len(ENERGIES_FINE), -1), ENERGIES_FINE)
    edge[jump < LEAST_JUMP] = np.nan
    return (edge + element.offset).reshape(parts.shape[1:]).astype(np.float32)


def write_truth(world: "World", path: Path, map_times: NDArray[np.float64], volume_time: float | None) -> None:
    """Write the truth to HDF5.

    /map_time (n) s since the epoch, /map_edge_energy (n, y, x) eV, /map_transformed (n), /map_temperature (n) °C;
    with a `volume_time`: /volume_time, /volume_edge_energy (z, y, x) eV, /volume_transformed. Attributes:
    pixel_size_um, axis_offset (px), and in words what the two grids are. Where other edges than nickel's are scanned,
    their maps are /edges/<name>/map_edge_energy, the name with _ for its spaces.
    """
    world_past = [world.furnace.at(t) for t in map_times]
    with h5py.File(path, "w") as file:
        file.attrs["pixel_size_um"] = world.config.pixel_size_um
        file.attrs["axis_offset"] = world.config.axis_offset
        file.attrs["map_grid"] = (
            f"pixels of the first frame: magnification 1 at {world.microscope.reference_energy:g} eV, no drift"
        )
        file.attrs["volume_grid"] = "voxels of one pixel; z is the detector's row, the rotation axis the centre"
        file["map_time"] = map_times
        file["map_temperature"] = [temperature for temperature, _ in world_past]
        file["map_transformed"] = [world.particle.transformed(extent) for _, extent in world_past]
        for element in chosen({NICKEL.edge, *world.config.edges}):
            maps = [ray_half_jump(world.microscope, extent, element) for _, extent in world_past]
            stack = np.array(maps, dtype=np.float32).reshape(-1, *world.config.detector_shape)
            place = "" if element is NICKEL else f"edges/{element.edge.replace(' ', '_')}/"
            _compressed(file, f"{place}map_edge_energy", stack)
        if volume_time is not None:
            file["volume_time"] = volume_time
            file["volume_transformed"] = world.transformed(volume_time)
            _compressed(file, "volume_edge_energy", world.true_volume(volume_time))


def _compressed(file: h5py.File, name: str, data: NDArray[np.float32]) -> None:
    """A compressed dataset in eV."""
    file.create_dataset(name, data=data, compression="gzip", compression_opts=1, shuffle=True)
    file[name].attrs["units"] = "eV"
