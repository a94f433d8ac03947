"""What people would use instead, each written as its own guide shows, in its own environment.

Each script takes a folder of jpg chips, a `.keras` model for 64x64 pixels and a folder to write
Parquet files to, one row per chip, with one score column per label (or a list of scores).
"""
