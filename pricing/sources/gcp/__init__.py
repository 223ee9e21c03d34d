"""Google Compute Engine: machines put together from the catalogue's prices of cores, memory, GPUs and disks."""
