"""Everything that is known of a lab at one moment, as one archive: for finding out what went wrong.

The machines are asked (`questions`, `collect`), their answers become files (`answers`, `journal`, `plan`), in
which secrets are replaced (`redact`), and one time line (`timeline`), a page for a person (`page`) and a list
for a program come on top (`contents`). While something goes on that may fail, machines keep their last
packets for it (`recording`).
"""
