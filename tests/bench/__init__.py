"""Measurements, run by hand or with `make bench`. Ratios within one run, never absolute times, are what to quote."""
