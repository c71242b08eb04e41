"""The plan of a volume as a file, for the processes that make its slabs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from redoxscope.analysis.alignment.gauge import Alignment
from redoxscope.analysis.tomography.recipe import Recipe
from redoxscope.analysis.volume.knots import Unmixing
from redoxscope.analysis.volume.plan import EdgePlan, VolumePlan
from redoxscope.analysis.xanes import Edge
from redoxscope.live.atomic import replacing

_ARRAYS = ("energies", "angles", "scales")
_ALIGNMENT = ("shifts", "quality", "drift", "jitter")
_UNMIXING = ("mixing", "shifts", "sound")


def save_plan(path: Path, plan: VolumePlan) -> None:
    """Write a plan: numbers and text only."""
    arrays = {name: getattr(plan, name) for name in _ARRAYS}
    arrays |= {name: getattr(plan.alignment, name) for name in _ALIGNMENT}
    facts: dict[str, Any] = {name: getattr(plan.alignment, name) for name in ("axis_offset", "axis_quality")}
    facts |= {"recipe": asdict(plan.recipe), "findings": plan.findings}
    edges = []
    for i, edge in enumerate(plan.edges):
        arrays |= {f"used_{i}": edge.used, f"basis_{i}": edge.basis, f"covariance_{i}": edge.covariance}
        if edge.unmixing is not None:
            arrays |= {f"unmixing_{name}_{i}": getattr(edge.unmixing, name) for name in _UNMIXING}
        edges.append({"edge": asdict(edge.edge), "threshold": edge.threshold})
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts | {"edges": edges})), **arrays)


def load_plan(path: Path) -> VolumePlan:
    """Read a plan. Raises OSError, KeyError or ValueError if the file is none."""
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        edges = tuple(
            EdgePlan(
                _edge(known["edge"]),
                file[f"used_{i}"],
                file[f"basis_{i}"],
                known["threshold"],
                file[f"covariance_{i}"],
                Unmixing(**{name: file[f"unmixing_{name}_{i}"] for name in _UNMIXING})
                if f"unmixing_mixing_{i}" in file
                else None,
            )
            for i, known in enumerate(facts.pop("edges"))
        )
        recipe, findings = Recipe(**facts.pop("recipe")), tuple(facts.pop("findings"))
        alignment = Alignment(**{name: file[name] for name in _ALIGNMENT}, **facts)
        arrays = {name: file[name] for name in _ARRAYS}
        return VolumePlan(**arrays, alignment=alignment, recipe=recipe, edges=edges, findings=findings)


def _edge(known: dict[str, Any]) -> Edge:
    """JSON knows no tuples."""
    values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    return Edge(**values)
