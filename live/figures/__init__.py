"""Figures of a stored series, as in Mu et al., Nat. Commun. 9, 2810 (2018): one module each.

`overview` is Fig. 1, `propagation` 2, `solid` 3, `topography` 4, `region_view` 5; each makes a matplotlib Figure from
what `live.stored` reads. `rendering` draws surfaces with VTK, off-screen, for them to take in.
"""

from redoxscope.live.figures.draw import FIGURES, draw_series

__all__ = ["FIGURES", "draw_series"]
