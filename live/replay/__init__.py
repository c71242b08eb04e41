"""Recorded experiments as the documents a beamline would have sent; formats are told by content, not by name."""

from redoxscope.live.replay.pace import paced
from redoxscope.live.replay.renew import renewed
from redoxscope.live.replay.source import Document, Source, open_source

__all__ = ["Document", "Source", "open_source", "paced", "renewed"]
