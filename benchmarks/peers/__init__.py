"""What people would use instead, each written as its own guide shows, in its own environment.

Each script takes a folder of jpg chips, a `.keras` model for 64x64 pixels and a folder to write
Parquet files to, with one score column a label (or a list of scores) a chip.
"""
