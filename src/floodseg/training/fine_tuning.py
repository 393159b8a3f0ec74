"""Fine-tuning: training from the weights of a trained model."""

from dataclasses import replace

from floodseg.bands import SENSORS, bands_fit
from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError, RunFolderError
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.training.lineage import NamedModel, check_event, load_plain_model
from floodseg.training.run_folder import RunFolder, RunMode


def with_context_prior(config: TrainConfig, mode: RunMode) -> TrainConfig:
    """Return the settings with the strength of the context prior filled in.

    The default is the strength of the model to start from, or 0 without one. A resumed run reads it from its folder.

    Raises:
        FloodsegError: the model to start from, or the settings of the run to resume, cannot be read.
    """
    strength, start = config.model.context_prior, config.model.start_from
    if strength is None:
        strength = 0.0 if start is None else _default_strength(RunFolder(config.out_dir), start, mode)
    return replace(config, model=replace(config.model, context_prior=strength))


def _default_strength(folder: RunFolder, start: str, mode: RunMode) -> float:
    if mode != "resume" or not folder.config.exists():
        prior = load_plain_model("start_from", start).context_prior
        return prior.strength if prior else 0.0
    strength = folder.settings()["context_prior"]
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise RunFolderError(
            f"{folder.config}: is damaged (context_prior is {strength!r}, which must be a number); start again with "
            "`overwrite`"
        )
    return float(strength)


def load_start(config: TrainConfig) -> NamedModel | None:
    """Return the model that a run starts from; None if it starts from scratch or from encoder weights.

    Raises:
        ConfigError: it is a multi-sensor model, or may have been trained on the event that is held out.
        CheckpointError: the model does not exist or cannot be read.
    """
    name = config.model.start_from
    if name is None:
        return None
    model = load_plain_model("start_from", name)
    check_event("start_from", name, model, config.data.hold_out_event)
    return name, model


def copy_weights(model: FloodModel, name: str, start: FloodModel) -> None:
    """Copy weights and normalisation of a trained model into a new one.

    Raises:
        ConfigError: the models differ in architecture, encoder, bands or units.
    """
    same_network = (start.spec.architecture, start.spec.encoder) == (model.spec.architecture, model.spec.encoder)
    if not same_network or not all(bands_fit(start.spec.bands, model.spec.bands, each, exact=True) for each in SENSORS):
        raise ConfigError(
            f"`start_from={name}`: is {_description(start.spec)}, but this run trains {_description(model.spec)}; set "
            "the same `model`, `encoder`, `sensors` and `optical_bands`, and use chips in the same units"
        )
    model.load_state_dict(start.state_dict())


def _description(spec: ModelSpec) -> str:
    encoder = f" with {spec.encoder}" if spec.encoder else ""
    return f"{spec.architecture}{encoder} of {spec.bands}"
