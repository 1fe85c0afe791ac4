"""Whole collections judged into Parquet, by the processes of one machine or of a cluster.

`sources` lists what is to be judged, `catalog` keeps the list in parts, `looking` makes tiles of an
image in a worker process, `local` and `cluster` judge parts, `parts` writes them, `run` is the whole.
"""
