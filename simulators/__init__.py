"""A simulated beamline: one world model behind ophyd devices, and the plans that run on it."""
