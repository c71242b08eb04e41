"""Scans with known contents, for the tests of what is stored of them."""

import numpy as np

from redoxscope.analysis.alignment.gauge import Alignment
from redoxscope.analysis.topography.alternation import READINGS, Alternation
from redoxscope.analysis.topography.domains import Domains, Necks, Regions
from redoxscope.analysis.topography.particle_table import ParticleTable
from redoxscope.analysis.topography.report import FrontSurface, Topography
from redoxscope.analysis.topography.shape_statistics import ShapeStatistics
from redoxscope.analysis.volume.evaluate import EdgeVolume
from redoxscope.live.series_parts import EdgeRecord, FrameCount, ScanRecord, SeriesFacts

ENERGIES = np.linspace(8200.0, 8450.0, 11)
FACTS = SeriesFacts(
    series="heating",
    created=1000.0,
    raw_uids=("uid-0", "uid-1"),
    profile={"name": "simulated", "edge": {"nominal": 8333.0}},
    source="tcp://127.0.0.1:5577",
    versions={"redoxscope": "0.1.0"},
    frames=FrameCount(22, 20, 1, 1),
)


def scan(number, shape=(12, 16), uid=None, energies=ENERGIES):
    rng = np.random.default_rng(number)
    energy = rng.normal(8341, 1, shape).astype("f4")
    energy[0] = np.nan
    return ScanRecord(
        raw_uid=uid or f"uid-{number}",
        frames=FrameCount(len(energies), len(energies) - 2, 1, 1),
        edge_energy=energy,
        edge_energy_sigma=rng.random(shape, dtype="f4"),
        edge_jump=rng.random(shape, dtype="f4"),
        state=rng.integers(0, 3, shape),
        front=rng.random(shape) > 0.5,
        front_probability=rng.random(shape, dtype="f4"),
        histogram=rng.random(20),
        histogram_edges=np.linspace(8338, 8344, 21),
        transformed_fraction=0.1 * number,
        time=1.7e9 + 60 * number,
        temperature=float("nan") if number == 1 else 231.0,
        energy=energies,
        shift=rng.random((len(energies), 2)),
        magnification=1 + 0.001 * np.arange(len(energies)),
        shift_quality=rng.random(len(energies)),
    )


def edge(number, name, shape=(12, 16)):
    made = scan(100 + number, shape)
    return EdgeRecord(name, 6547.0, made.edge_energy - 1800, made.edge_energy_sigma, made.edge_jump, made.state)


def volume(shape=(10, 11, 12)):
    field = np.random.default_rng(7).normal(8341, 1, shape).astype("f4")
    return volume_of(field)


def volume_of(field):
    still = Alignment(np.zeros((11, 5, 2)), np.ones((11, 5)), np.zeros((11, 2)), np.zeros((11, 2)), 0.25, 0.9)
    return EdgeVolume(field, field * 0 + 0.2, field * 0 + 1, 0.5, 6, still)


def topography():
    vertices = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0.0]])
    values = np.array([0.5, -0.5, 0.25])
    surfaces = (
        FrontSurface(8340.0, vertices, np.array([[0, 1, 2]]), values, values**2, values**2, values > 0, *[values] * 6),
        FrontSurface(
            8341.0,
            np.empty((0, 3)),
            np.empty((0, 3), dtype=int),
            *[np.empty(0)] * 3,
            np.empty(0, dtype=bool),
            *[np.empty(0)] * 6,
        ),
    )
    per_level = {
        "area": np.array([0.5, 0.0]),
        "positive": np.array([0.6, np.nan]),
        "negative": np.array([0.4, np.nan]),
        "positive_interval": np.array([[0.5, 0.7], [np.nan, np.nan]]),
        "negative_interval": np.array([[0.3, 0.5], [np.nan, np.nan]]),
        "components": np.array([1, 0]),
        "euler": np.array([1, 0]),
        "euler_from_curvature": np.array([0.9, 0]),
        "curvature_histogram": np.array([[0.4, 0.6], [0, 0]]),
        "gaussian_histogram": np.array([[0.2, 0.3, 0.5], [0, 0, 0]]),
        "shape_distribution": np.stack([np.full((4, 4), 1 / 16), np.zeros((4, 4))]),
        "curvature_edges": np.linspace(-1, 1, 3),
        "gaussian_edges": np.linspace(-1, 1, 4),
        "shape_edges": np.linspace(-1, 1, 5),
    }
    one, infinite = np.ones((1, 3)), np.array([np.inf])
    necks = Necks(one, np.array([8340.5]), one, np.array([[np.nan, 0.3]]), np.array([0.3]))
    domains = Domains(
        Regions(one, np.array([8339.0]), infinite), Regions(one, np.array([8342.0]), -infinite), necks, 0.1
    )
    counts = np.ones((1, 2), dtype=int)
    label = np.ones((10, 11, 12), dtype=np.int32)
    particles = ParticleTable(
        label, np.ones(1), one, np.array([[0.1, 0.9]]), counts, counts, counts, (ShapeStatistics(**per_level),)
    )
    shares = np.tile([0.5, np.nan], (len(READINGS), 1))
    changes = np.full((len(READINGS), 2), np.nan)
    return Topography(
        **per_level,
        iso_energy=np.array([8340.0, 8341.0]),
        surfaces=surfaces,
        domains=domains,
        particles=particles,
        alternation=Alternation(
            READINGS, shares, 1 - shares, np.array([0.0, np.nan]), np.full(3, np.nan), changes, changes
        ),
    )
