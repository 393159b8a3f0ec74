"""Training that starts from the weights of a trained model: fine-tuning on chips of one's own."""

from dataclasses import replace

from floodseg.bands import SENSORS, bands_fit
from floodseg.config.train import TrainConfig
from floodseg.errors import ConfigError, RunFolderError
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.specialists.multi_sensor import specialists_of
from floodseg.training.lineage import FindModel, check_event
from floodseg.training.run_folder import RunFolder


def with_context_prior(config: TrainConfig, find_model: FindModel, resume: bool) -> TrainConfig:
    """Return the settings with the strength of the context prior that the run has.

    It is the given one, else that of the model to start from, which a run that is gone on with has taken over, else 0.

    Raises:
        FloodsegError: the model to start from cannot be read, or the settings of the run.
    """
    strength, name = config.model.context_prior, config.model.start_from
    if strength is None:
        strength = 0.0 if name is None else _taken_over(RunFolder(config.out_dir), name, find_model, resume)
    return replace(config, model=replace(config.model, context_prior=strength))


def _taken_over(folder: RunFolder, name: str, find_model: FindModel, resume: bool) -> float:
    if not resume or not folder.config.exists():
        prior = find_model(name).context_prior
        return prior.strength if prior else 0.0
    strength = folder.settings()["context_prior"]
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise RunFolderError(
            f"{folder.config}: is damaged (context_prior is {strength!r}, which must be a number); start anew with "
            "--overwrite"
        )
    return float(strength)


def open_start(config: TrainConfig, find_model: FindModel) -> tuple[str, FloodModel] | None:
    """Return the model that a run starts from, with its name; None where it starts anew.

    Raises:
        ConfigError: it holds specialists, or may know the event which is held out.
        CheckpointError: there is no such model, or it cannot be read.
    """
    name = config.model.start_from
    if name is None:
        return None
    model = find_model(name)
    check_event("start-from", name, model, config.data.hold_out_event)
    if specialists_of(model):
        raise ConfigError(
            f"--start-from {name}: holds specialists, which are not trained further; start from a model without them, "
            "and give what comes of it as --specialists"
        )
    return name, model


def start_from(model: FloodModel, name: str, start: FloodModel) -> None:
    """Give a new model the weights of a trained one, and its normalisation, without which they mean nothing.

    Raises:
        ConfigError: they differ in architecture, encoder, bands or units.
    """
    same_network = (start.spec.architecture, start.spec.encoder) == (model.spec.architecture, model.spec.encoder)
    if not same_network or not all(bands_fit(start.spec.bands, model.spec.bands, each, exact=True) for each in SENSORS):
        raise ConfigError(
            f"--start-from {name}: is {_described(start.spec)}, and this run trains {_described(model.spec)}; give "
            "--model, --encoder, --sensors and --optical-bands as it has them, and chips in its units"
        )
    model.load_state_dict(start.state_dict())


def _described(spec: ModelSpec) -> str:
    encoder = f" with {spec.encoder}" if spec.encoder else ""
    return f"{spec.architecture}{encoder} of {spec.bands}"
