"""Real frames of SSRL 6-2C below and above the nickel edge: no truth is known, but the measurements must agree."""

import numpy as np
import pytest

from redoxscope.analysis.absorbance import absorbance, transmission
from redoxscope.analysis.registration import Registration

olefile = pytest.importorskip("olefile", reason="reads the microscope's .xrm files")

LOW, HIGH = 8324.0, 8354.0
EXPOSURE_RATIO = 0.3 / 0.5  # of the references over that of the sample
# A zone plate's focal length grows in proportion to the energy and it is moved along: the image gets smaller.
SCALE = LOW / HIGH


def read(path):
    with olefile.OleFileIO(path) as file:
        height, width, kind = (
            int.from_bytes(file.openstream(f"ImageInfo/{key}").read(4), "little")
            for key in ("ImageHeight", "ImageWidth", "DataType")
        )
        assert kind == 5, "unsigned, 16 bit"
        return np.frombuffer(file.openstream("ImageData1/Image1").read(), dtype="<u2").reshape(height, width)


@pytest.fixture(scope="module")
def exposures(shared_data):
    """{energy: absorbance of each of the three exposures}"""
    folder = shared_data / "ssrl_6-2c"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    out = {}
    for energy in (LOW, HIGH):
        flats = sorted(folder.glob(f"rep01_*_ref_*_{energy:07.1f}_eV_*of010.xrm"))
        samples = sorted(folder.glob(f"rep01_*_{energy:07.1f}_eV_*of003.xrm"))
        assert (len(flats), len(samples)) == (10, 3)
        flat = np.mean([read(path) for path in flats], axis=0)
        out[energy] = [absorbance(transmission(read(path), flat, exposure_ratio=EXPOSURE_RATIO)) for path in samples]
    return out


def placed(reference, frame, scale=SCALE):
    registration = Registration()
    registration.place(0, reference, 1.0)
    return registration.place(1, frame, scale)


def test_the_exposures_agree_across_the_edge(exposures):
    pairs = [[placed(low, high) for high in exposures[HIGH]] for low in exposures[LOW]]
    assert all(p.valid for row in pairs for p in row)
    shift = np.array([[p.shift for p in row] for row in pairs])
    assert np.abs(shift - np.median(shift, axis=(0, 1))).max() < 1, "drift between exposures of half a second"
    assert 5 < np.linalg.norm(shift, axis=2).mean() < 40, "the microscope moved its zone plate"
    # Nine shifts between three positions and three others: what is left over is error.
    own = shift.mean(axis=1, keepdims=True) + shift.mean(axis=0, keepdims=True) - shift.mean(axis=(0, 1))
    assert np.abs(shift - own).max() < 0.2
    # The drift of the exposures at one energy, measured directly and through the other energy.
    for k in (1, 2):
        direct = np.array(placed(exposures[LOW][0], exposures[LOW][k], 1.0).shift)
        assert np.abs(direct - (shift[0] - shift[k]).mean(axis=0)).max() < 0.2


def test_the_image_gets_smaller_with_energy(exposures):
    quality = [placed(exposures[LOW][0], exposures[HIGH][0], scale).quality for scale in (SCALE, 1.0, 1 / SCALE)]
    assert quality[0] > quality[1] > quality[2]
