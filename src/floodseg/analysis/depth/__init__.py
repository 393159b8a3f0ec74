"""Water depth from a map of flood and an elevation model."""
