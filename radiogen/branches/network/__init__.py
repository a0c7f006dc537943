"""The network branch: what a tumour does to the connectome. torch-geometric is used nowhere else."""
