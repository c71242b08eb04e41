"""Edge energies, fronts and surfaces from arrays: pure mathematics, no Bluesky, no files."""
