"""One folder per beamline, each with a checked profile.toml."""
