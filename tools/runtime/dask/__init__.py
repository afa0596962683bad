"""Jobs on a Dask cluster: the keeper stays here, the same job process runs on a worker."""
