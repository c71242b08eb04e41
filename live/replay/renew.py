"""Replaying a run into a store that has it already: it comes in as another run of another series."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import uuid4

Document = tuple[str, dict[str, Any]]


def renewed(
    documents: Iterable[Document], is_stored: Callable[[str], bool], series_keys: Iterable[str]
) -> Iterator[Document]:
    """The documents, with a new start uid and series for every run that is stored whole.

    `is_stored` says so of a start uid. The old uid stays in the start document as `replayed_from`. All runs renewed in
    one go that were of one series are of one series again.
    """
    keys = tuple(series_keys)
    suffix = f"-again-{uuid4().hex[:6]}"
    new: dict[str, str] = {}
    for name, doc in documents:
        if name == "start" and is_stored(str(doc["uid"])):
            new[str(doc["uid"])] = str(uuid4())
            key = next((key for key in keys if doc.get(key) not in (None, "")), keys[0])
            series = {key: f"{doc.get(key) or doc['uid']}{suffix}"}
            yield name, {**doc, **series, "uid": new[str(doc["uid"])], "replayed_from": doc["uid"]}
        elif str(doc.get("run_start")) in new:
            yield name, {**doc, "run_start": new[str(doc["run_start"])]}
        else:
            yield name, doc
