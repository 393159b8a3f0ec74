"""State-dict keys that were renamed: weights that were saved under the old names still load."""

import re
from typing import Any

from torch import nn

_RENAMED = (
    (re.compile(r"\.reliability\.judge\."), ".gate.head."),
    (re.compile(r"\.reliability\."), ".gate."),
    (re.compile(r"^route\."), "router."),
    (re.compile(r"^judge\.shift$"), "cloud_detector.logit_offset"),
    (re.compile(r"^judge\.judge\."), "cloud_detector.head."),
    (re.compile(r"^judge\."), "cloud_detector."),
)
"""Old names (0.1 and before) and what replaces them, in this order."""


def rename_old_keys(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the old keys of a model in ``state``, in place; a hook for ``register_load_state_dict_pre_hook``."""
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        for pattern, replacement in _RENAMED:
            name = pattern.sub(replacement, name)
        if prefix + name != key:
            state[prefix + name] = state.pop(key)
