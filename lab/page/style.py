"""How pages look: on a wide screen and on a narrow one, by day and by night. Pure."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --quiet: #63636b; --line: #8885;
  --shade: #8881; --bad: #b3151d; --good: #1c7a37; --warn: #8a5a00; --link: #0b57b0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e8; --paper: #17181a; --quiet: #a0a0a8;
  --bad: #ff7b74; --good: #6ccf86; --warn: #e8b44c; --link: #8ab8ff; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em;
  color: var(--ink); background: var(--paper); overflow-wrap: break-word; }
h1 { font-size: 1.6em; margin: 0; }
h2[id] { border-top: 1px solid var(--line); padding-top: .8em; }
h2 { font-size: 1.25em; margin: 1.8em 0 .4em; }
h3 { font-size: 1em; margin: 1em 0 .2em; }
a { color: var(--link); }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25em 1em .25em 0; }
th { border-bottom: 1px solid var(--quiet); font-weight: 600; }
td { border-bottom: 1px solid var(--line); white-space: pre-wrap; overflow-wrap: normal; }
td:last-child { overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .2em 1.2em; margin: .8em 0; }
.skip { position: absolute; left: -999em; }
.skip:focus { left: 1em; top: .3em; background: var(--paper); padding: .3em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.wide { overflow-x: auto; }
pre { overflow: auto; max-height: 40em; padding: .6em; background: var(--shade); font-size: 12.5px;
  overflow-wrap: normal; }
details { padding: .1em 0; }
summary { cursor: pointer; }
summary code, .quiet { color: var(--quiet); }
summary code { font-size: .85em; }
.bad { color: var(--bad); font-weight: 600; }
.bad a { color: inherit; }
.good { color: var(--good); font-weight: 600; }
.why { white-space: pre-wrap; font-size: 1.1em; }
.wrong { border-left: 4px solid var(--line); padding-left: 1em; }
.wrong h2 { margin-top: 1em; }
@media (max-width: 45em) {
  body { margin-top: 1em; }
  th { display: none; }
  table, tbody, tr, td { display: block; }
  tr { border-bottom: 1px solid var(--line); padding: .4em 0; }
  td { border: 0; padding: 0; overflow-wrap: anywhere; }
  td[data-of]:not([data-of=""])::before { content: attr(data-of) ": "; color: var(--quiet); }
  td:empty { display: none; }
  summary code { display: none; }
}
"""
