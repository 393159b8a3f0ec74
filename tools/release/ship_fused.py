"""Write the description of a shipped model that fuses a shipped radar model and a shipped optical model.

    python tools/release/ship_fused.py s1s2 --sar s1-efficient --optical s2

Writes ``config.json`` below ``src/floodseg/models/weights/NAME``. The text of the model card beside it is written by
hand, its metadata and ``item.json`` by ``tools/release/describe_models.py``. The fused answer is the posterior of two
sensors with independent errors: the sum of the log-odds of both models, less the prior, which both contain.
``benchmarks/accuracy/fusion_weights.py`` compares it with other rules.
"""

import json
import math
from typing import Any

from cyclopts import App

from floodseg.app.exit_codes import run_and_exit
from floodseg.bands import SENSORS, Sensor
from floodseg.models.checkpoint.description import CONFIG_FILE, FORMAT, FORMAT_VERSION, MULTI_SENSOR, read_description
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.models.decision import Decision, Decisions
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.models.networks.spectral import RADIUS
from floodseg.system.files import write_text

app = App(help="Write the description of a shipped model that fuses two others.")


@app.default
def ship(
    name: str, *, sar: str, optical: str, sar_water_share: float = 0.110, optical_water_share: float = 0.303
) -> None:
    """Compute bias and thresholds from two shipped models.

    Parameters
    ----------
    name
        Name of the fused model.
    sar
        Name of the radar model.
    optical
        Name of the optical model, of the architecture spectral.
    sar_water_share
        Share of water in the labelled pixels of the validation split of the radar model.
    optical_water_share
        The same of the optical model.
    """
    names: dict[Sensor, str] = {"sar": sar, "optical": optical}
    parts = {sensor: read_description(WEIGHTS / part) for sensor, part in names.items()}
    prior = (_log_odds(sar_water_share) + _log_odds(optical_water_share)) / 2
    fusion = LogOddsFusion(1.0, 1.0, bias=round(-prior, 3), optical_margin=RADIUS)
    thresholds = {sensor: Decisions.from_json(parts[sensor]["decisions"]).of(sensor).threshold for sensor in SENSORS}
    both = (_log_odds(thresholds["sar"]) + _log_odds(thresholds["optical"])) / 2
    description: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "architecture": MULTI_SENSOR,
        "encoder": None,
        "parameters": sum(part["parameters"] for part in parts.values()),
        "bands": {
            "sar": parts["sar"]["bands"]["sar"],
            "optical": parts["optical"]["bands"]["optical"],
            "sar_unit": parts["sar"]["bands"]["sar_unit"],
            "optical_unit": parts["optical"]["bands"]["optical_unit"],
        },
        "parts": names,
        "fusion": fusion.to_json(),
        "decisions": Decisions(
            sar=Decision(thresholds["sar"]),
            optical=Decision(thresholds["optical"]),
            both=Decision(1 / (1 + math.exp(-both))),
        ).to_json(),
        "training": {
            "data": f"no data of its own: that of {sar} and {optical}",
            "licence": parts["sar"]["training"]["licence"],
        },
        "scores": {},
    }
    write_text(WEIGHTS / name / CONFIG_FILE, json.dumps(description, indent=2) + "\n")


def _log_odds(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)


if __name__ == "__main__":
    run_and_exit(app)
