"""Documents and frames in, maps, volumes and surfaces out."""

from redoxscope.live.transport import Publisher
from redoxscope.live.watch import watch

__all__ = ["Publisher", "watch"]
