"""The ensemble: LightGBM, XGBoost and a random forest, stacked, averaged or alone; trained here, served by `forecast`.

Only this folder imports ML libraries, and only inside the functions that use them.
"""

from core.domain.ensemble.export import Artefact, export
from core.domain.ensemble.fit import Fitted, even, fit, weigh
from core.domain.ensemble.judge import Gate, Judgement, judge, verdict
from core.domain.ensemble.members import Training

__all__ = ["Artefact", "Fitted", "Gate", "Judgement", "Training", "even", "export", "fit", "judge", "verdict", "weigh"]
