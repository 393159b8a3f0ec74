"""The conversion of one model, in a process of its own: python -m floodseg.deployment.worker JOB.

Converters leave threads behind, after which no process may fork, and native code that fails takes its process with it.
"""

import json
import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

from floodseg.deployment.job import ANSWER, Job
from floodseg.errors import FloodsegError
from floodseg.system.environment import usable_cores


def main(job_file: str) -> None:
    """Convert, and print the answer."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from floodseg.deployment.convert import Conversion

    job: Job = pickle.loads(Path(job_file).read_bytes())
    torch.set_num_threads(usable_cores())
    try:
        answer: dict[str, Any] = {"gate": Conversion(job).run()}
    except FloodsegError as error:
        answer = {"error": {"kind": type(error).__name__, "message": str(error)}}
    except OSError as error:
        answer = {"system": {"code": error.errno, "message": error.strerror or str(error)}}
    print(f"\n{ANSWER}{json.dumps(answer)}", flush=True)


def _end_with_parent() -> None:
    """Wait for the end of the process that asked, which holds the other end of standard input."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
