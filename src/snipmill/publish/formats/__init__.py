"""What rows become for those who train: one file for each kind of training."""
