"""From 3D XANES projections to the edge energy of every voxel.

plan       what is found on all projections first: alignment, spectra, noise
evaluate   the volume, slab by slab
folding    projections folded into a few spectra
voxels     edge energies from coefficients
findings   what a person should know of the scan
"""
