"""The kernels. What Triton reads has no types but those it infers, and tuples grow by addition."""
