"""Arrays that a killed Tiled server left on the disk without an entry in its catalogue."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from redoxscope.live.frames import path_of_uri


def remove_leftovers(folder: Path) -> None:
    """Remove arrays below `folder`/data that `folder`/catalog.db does not name; to be done while no server runs.

    Tiled makes the files of an array before it enters them and deletes them after it has struck them out. Killed in
    between, it leaves files in whose place it would never write an array again. What they held is written again
    from the journal. Raises nothing: what cannot be read is left alone.
    """
    found = [path.parent for path in sorted((folder / "data").glob("**/zarr.json"))]
    if not found:
        return
    try:
        with closing(sqlite3.connect(f"{(folder / 'catalog.db').as_uri()}?mode=ro", uri=True)) as catalogue:
            named = [path_of_uri(uri).parts for (uri,) in catalogue.execute("SELECT data_uri FROM assets")]
    except sqlite3.Error:
        return
    # By their ends, so that a folder that was moved as a whole loses nothing.
    ends = {parts[n:] for parts in named for n in range(len(parts))}
    for path in found:
        if path.relative_to(folder / "data").parts not in ends:
            shutil.rmtree(path, ignore_errors=True)
