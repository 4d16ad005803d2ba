"""Side-by-side measurements with peers on the same machine in the same run."""
