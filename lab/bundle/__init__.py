"""Everything that is known of a lab at one moment, as one archive: for finding out what went wrong.

The machines are asked (`questions`, `collect`), their answers become files (`answers`, `journal`, `plan`), in
which secrets are replaced (`redact`), and a page for a person (`page`) and a list for a program come on top
(`contents`).
"""
