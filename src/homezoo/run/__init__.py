"""The job of generating: sampling, constraints, the loop, and the public Model."""
