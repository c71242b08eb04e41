"""Documents and frames in, maps, volumes and surfaces out."""
