"""Maps of many scenes, made by the workers of a Dask cluster, and an overview of all of them."""
