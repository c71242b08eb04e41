"""From sinograms to slices, many at a time.

reconstruction   filtered backprojection, and its plan for one geometry
slice_transform  the transform behind it, by our gridding or by finufft; by_astra, the same by ASTRA, optional
gridding · strips · footprints  our non-uniform FFT of four complex images at once
line_spectra · fourier · lanes  the transforms along lines that it rests on, in vectors of 16
angles · filtering    what angles count for; filters by name
cross_sections   three planes without the volume
iterative        SIRT and TV, for few angles and missing wedges
stripes          rings taken out by algotom
recipe           which of these, as a profile says
"""
