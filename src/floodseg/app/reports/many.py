"""Terminal report of a run over many scenes."""

from rich.console import Console

from floodseg.app.flags import as_flags
from floodseg.cluster.many import ManyReport
from floodseg.errors import ScenesFailedError


def print_many(report: ManyReport) -> None:
    """Print the number of scenes, throughput, overview files, and failed scenes with their reasons.

    Raises:
        ScenesFailedError: some scenes failed.
    """
    console, errors = Console(highlight=False, markup=False), Console(stderr=True, highlight=False, markup=False)
    speed = f" ({report.megapixels / report.seconds:.2f} megapixels/s)" if report.mapped else ""
    console.print(
        f"{report.mapped} scenes mapped in {report.seconds:.0f} s{speed}; {report.already_finished} were already "
        "finished"
    )
    for sentence in report.left_out:
        console.print(as_flags(sentence), soft_wrap=True)
    for name, meaning in (
        ("collection.json", "STAC collection of all finished scenes"),
        ("index.parquet", "table of the scenes with outline, date, areas and files"),
        ("flood.vrt", "mosaic of the classes"),
        ("water_probability.vrt", "mosaic of the water probabilities in percent"),
    ):
        if (report.out_dir / name).exists():
            console.print(f"  {report.out_dir / name}  {meaning}", soft_wrap=True)
    if not report.failed:
        return
    for scene, reason in report.failed.items():
        errors.print(as_flags(f"failed {scene}: {reason}"), soft_wrap=True)
    total = report.mapped + report.already_finished + len(report.failed)
    raise ScenesFailedError(
        f"{len(report.failed)} of {total} scenes could not be mapped, for the reasons above and in "
        f"{report.out_dir / 'report.json'}; correct the scenes, and run the same command again"
    )
