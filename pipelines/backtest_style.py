"""How a report looks, in light and in dark."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --back: #f7f8fa; --card: #ffffff; --ink: #1b2430; --muted: #5d6978; --line: #e1e5ea; --events: #a9b7c9; --label: #f4b94255;
  --c0: #2f6fd0; --c1: #c9631a; --c2: #1f8a5b; --c3: #b8324f; --c4: #7a4fc0; --c5: #117d95; --c6: #8f6a1c; --c7: #5f6b7a; }
@media (prefers-color-scheme: dark) { :root {
  --back: #12161c; --card: #1a2029; --ink: #e6eaf0; --muted: #97a3b3; --line: #2c3541; --events: #4b5b70; --label: #d9a02c44;
  --c0: #6fa3f2; --c1: #f09a52; --c2: #55c393; --c3: #f07d95; --c4: #b294f0; --c5: #52bdd4; --c6: #d2ab55; --c7: #9aa7b8; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px }
h1 { margin: 0; font-size: 26px } h2 { margin: 0 0 12px; font-size: 17px } h3 { margin: 18px 0 6px; font-size: 14px }
.muted { color: var(--muted); margin: 6px 0; font-size: 13px }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin-top: 16px }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(108px, 1fr)); gap: 14px 10px }
.tiles b { display: block; font-size: 19px; font-weight: 600; white-space: nowrap }
.tiles span { color: var(--muted); font-size: 13px }
svg { display: block; width: 100%; height: auto; overflow: visible; font: 13px system-ui, sans-serif }
svg .name { fill: var(--ink) } svg .value { fill: var(--ink) } svg .note { fill: var(--muted); font-size: 12px }
svg .grid { stroke: var(--line) } svg .axis { stroke: var(--muted) }
.events { fill: var(--events) } rect.label { fill: var(--label) } i.label { background: var(--label) }
.c0 { fill: var(--c0) } .c1 { fill: var(--c1) } .c2 { fill: var(--c2) } .c3 { fill: var(--c3) }
.c4 { fill: var(--c4) } .c5 { fill: var(--c5) } .c6 { fill: var(--c6) } .c7 { fill: var(--c7) }
.computed { fill: var(--c0); background: var(--c0) } .cached { fill: var(--c5); background: var(--c5) }
.output { fill: var(--c1); background: var(--c1) }
.both { fill: var(--events) } .gone { fill: var(--c3) } .new { fill: var(--c2) } .changed { fill: var(--c6) }
i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; vertical-align: -1px }
.wide { overflow-x: auto; margin-top: 10px }
table { border-collapse: collapse; width: 100%; font-size: 13px }
th { text-align: left; color: var(--muted); font-weight: 500 }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word }
td { max-width: 380px }
td:first-child { white-space: nowrap }
@media print { body { background: none } section { break-inside: avoid } }
"""
