import os
from pathlib import Path

import pytest

# As the command line does, before numpy is imported: spinning threads slow a machine with few cores down.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets that are no part of the project."""
    folder = Path(os.environ.get("REDOXSCOPE_TEST_DATA") or Path(__file__).parents[1] / "../shared/data")
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}: set REDOXSCOPE_TEST_DATA")
    return folder
