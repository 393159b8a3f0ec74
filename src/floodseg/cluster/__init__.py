"""Many scenes on the workers of a Dask cluster, and an overview of all."""
