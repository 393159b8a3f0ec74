"""The networks ``efficient``, ``lite`` and ``baseline``."""
