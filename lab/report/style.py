"""What a report has besides the style of all pages. Pure."""

__all__ = ["REPORT_STYLE"]

REPORT_STYLE = """
.verdicts { list-style: none; padding: 0; }
.verdicts li { margin: .3em 0; }
.verdicts .sign { font-weight: 600; }
.verdicts .good { color: var(--good); }
.verdicts .bad { color: var(--bad); }
.absent { border-left: 4px solid var(--line); padding-left: 1em; }
.bars td:last-child { width: 45%; }
.bar { background: var(--shade); height: 1em; border-radius: 3px; overflow: hidden; min-width: 6em; }
.bar span { display: block; height: 100%; background: var(--link); min-width: 2px; }
.bar .bad { background: var(--bad); }
.bar .good { background: var(--good); }
.wide svg { max-width: none; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
@media (max-width: 45em) { .bars td:last-child { width: auto; } .bar { margin: .2em 0; } }
"""
