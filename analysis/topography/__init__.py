"""The front in a volume: its surfaces, their curvature, and what is counted on them.

report            all of it in one call
front_surfaces    surfaces with their curvature and its standard error
surface · ends · specks    meshes, up to the border, without what noise makes
curvature · window_choice    curvature from derivatives; the window that suits each place
smooth_field · scale_space · border · noise    the field smoothed and continued; how noisy it is
front_statistics · shape_statistics · bootstrap    what is counted, and its intervals
domains · level_tree · critical_points · rays      nuclei, islands and necks
particles · particle_table    particles told apart, and each one's numbers
alternation · region    the paper's readings; a box
solid_front · volume_shift    speed between two volumes, which stand on each other
"""
