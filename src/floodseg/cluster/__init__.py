"""Many scenes on the workers of a Dask cluster, each to a folder of products, and an overview of all."""
