"""How well `lab trace` and `lab doctor` name what is wrong: every fault of the catalogue, one at a time."""
