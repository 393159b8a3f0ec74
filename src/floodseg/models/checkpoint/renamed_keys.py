"""Renamed state-dict keys, so that weights with the old names still load."""

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
"""Patterns of old names (0.1 and earlier) and their replacements, which are applied in this order."""


def rename_old_keys(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the old keys in ``state`` in place. A hook for ``register_load_state_dict_pre_hook``."""
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        for pattern, replacement in _RENAMED:
            name = pattern.sub(replacement, name)
        if prefix + name != key:
            state[prefix + name] = state.pop(key)
