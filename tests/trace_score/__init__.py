"""How well `lab trace` and `lab doctor` name what is wrong: faults of the catalogue, one at a time."""
