"""Mapping: windows of a scene through a model, blended, decided and written as products. Never imports learning."""
