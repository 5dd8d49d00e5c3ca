"""rxcore beside JAX, torch and NumPy, in one run: `python -m benchmarks core`."""
