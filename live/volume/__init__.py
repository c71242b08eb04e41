"""The analysis of a 3D scan: a process of its own that follows the scan's journals while it runs.

scan      which runs are one 3D scan, and when it is complete
process   the analysis as the monitor sees it
job       the analysis itself, from journals to volume and topography
gather    documents → normalised projections, energy by energy, in files
slices    three slices of the volume while the scan goes on
warm      all of it compiled beforehand, on a machine where it is new
slabs     the volume, slab by slab, on this machine's cores or a Dask cluster
"""
