"""Our results as Bluesky documents that anybody's callback can follow."""

from urllib.parse import unquote, urlparse

import h5py
import numpy as np
from event_model import DocumentNames, schema_validators

from redoxscope.live.series_folder import list_series

from .experiments import Experiment


def test_every_document_is_valid(heated):
    for name, doc in heated[2]:
        schema_validators[DocumentNames[name]].validate(doc)


def test_one_run_per_series_with_an_event_per_result(heating: Experiment, heated):
    documents = heated[2]
    names = [name for name, _ in documents]
    assert (names[0], names[-1], names.count("start"), names.count("stop")) == ("start", "stop", 1, 1)
    start, stop = documents[0][1], documents[-1][1]
    assert stop["num_events"] == {"scan": 5, "volume": 1}
    assert start["series"] == heating.runs[0][0][1]["series"]
    streams = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    scans = [doc for name, doc in documents if name == "event" and streams[doc["descriptor"]] == "scan"]
    assert [doc["seq_num"] for doc in scans] == [1, 2, 3, 4, 5]
    assert [doc["data"]["raw_uid"] for doc in scans] == [run[0][1]["uid"] for run in heating.scans]
    fractions = [doc["data"]["transformed_fraction"] for doc in scans]
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.2 < 0.8 < fractions[-1]


def test_stream_resources_lead_to_the_maps(heated):
    data, _, documents = heated
    (folder,) = list_series(data)
    resources = {doc["uid"]: doc for name, doc in documents if name == "stream_resource"}
    assert {doc["data_key"] for doc in resources.values()} >= {"edge_energy", "edge_energy_sigma", "state", "front"}
    seen = 0
    for name, doc in documents:
        if name != "stream_datum":
            continue
        resource = resources[doc["stream_resource"]]
        with h5py.File(unquote(urlparse(resource["uri"]).path)) as file:
            values = file[resource["parameters"]["dataset"]][doc["indices"]["start"] : doc["indices"]["stop"]]
        wanted = getattr(folder.scan(doc["seq_nums"]["start"] - 1), resource["data_key"])
        assert values.shape[0] == 1
        assert np.array_equal(values[0], wanted, equal_nan=values.dtype.kind == "f")
        seen += 1
    assert seen == 5 * len(resources)
