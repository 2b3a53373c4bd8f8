"""A module cut into several that are compiled side by side: what one of them defines, the others declare.

Kernels of one family call the same functions.  Written into one module, each of these is written and compiled once;
compiled in one piece, they would be what everybody waits for.
"""

from __future__ import annotations

import re

from payback.native.ir import Module

INLINED = "alwaysinline"  # what functions are called that are written into others: these stay together
_NAME = re.compile(r'@(?:"[^"]*"|[-a-zA-Z$._0-9]+)')


def parts(module: Module, most: int) -> list[str]:
    """The texts of modules of about `most` characters, which are to be linked together; the longest first."""
    text = str(module)
    count = -(-len(text) // most)
    if count < 2 or INLINED in text:
        return [text]
    written: dict[str, str] = {}
    for thing in module.globals.values():
        if thing.defined:
            lines: list[str] = []
            thing.write(lines, shared=True)
            written[thing.text] = "\n".join(lines)
    held: list[list[str]] = [[] for _ in range(min(count, len(written)))]
    sizes = [0] * len(held)
    for name in sorted(written, key=lambda name: (-len(written[name]), name)):
        part = sizes.index(min(sizes))
        held[part].append(name)
        sizes[part] += len(written[name])
    made = []
    for part in sorted(range(len(held)), key=lambda part: -sizes[part]):
        lines = module.head()
        named = {name for text in held[part] for name in _NAME.findall(written[text])}
        for thing in module.globals.values():
            if thing.text in named and thing.text not in held[part]:
                lines.append(thing.declared())
        lines += [written[name] for name in held[part]]
        made.append("\n".join([*lines, *module.tail()]))
    return made
