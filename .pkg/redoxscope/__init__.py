"""redoxscope: live chemical imaging for X-ray microscopes."""

__version__ = "0.1.0"
