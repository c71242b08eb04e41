"""3D XANES scans of a ball with a core of another phase, as documents with the frames inside; its truth is known."""

import uuid
from dataclasses import dataclass, field

import numpy as np

PRE, NEAR, POST = np.arange(8200.0, 8311, 27.5), np.arange(8332.0, 8351.0), np.arange(8380.0, 8451, 17.5)
ENERGIES = np.concatenate([PRE, NEAR, POST])
ANGLES = np.arange(0.0, 180, 5)
SHELL, CORE = 8341.8, 8339.4
SHAPE = (36, 48)
AXIS = 1.6
COUNTS = 20000.0


def spectrum(energies, at, offset=0.0):
    """Pre-edge of 0.3 and a step of 1 at `at` + `offset` eV."""
    return 0.3 + 1 / (1 + np.exp(-np.clip((np.asarray(energies) - at - offset) / 0.8, -50, 50)))


@dataclass
class Ball:
    """Where it is and how large, px of the first energy; its core sits at a third of its radius."""

    radius: float = 12.0
    core: float = 6.0
    place: tuple[float, float, float] = (0.0, 3.0, -2.0)
    shape: tuple[int, int] = SHAPE
    angles: np.ndarray = field(default_factory=lambda: ANGLES)
    density: float = 0.04

    @property
    def core_place(self):
        z, y, x = self.place
        return z, y - self.radius / 3, x

    def chords(self, angle, place, radius, scale=1.0, shift=(0.0, 0.0)):
        """(row, col) path through a ball, px of the first energy; the picture is magnified about the frame's centre."""
        rows, cols = self.shape
        sub = np.array([-0.25, 0.25])
        v = ((np.arange(rows)[:, None] + sub).ravel() - (rows - 1) / 2 - shift[0]) / scale
        u = ((np.arange(cols)[:, None] + sub).ravel() - (cols - 1) / 2 - shift[1]) / scale - AXIS
        z, y, x = place
        across = u - x * np.cos(np.deg2rad(angle)) - y * np.sin(np.deg2rad(angle))
        fine = 2 * np.sqrt(np.maximum(radius**2 - (v[:, None] - z) ** 2 - across**2, 0))
        return fine.reshape(rows, 2, cols, 2).mean(axis=(1, 3))

    def absorbance(self, angle, shell, core, scale=1.0, shift=(0.0, 0.0)):
        """(row, col), from the absorption of the two phases."""
        whole = self.chords(angle, self.place, self.radius, scale, shift)
        inner = self.chords(angle, self.core_place, self.core, scale, shift)
        return self.density * (shell * (whole - inner) + core * inner)

    def inside(self, margin=2.0):
        """(z, y, x) core and shell of the volume, `margin` voxels from any border."""
        rows, cols = self.shape
        z, y, x = (np.arange(n) - (n - 1) / 2 for n in (rows, cols, cols))

        def away(place):
            return np.sqrt((z[:, None, None] - place[0]) ** 2 + (y[:, None] - place[1]) ** 2 + (x - place[2]) ** 2)

        whole, inner = away(self.place), away(self.core_place)
        return inner < self.core - margin, (whole < self.radius - margin) & (inner > self.core + margin)


def frames_of(ball, energies=ENERGIES, *, shifts=None, scales=None, spectra=None, seed=0):
    """(energy, angle, picture) of the sample; shifts (energy, angle, 2) px; spectra: of shell and core."""
    rng = np.random.default_rng(seed)
    shells, cores = spectra or (spectrum(energies, SHELL), spectrum(energies, CORE))
    for i, energy in enumerate(energies):
        for j, angle in enumerate(ball.angles):
            shift = (0.0, 0.0) if shifts is None else shifts[i, j]
            scale = 1.0 if scales is None else scales[i]
            picture = COUNTS * np.exp(-ball.absorbance(angle, shells[i], cores[i], scale, shift))
            yield float(energy), float(angle), rng.poisson(picture).astype(np.uint16)


def scan_documents(frames, energies=ENERGIES, *, flats=None, series="ball", plan="xanes_3d", shape=SHAPE):
    """One run: the frames as given, and after each energy its flat, of another shape if `flats` says so by energy."""
    uid = str(uuid.uuid4())
    now = iter(np.arange(1.7e9, 1.8e9))
    yield "start", {"uid": uid, "time": float(next(now)), "plan_name": plan, "energies": [float(e) for e in energies],
                    "series": series, "pixel_size_um": 0.1, "scan_id": 1}  # fmt: skip
    keys = {"camera_image": {"source": "x", "dtype": "array", "shape": list(shape)}}
    keys |= {name: {"source": "x", "dtype": "number", "shape": []} for name in ("mono_energy", "rotation_angle")}
    streams = {name: str(uuid.uuid4()) for name in ("primary", "flat")}
    counts = dict.fromkeys(streams, 0)
    for name, descriptor in streams.items():
        yield "descriptor", {"uid": descriptor, "run_start": uid, "name": name, "time": float(next(now)),
                             "data_keys": keys, "configuration": {}, "hints": {}, "object_keys": {}}  # fmt: skip

    def event(stream, **data):
        counts[stream] += 1
        moment = float(next(now))
        values = {key: value for key, value in data.items() if value is not None}
        return "event", {"uid": str(uuid.uuid4()), "descriptor": streams[stream], "seq_num": counts[stream],
                         "time": moment, "data": values, "timestamps": {}, "filled": {}}  # fmt: skip

    last = None
    for energy, angle, picture in [*frames, (None, None, None)]:
        if last is not None and energy != last:
            size = (flats or {}).get(last, shape)
            flat = np.full(size, COUNTS, dtype=np.uint16)
            yield event("flat", camera_image=flat, mono_energy=last, rotation_angle=0.0)
        if energy is not None:
            yield event("primary", camera_image=picture, mono_energy=energy, rotation_angle=angle)
        last = energy
    yield "stop", {"uid": str(uuid.uuid4()), "run_start": uid, "time": float(next(now)), "num_events": counts,
                   "exit_status": "success", "reason": ""}  # fmt: skip
