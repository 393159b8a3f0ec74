"""Fine-tuning: training that starts from the weights of a trained model."""

from dataclasses import replace

from floodseg.bands import SENSORS, bands_fit
from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError, RunFolderError
from floodseg.models.checkpoint.zoo import load_model
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.specialists.multi_sensor import specialists_of
from floodseg.training.lineage import NamedModel, check_event
from floodseg.training.run_folder import RunFolder, RunMode


def with_context_prior(config: TrainConfig, mode: RunMode) -> TrainConfig:
    """Return the settings with the strength of the context prior filled in.

    Without a setting it is that of the model to start from, which a resumed run has written down, else 0.

    Raises:
        FloodsegError: the model to start from, or the settings of the run to resume, cannot be read.
    """
    strength, start = config.model.context_prior, config.model.start_from
    if strength is None:
        strength = 0.0 if start is None else _inherited(RunFolder(config.out_dir), start, mode)
    return replace(config, model=replace(config.model, context_prior=strength))


def _inherited(folder: RunFolder, start: str, mode: RunMode) -> float:
    if mode != "resume" or not folder.config.exists():
        prior = load_model(start).context_prior
        return prior.strength if prior else 0.0
    strength = folder.settings()["context_prior"]
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise RunFolderError(
            f"{folder.config}: is damaged (context_prior is {strength!r}, which must be a number); start again with "
            "`overwrite`"
        )
    return float(strength)


def open_start(config: TrainConfig) -> NamedModel | None:
    """Return the model that a run starts from; None where it starts from scratch or from encoder weights.

    Raises:
        ConfigError: the model holds specialists, or may have been trained on the event that is held out.
        CheckpointError: there is no such model, or it cannot be read.
    """
    name = config.model.start_from
    if name is None:
        return None
    model = load_model(name)
    check_event("start-from", name, model, config.data.hold_out_event)
    if specialists_of(model):
        raise ConfigError(
            f"`start_from={name}`: holds specialists, which are not trained further; start from a model without them, "
            "and give the result as `specialists`"
        )
    return name, model


def copy_weights(model: FloodModel, name: str, start: FloodModel) -> None:
    """Give a new model the weights and the normalisation of a trained one.

    Raises:
        ConfigError: they differ in architecture, encoder, bands or units.
    """
    same_network = (start.spec.architecture, start.spec.encoder) == (model.spec.architecture, model.spec.encoder)
    if not same_network or not all(bands_fit(start.spec.bands, model.spec.bands, each, exact=True) for each in SENSORS):
        raise ConfigError(
            f"`start_from={name}`: is {_description(start.spec)}, and this run trains {_description(model.spec)}; give "
            "`model`, `encoder`, `sensors` and `optical_bands` as it has them, and chips in its units"
        )
    model.load_state_dict(start.state_dict())


def _description(spec: ModelSpec) -> str:
    encoder = f" with {spec.encoder}" if spec.encoder else ""
    return f"{spec.architecture}{encoder} of {spec.bands}"
