"""Rows in files that anyone wrote: JSON, CSV, TSV, Parquet, Arrow, compressed or not, in folders, and on the hub."""
