"""The cells of a sweep as tasks of SLURM."""
