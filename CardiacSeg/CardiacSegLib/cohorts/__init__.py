"""Whole cohorts: thousands of studies segmented and measured, on one machine or on a Dask cluster."""
