"""Analysis of finished maps: water depth, exposure and time series."""
