"""Exposure: people, buildings, roads and land cover in the flood of a finished map."""
