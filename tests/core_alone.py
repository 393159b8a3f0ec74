"""Commands in a process without the packages of the extras, as if only the core were installed."""

import subprocess
import sys

OPTIONAL = (
    "torch", "torchvision", "timm", "accelerate", "safetensors", "huggingface_hub", "tensorboard", "tomli_w", "obstore",
    "geopandas", "pandas", "pyarrow", "dask", "distributed", "onnx", "onnxscript", "onnxruntime", "nncf",
    "segmentation_models_pytorch", "xarray", "psutil", "torchmetrics", "rio_cogeo", "exactextract", "starlette",
    "uvicorn",
)  # fmt: skip

_ABSENT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def python_with_core_alone(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code without the optional packages; ``arguments`` are its ``sys.argv``."""
    command = [sys.executable, "-c", _ABSENT + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_with_core_alone(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``floodseg`` with ``arguments`` without the optional packages."""
    return python_with_core_alone("from floodseg.app.cli import main; main()", *arguments)
