"""Documents from the RunEngine's process to the monitor's over 0MQ, none lost whichever of them stops or dies.

Why not `bluesky.callbacks.zmq`: PUB/SUB drops silently at the high-water mark and before the subscriber is
ready, and its default serialiser is pickle. Here the publisher keeps every document in a spool file until the
monitor says that it has written it down.

The wire: publisher (DEALER, connects) and receiver (ROUTER, binds) speak in small multipart messages.

    publisher → receiver   b"rs1" b"P" token base ping       where shall I go on? `base`: first not acknowledged
                           b"rs1" b"D" token number document
    receiver → publisher   b"rs1" b"A" token done next ping  all below `done` is written, I expect `next`

A connection keeps the order, so the answer to a ping accounts for everything sent before it: what it does not
cover is sent again. No correctness rests on a timer; a timer only decides when to ask. A receiver that was
restarted knows nothing: it may be sent again what its predecessor had written but not yet acknowledged.
"""

from redoxscope.live.transport.address import DEFAULT_ADDRESS, make_key
from redoxscope.live.transport.publisher import Publisher
from redoxscope.live.transport.receiver import Receiver

__all__ = ["DEFAULT_ADDRESS", "Publisher", "Receiver", "make_key"]
