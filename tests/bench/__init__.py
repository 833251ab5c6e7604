"""`make bench`: how long things take and how large they are. Nothing here is a test.

Timings on a shared machine are noisy: several rounds in one run, medians with their spread, and ratios of
what was measured in the same run only.
"""
