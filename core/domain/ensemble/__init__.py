"""The ensemble: LightGBM, XGBoost and a random forest, stacked; trained here, served by `forecast`.

Only this folder imports ML libraries, and only inside the functions that use them.
"""

from core.domain.ensemble.export import Artefact, export
from core.domain.ensemble.fit import Fitted, fit
from core.domain.ensemble.judge import Gate, Judgement, judge, verdict
from core.domain.ensemble.members import Training

__all__ = ["Artefact", "Fitted", "Gate", "Judgement", "Training", "export", "fit", "judge", "verdict"]
