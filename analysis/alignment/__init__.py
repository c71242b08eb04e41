"""Where every projection of a 3D XANES scan stands, and the rotation axis.

drift          the tracker: energies placed as they come, and all of them once more at the end
projections    the same in one call
gauge          the convention in which shifts are given
mass_centre · frame_shifts · reprojection    the three sources of shifts
coarse_frames  projections made small to be compared
rotation_axis · geometry    the axis; whether angles and magnification are what they are said to be
row_warp       shifts and magnification undone
"""
