"""Write the description of a shipped model that fuses a shipped radar model and a shipped optical model.

    python tools/release/ship_fused.py s1s2 --sar s1-efficient --optical s2

Writes ``config.json`` below ``src/floodseg/models/weights/NAME``; the model card beside it is written by hand. The
fused answer is the mean of the log-odds of both models (``benchmarks/accuracy/fusion_weights.py`` compares other
weights). A pixel at which both models are at their thresholds is at the threshold of the fused answer.
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
def ship(name: str, *, sar: str, optical: str) -> None:
    """Compute the thresholds from those of two shipped models.

    Parameters
    ----------
    name
        Name of the fused model.
    sar
        Name of the radar model.
    optical
        Name of the optical model, of the architecture spectral.
    """
    names: dict[Sensor, str] = {"sar": sar, "optical": optical}
    parts = {sensor: read_description(WEIGHTS / part) for sensor, part in names.items()}
    fusion = LogOddsFusion(0.5, 0.5, bias=0.0, optical_margin=RADIUS)
    thresholds = {sensor: Decisions.from_json(parts[sensor]["decisions"]).of(sensor).threshold for sensor in SENSORS}
    log_odds = {sensor: math.log(value / (1 - value)) for sensor, value in thresholds.items()}
    both = fusion.sar_weight * log_odds["sar"] + fusion.optical_weight * log_odds["optical"] + fusion.bias
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


if __name__ == "__main__":
    run_and_exit(app)
