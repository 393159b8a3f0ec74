"""Write the description of a shipped model that fuses a shipped radar model and a shipped optical model.

    R=benchmarks/results
    python -m benchmarks.accuracy.fusion_weights worth s1-efficient --data DIR --json $R/worth-s1-efficient.json
    python -m benchmarks.accuracy.fusion_weights worth s2 --data CHIPS/all --layout folders --json $R/worth-s2.json
    python tools/release/ship_fused.py s1s2 --sar s1-efficient --optical s2

Writes ``config.json`` below ``src/floodseg/models/weights/NAME``; the model card beside it is written by hand. The
log-odds of each model have its worth as weight, in shares of their sum. A pixel at which both models are at their
thresholds is at the threshold of the fused answer.
"""

import json
import math
from pathlib import Path
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
def ship(name: str, *, sar: str, optical: str, results: Path = Path("benchmarks/results")) -> None:
    """Compute weights and thresholds from the worth and the thresholds of two shipped models.

    Parameters
    ----------
    name
        Name of the fused model.
    sar
        Name of the radar model.
    optical
        Name of the optical model, of the architecture spectral.
    results
        Folder with the results of ``fusion_weights worth`` of both models.
    """
    names: dict[Sensor, str] = {"sar": sar, "optical": optical}
    parts = {sensor: read_description(WEIGHTS / part) for sensor, part in names.items()}
    worth = {
        sensor: json.loads((results / f"worth-{part}.json").read_text(encoding="utf-8"))["worth"]
        for sensor, part in names.items()
    }
    share = round(worth["sar"] / sum(worth.values()), 3)
    fusion = LogOddsFusion(share, round(1 - share, 3), bias=0.0, optical_margin=RADIUS)
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
            "data": f"no data of its own: that of {sar} and {optical}, and their validation splits for the weights",
            "licence": parts["sar"]["training"]["licence"],
        },
        "scores": {},
    }
    write_text(WEIGHTS / name / CONFIG_FILE, json.dumps(description, indent=2) + "\n")


if __name__ == "__main__":
    run_and_exit(app)
