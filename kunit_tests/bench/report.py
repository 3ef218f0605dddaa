#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Turn benchmark result lines into tables, plots and verdicts on the targets.

usage: report.py [-o DIR] [--check] FILE...

A result line is any line with a view= or rival= word. Its key=value words are the
result, all its other words (a kernel log prefix, say) are ignored. It needs the keys
view, rival, what, value and unit; further keys are kept as they are.

Written to DIR: results.csv, results.json and report.html. The targets go to stdout.
Exit status: 1 for unreadable or malformed input, and with --check for a count that is
over its bar or missing; 2 for wrong usage; 0 otherwise. Times (the views native and
uml) never decide the exit status.
"""
import argparse
import csv
import html
import json
import math
import re
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

UNITS = {view: (unit, "ratio", "bytes", "objects", "jhash")
         for view, unit in (("count", "instructions"), ("native", "ns"), ("uml", "ns"))}
REQUIRED = ("view", "rival", "what", "value", "unit")
WHOLE = ("size", "block", "cpus", "threads", "objects", "regions", "blocks", "live", "runs",
         "items")
MEASURED = ("value", "min", "max", "throughput")
COLUMNS = ("view", "rival", "what") + WHOLE + MEASURED + ("unit",)
# What a selection asks for unless it says otherwise; a key absent or 0 in a
# line matches.
DEFAULTS = {"size": 64, "block": 65536, "cpus": 1, "regions": 1, "threads": 1}


class Target(NamedTuple):
    text: str
    view: str
    comparison: str
    bound: str
    left: object            # a selection, or a pair of them for a scaling of throughput
    sign: str = ""          # "/" or "-" between left and right
    right: object = None
    beside: tuple = ()      # selections printed for comparison only


def of(rival, what="alloc", **keys):
    return {"rival": rival, "what": what, **keys}


# Objects of the native view: within the first cache of most processors, and
# over it.
WITHIN, OVER = 32768, 262144


def scaling(rival):
    return (of(rival, threads=2, live=OVER), of(rival, threads=1, live=OVER))


def held(rival):
    return of(rival, "memory", size=72, objects=1000000, unit="ratio")


# Of what interning 64 bytes costs in stackdepot. make check goes up to as many
# items.
SHARES = ("hit", "1/3"), ("miss", "1/2")
ITEMS = 100, 1000, 10000, 100000


def beside_stackdepot(what, most, items):
    return Target(f"map {what} / stackdepot {what}, {items:,} items", "count", MOST, most,
                  of("kregion_map", what, items=items), "/", of("stackdepot", what, items=items))


LIFE = {"objects": 20000}
MOST, LEAST = "at most", "at least"
TARGETS = [Target(*row) for row in (
    ("percpu alloc, constant size", "count", MOST, "12", of("percpu")),
    ("percpu alloc, size at run time", "count", MOST, "17", of("percpu", "alloc_runtime")),
    ("kmalloc pair / percpu pair", "count", LEAST, "14",
     of("kmalloc", "pair"), "/", of("percpu", "pair")),
    ("kmalloc life / percpu life, 20,000 objects", "count", LEAST, "22",
     of("kmalloc", "life", **LIFE), "/", of("percpu", "life", **LIFE)),
    ("kmalloc drop / percpu drop, 20,000 objects", "count", LEAST, "250",
     of("kmalloc", "drop", **LIFE), "/", of("percpu", "drop", **LIFE)),
    ("percpu reset, per block", "count", MOST, "6", of("percpu", "reset_block")),
    ("percpu refill from a spare block", "count", MOST, "100", of("percpu", "refill_spare")),
    ("percpu refill from pages", "count", MOST, "850", of("percpu", "refill_pages")),
    ("single alloc / bump alloc", "count", MOST, "1.35", of("single"), "/", of("bump")),
    *((f"single alloc / bump alloc, {live >> 10} KiB", "native", MOST, "1.35",
       of("single", live=live), "/", of("bump", live=live)) for live in (WITHIN, OVER)),
    ("shared alloc - go alloc", "count", MOST, "0", of("shared"), "-", of("go")),
    ("nofill alloc / percpu alloc", "count", MOST, "1.3", of("nofill"), "/", of("percpu")),
    *((f"go / percpu, 1 thread, {live >> 10} KiB", "native", LEAST, "4",
       of("go", live=live), "/", of("percpu", live=live)) for live in (WITHIN, OVER)),
    *((f"percpu / bump, 1 thread, {live >> 10} KiB", "native", MOST, "1.35",
       of("percpu", live=live), "/", of("bump", live=live)) for live in (WITHIN, OVER)),
    ("go / percpu, 2 threads", "native", LEAST, "10",
     of("go", threads=2, live=OVER), "/", of("percpu", threads=2, live=OVER)),
    ("percpu scaling / bump scaling, 1 to 2 threads", "native", LEAST, "0.95",
     scaling("percpu"), "/", scaling("bump")),
    ("percpu held / handed out, 1,000,000 of 72 bytes", "count", MOST, "1.01",
     held("percpu"), "", None, (held("kmalloc"), held("kmem_cache"))),
    ("trace_event record / kregion_trace record", "count", LEAST, "8",
     of("trace_event", "trace_record"), "/", of("kregion_trace", "trace_record")),
    *(beside_stackdepot(*share, items) for share in SHARES for items in (*ITEMS, 1000000)),
    ("shared create and destroy", "count", MOST, "1200", of("shared", "create_destroy")),
    ("percpu create and destroy", "count", MOST, "4500", of("percpu", "create_destroy")),
    ("percpu rotate, 240 CPUs / 1 CPU", "count", MOST, "240",
     of("percpu", "rotate", cpus=240), "/", of("percpu", "rotate"),
     (of("percpu", "rotate", cpus=2), of("percpu", "rotate", cpus=64))),
    *((f"SELinux's policy: kmalloc {what} / kregion {what}", "count", LEAST, least,
       of("kmalloc", "policy_" + what), "/", of("kregion", "policy_" + what))
      for what, least in (("read", "1.5"), ("free", "100"))),
)]


# What the counts are today; one instruction more on a fast path fails make
# check. A little is allowed where another part of the kernel does most of the
# work.
BARS = (
    (of("percpu"), 12), (of("percpu", "alloc_runtime"), 12),
    (of("nofill"), 12), (of("nofill", "alloc_runtime"), 12),
    (of("shared"), 12), (of("shared", "alloc_runtime"), 14),
    (of("single"), 9), (of("single", "alloc_runtime"), 12),
    (of("percpu", "reset_block"), 1), (of("percpu", "refill_spare"), 100),
    (of("percpu", "refill_pages"), 850), (of("percpu", "drop", **LIFE), 0.75),
    (of("percpu", "life", **LIFE), 14), (of("shared", "create_destroy"), 1080),
    (of("percpu", "create_destroy"), 1270), (held("percpu"), 1.01),
    (of("kregion_trace", "trace_record"), 56),
)


class Plot(NamedTuple):
    title: str
    key: str                # on the x axis
    kinds: tuple
    label: str
    log_log: bool = False
    view: str = "count"


SWEEP = ("life", "pair", "alloc")
PLOTS = (
    Plot("Cost against object size", "size", SWEEP, "object size (bytes)"),
    Plot("Cost against block size", "block", SWEEP, "block size (bytes)"),
    Plot("Cost against CPUs", "threads", ("alloc",), "threads, each of a CPU of its own as "
         "far as there are", view="native"),
    Plot("Cost against number of regions", "regions", SWEEP, "regions"),
    Plot("Cost against number of objects", "objects", SWEEP, "objects"),
    Plot("Drop cost against live blocks", "blocks", ("drop", "drop_all"), "live blocks",
         log_log=True),
)
HOW = {"count": ("instructions", "count (instructions under icount)",
                 "counted in a virtual machine with icount"),
       "native": ("ns on each thread", "native (ns)", "the same code built for user space")}
NATIVE_TITLE = "Native cost of an allocation by rival, 1 and 2 threads"
NATIVE_CAPTION = ("Time per allocation on each thread: the same code built for user space "
                  "and timed over several runs; a thin line spans least to greatest.")
MEANING = {
    "life": "Allocating all objects, refills included, and freeing them, per object",
    "pair": "One allocation and its own free one after the other "
            "(for regions the allocation alone), hot",
    "alloc": "One allocation, hot",
    "drop": "Freeing all objects at once, per object",
    "drop_all": "Freeing all objects at once, as a whole",
}
DASHES = ("", "7 3", "2 3", "9 3 2 3")
STYLES = {rival: (colour, DASHES[place]) for colour, rivals in (
    ("#2f7de1", ("percpu", "percpu-call", "packed")),
    ("#e07b1a", ("shared", "shared-call", "cmpxchg")),
    ("#2a9d5c", ("single", "single-call", "malloc-mimalloc")),
    ("#8f63dc", ("nofill", "mempool", "kregion_trace")),
    ("#dd4b4b", ("go", "spinlock", "trace_event")),
    ("#cc4299", ("kmalloc", "malloc-glibc", "ring_buffer")),
    ("#9a7444", ("kmem_cache", "kmem_cache_bulk", "malloc-jemalloc")),
    ("#159aa8", ("page_frag", "objpool")),
    ("#858d97", ("bump", "gen_pool", "stackdepot")),
) for place, rival in enumerate(rivals)}
UNKNOWN_STYLE = ("#a0a020", DASHES[3])

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 400, 78, 650, 16, 346
KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,12})?")


class Malformed(Exception):
    pass


# Reading

def convert(key, text):
    """Numbers become numbers, anything else stays text."""
    if not text.isascii() or not text.isprintable() or not text:
        raise Malformed(f"{key}= has no readable value")
    number = NUMBER.fullmatch(text)
    if key in WHOLE and not (number and text.isdigit()):
        raise Malformed(f"{key}={text} is not a whole number")
    if key in MEASURED and not number:
        raise Malformed(f"{key}={text} is not a number")
    if not number:
        return text
    return int(text) if text.isdigit() else float(text)


def parse_line(text):
    """The result in a line as a dictionary, None if there is none."""
    words = [word.partition("=") for word in text.split()]
    pairs = [(key, value) for key, equals, value in words if equals and KEY.fullmatch(key)]
    keys = Counter(key for key, _ in pairs)
    if "view" not in keys and "rival" not in keys:
        return None
    wrong = [f"no {key}=" for key in REQUIRED if key not in keys]
    wrong += [f"{key}= comes {count} times" for key, count in keys.items() if count > 1]
    if wrong:
        raise Malformed(", ".join(wrong))
    result = {key: convert(key, value) for key, value in pairs}
    if result["view"] not in UNITS:
        raise Malformed(f"view={result['view']} is not one of {', '.join(UNITS)}")
    if result["unit"] not in UNITS[result["view"]]:
        raise Malformed(f"unit={result['unit']} does not go with view={result['view']}")
    return result


def read_results(paths):
    results = []
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for number, text in enumerate(lines, 1):
                try:
                    result = parse_line(text)
                except Malformed as error:
                    raise Malformed(f"{path}:{number}: {error}") from None
                if result:
                    results.append(result)
    if not results:
        raise Malformed("no result lines in " + ", ".join(map(str, paths)))
    return medians(results)


def medians(results):
    """Of times measured in several passes the line with the median, between all extremes."""
    passes = {}
    for place, line in enumerate(results):
        what = tuple((key, value) for key, value in line.items() if key not in MEASURED)
        passes.setdefault(place if line["view"] == "count" else what, []).append(line)
    merged = []
    for lines in passes.values():
        lines.sort(key=lambda line: line["value"])
        line = lines[len(lines) // 2]
        for key, extreme in (("min", min), ("max", max)):
            if key in line:
                line[key] = extreme(each[key] for each in lines)
        merged.append(line)
    return merged


# Selecting and judging

def matching(results, wanted):
    return [line for line in results
            if all((line.get(key) or value) == value for key, value in wanted.items())]


def find(results, view, selection):
    """The line fitting best and how many values there are; the last one wins.

    Best is the line with the most of the selection's own keys, then the one with the
    fewest others that a sweep may vary.
    """
    def fit(line):
        return (sum(key in line for key in selection),
                -sum(key in line and key not in selection for key in WHOLE))

    wanted = {**DEFAULTS, "view": view, "unit": UNITS[view][0], **selection}
    lines = matching(results, wanted)
    most = max(map(fit, lines), default=None)
    best = [line for line in lines if fit(line) == most]
    return best[-1] if best else None, len({line["value"] for line in best})


def exact(number):
    return Fraction(repr(number))


def name(selection):
    return f"{selection['rival']} {selection['what']}"


def throughput(line):
    """In objects per microsecond; without the key it is known for one thread only."""
    if "throughput" in line:
        return exact(line["throughput"])
    if line.get("threads", 1) == 1 and line["value"] > 0:
        return 1000 / exact(line["value"])
    return Fraction(0)


def figure(results, view, selection):
    """(number or None, remark) for one operand; a cost not above zero is no figure."""
    parts = selection if isinstance(selection, tuple) else (selection,)
    measure = throughput if isinstance(selection, tuple) else lambda line: exact(line["value"])
    found = [find(results, view, part) for part in parts]
    numbers = [measure(line) if line else 0 for line, _ in found]
    number = numbers[0] / (numbers[1] if len(parts) > 1 else 1) if min(numbers) > 0 else None
    if number is None:
        absent = any(line is None for line, _ in found)
        return None, f"{'no' if absent else 'unusable'} {name(parts[0])}"
    most = max(count for _, count in found)
    return number, f"{name(parts[0])}: last of {most} values" if most > 1 else ""


def show(number):
    number = float(number)
    if abs(number) >= 1000:
        return f"{number:,.2f}".rstrip("0").rstrip(".")
    return f"{number:.5g}"


def unit_of(target):
    if isinstance(target.left, tuple):
        return ""
    unit = target.left.get("unit", UNITS[target.view][0])
    return "" if unit == "ratio" else " " + unit


def judge(results, target):
    operands = [target.left] + ([target.right] if target.sign else [])
    figures = [figure(results, target.view, operand) for operand in operands]
    remarks = [remark for _, remark in figures if remark]
    numbers = [number for number, _ in figures]
    text = target.text + (" (native, informative)" if target.view == "native" else "")
    verdict = {"target": text, "view": target.view, "figures": "", "figure": None,
               "comparison": target.comparison, "bound": float(Fraction(target.bound))}
    if None in numbers:
        return {**verdict, "figures": "; ".join(remarks), "verdict": "no data"}
    total = numbers[0]
    if target.sign:
        total = total / numbers[1] if target.sign == "/" else total - numbers[1]
    shown = f" {target.sign} ".join(map(show, numbers)) + unit_of(target)
    if target.sign:
        shown += f" = {show(total)}"
    for selection in target.beside:
        number, remark = figure(results, target.view, selection)
        remarks.append(remark if number is None else f"{selection['rival']} {show(number)}")
    bound = Fraction(target.bound)
    reached = total <= bound if target.comparison == MOST else total >= bound
    return {**verdict, "figures": "; ".join([shown] + remarks), "figure": float(total),
            "verdict": "reached" if reached else "MISSED"}


def target_rows(verdicts):
    return [("target", "figures", "bound", "verdict")] + [
        (v["target"], v["figures"], f"{v['comparison']} {show(v['bound'])}", v["verdict"])
        for v in verdicts]


def policy_rows(results):
    """A policy of SELinux read and freed; the objects of both rivals are the same."""
    columns = (("objects", "count", "objects", "objects"), ("bytes", "count", "asked", "bytes"),
               ("bytes held", "count", "held", "bytes"),
               *((f"{unit} to {what}", view, what, unit) for view, unit in (("count", "instructions"), ("uml", "ns"))
                 for what in ("read", "free")))
    rows = []
    for rival in "kmalloc", "kregion":
        lines = [find(results, view, of("kmalloc" if what in ("objects", "asked") else rival,
                                        "policy_" + what, unit=unit))[0] for _, view, what, unit in columns]
        rows += [(rival, *(f"{line['value']:,.0f}" if line else "-" for line in lines))] if any(lines) else []
    return [("SELinux's policy", *(column[0] for column in columns)), *rows] if rows else []


def print_table(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


# Plots

def scale(low, high, start, end, log):
    """A function from low..high to the pixels start..end, evenly or by logarithm."""
    turn = math.log10 if log else float
    step = (end - start) / ((turn(high) - turn(low)) or 1)
    return lambda value: start + (turn(value) - turn(low)) * step


def nice_ticks(low, high, log):
    """Round numbers around low..high; from zero if the axis is even."""
    steps = [Fraction(10) ** power * digit for power in range(-6, 15) for digit in (1, 2, 5)]
    if log:
        first = max((step for step in steps if step <= low), default=steps[0])
        last = min((step for step in steps if step >= high), default=steps[-1])
        return [step for step in steps if first <= step <= last]
    step = next((step for step in steps if high / step <= 6), steps[-1])
    return [step * count for count in range(math.ceil(high / step) + 1)]


def short(number):
    """As 64Ki, 20k or 1M where that is exact."""
    for factor, suffix in ((2**20, "Mi"), (2**10, "Ki"), (10**6, "M"), (10**3, "k")):
        if number >= factor and number % factor == 0:
            return f"{number // factor}{suffix}"
    return show(number)


def tip(line):
    words = " ".join(f"{key}={value}" for key, value in line.items())
    return f"<title>{html.escape(words)}</title>"


def text_at(x, y, text, anchor="start", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>'
            f"{html.escape(text)}</text>")


def rule(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def draw(title, height, parts, caption):
    title = html.escape(title)
    return (f'<figure><h3>{title}</h3><svg xmlns="http://www.w3.org/2000/svg" role="img" '
            f'viewBox="0 0 {WIDTH} {height}" aria-label="{title}">' + "\n".join(parts)
            + f"</svg><figcaption>{html.escape(caption)}</figcaption></figure>")


def series(results, plot, what):
    """{rival: {x: line}} for rivals with two points or more, all else held fixed.

    Where several lines give the same x, the one whose remaining keys are shared by
    the most lines of that rival is taken, and the last of those.
    """
    wanted = {**DEFAULTS, "view": plot.view, "what": what, "unit": UNITS[plot.view][0]}
    wanted.pop(plot.key, None)
    lines = [line for line in matching(results, wanted)
             if line.get(plot.key, 0) > 0 and line["value"] > 0]

    def rest(line):
        return tuple(line.get(key) for key in ("rival",) + WHOLE if key != plot.key)

    shared = Counter(map(rest, lines))
    curves = {}
    for line in lines:
        points = curves.setdefault(line["rival"], {})
        held = points.get(line[plot.key])
        if held is None or shared[rest(line)] >= shared[rest(held)]:
            points[line[plot.key]] = line
    return {rival: points for rival, points in curves.items() if len(points) > 1}


def draw_axes(plot, xs, ticks, x_axis, y_axis, label):
    parts, free = [], -math.inf
    for tick in ticks:
        y = y_axis(tick)
        parts += [rule(LEFT, y, RIGHT, y, "grid"), text_at(LEFT - 8, y + 4, short(tick), "end")]
    for x in xs:
        parts.append(rule(x_axis(x), BOTTOM, x_axis(x), BOTTOM + 5, "axis"))
        if x_axis(x) - free >= 34:
            free = x_axis(x)
            parts.append(text_at(free, BOTTOM + 19, short(x), "middle"))
    middle = (TOP + BOTTOM) / 2
    return parts + [
        rule(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"),
        text_at((LEFT + RIGHT) / 2, BOTTOM + 42, plot.label + ", log scale", "middle"),
        text_at(16, middle, label, "middle", f' transform="rotate(-90 16 {middle})"')]


def draw_curve(rival, points, place, x_axis, y_axis):
    """The line, its points and its row in the legend."""
    colour, dash = STYLES.get(rival, UNKNOWN_STYLE)
    look = f'stroke="{colour}" stroke-dasharray="{dash or "none"}"'
    spots = [(x_axis(x), y_axis(line["value"]), line) for x, line in sorted(points.items())]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in spots)
    parts = [f'<polyline points="{path}" class="curve" {look}/>']
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="spot" fill="{colour}">'
              f"{tip(line)}</circle>" for x, y, line in spots]
    y = TOP + 10 + place * 17
    return parts + [f'<path d="M{RIGHT + 20} {y}h34" class="curve" {look}/>',
                    text_at(RIGHT + 62, y + 4, rival)]


def draw_sweep(plot, what, curves):
    xs = sorted({x for points in curves.values() for x in points})
    ys = [line["value"] for points in curves.values() for line in points.values()]
    log_y = plot.log_log or max(ys) > 20 * min(ys)
    ticks = nice_ticks(min(ys), max(ys), log_y)
    x_axis = scale(xs[0], xs[-1], LEFT + 12, RIGHT - 12, True)
    y_axis = scale(ticks[0], ticks[-1], BOTTOM, TOP, log_y)
    if log_y:
        ticks = [tick for tick in ticks if len(ticks) < 10 or math.log10(tick).is_integer()]
    unit, view, how = HOW[plot.view]
    label = unit + ("" if what == "drop_all" else " per object")
    parts = draw_axes(plot, xs, ticks, x_axis, y_axis, label + ", log scale" * log_y)
    # The legend in the order in which the curves end, uppermost first.
    order = sorted(curves, key=lambda rival: -curves[rival][max(curves[rival])]["value"])
    for place, rival in enumerate(order):
        parts += draw_curve(rival, curves[rival], place, x_axis, y_axis)
    height = max(HEIGHT, TOP + 20 + 17 * len(order))
    fixed = ", ".join(f"{key}={value}" for key, value in DEFAULTS.items()
                      if key not in (plot.key, "threads")
                      and (plot.view, key) != ("native", "cpus"))
    return draw(f"{plot.title}, {what}: {view}", height, parts, f"{MEANING[what]}; {how}, {fixed}.")


def draw_bar(line, threads, y, x_axis):
    colour = STYLES.get(line["rival"], UNKNOWN_STYLE)[0]
    start, end = x_axis(0), x_axis(max(line["value"], 0))
    opacity = "1" if threads == 1 else "0.55"
    parts = [f'<rect x="{start}" y="{y}" width="{end - start:.1f}" height="13" '
             f'fill="{colour}" fill-opacity="{opacity}">{tip(line)}</rect>']
    if "min" in line and "max" in line:
        span = [x_axis(max(line[key], 0)) for key in ("min", "max")]
        parts.append(rule(span[0], y + 6.5, span[1], y + 6.5, "axis"))
        end = max(end, span[1])
    label = f"{show(line['value'])} ns, {threads} thread{'s' if threads > 1 else ''}"
    return parts + [text_at(end + 6, y + 11, label)]


def draw_native(results):
    """Two bars a rival, the cheapest rival first."""
    rivals = dict.fromkeys(line["rival"] for line in results if line["view"] == "native")
    bars = {}
    for rival in rivals:
        found = {threads: find(results, "native", of(rival, threads=threads, live=OVER))[0]
                 for threads in (1, 2)}
        bars[rival] = {threads: line for threads, line in found.items() if line}
    bars = {rival: found for rival, found in bars.items() if found}
    if not bars:
        return ""
    lines = [line for found in bars.values() for line in found.values()]
    ticks = nice_ticks(0, max(max(line["value"], line.get("max", 0), 1) for line in lines), False)
    x_axis = scale(0, ticks[-1], LEFT + 50, RIGHT + 70, False)
    bottom = TOP + 40 * len(bars)
    parts = [text_at((LEFT + RIGHT) / 2 + 60, bottom + 42, "ns per allocation", "middle")]
    for tick in ticks:
        parts += [rule(x_axis(tick), TOP, x_axis(tick), bottom, "grid"),
                  text_at(x_axis(tick), bottom + 18, short(tick), "middle")]
    order = sorted(bars, key=lambda rival: min(line["value"] for line in bars[rival].values()))
    for place, rival in enumerate(order):
        y = TOP + 6 + 40 * place
        parts.append(text_at(LEFT + 42, y + 18, rival, "end"))
        for threads, line in bars[rival].items():
            parts += draw_bar(line, threads, y + 15 * (threads - 1), x_axis)
    return draw(NATIVE_TITLE + ": native (ns)", bottom + 54, parts, NATIVE_CAPTION)


def draw_plots(results):
    """The figures, and a line naming the plots left out."""
    drawn = {plot.title: [draw_sweep(plot, what, curves) for what in plot.kinds
                          if (curves := series(results, plot, what))] for plot in PLOTS}
    drawn[NATIVE_TITLE] = list(filter(None, [draw_native(results)]))
    shown = [part for parts in drawn.values() for part in parts]
    absent = "; ".join(title for title, parts in drawn.items() if not parts)
    if absent:
        shown.append(f"<p>no data for: {html.escape(absent)}</p>")
    return "\n".join(shown)


# Writing

STYLE = """
:root { color-scheme: light dark; --ink: #1c2228; --soft: #5b6570; --line: #d5dade;
        --back: #ffffff; --good: #1a7f42; --bad: #c62828; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9da7b1;
        --line: #353d45; --back: #14181c; --good: #5fcf8a; --bad: #ff7b72; } }
body { background: var(--back); color: var(--ink); font: 15px/1.45 system-ui, sans-serif;
       max-width: 1100px; margin: 2em auto; padding: 0 1em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; padding: 3px 10px; border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.reached { color: var(--good); } .missed { color: var(--bad); font-weight: bold; }
.none, figcaption { color: var(--soft); } figure { margin: 2em 0; } h3 { margin: 0 0 .4em; }
svg { width: 100%; max-width: 960px; height: auto; display: block; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.curve { fill: none; stroke-width: 2; }
.spot { stroke: transparent; stroke-width: 9; } .spot:hover { stroke: var(--soft); }
"""
CLASSES = {"reached": "reached", "MISSED": "missed", "no data": "none"}


def html_table(rows):
    """The first row is the heading; numbers stand to the right, verdicts are coloured."""
    def cell(tag, value):
        kind = "number" if isinstance(value, (int, float)) else CLASSES.get(value, "")
        mark = f' class="{kind}"' if kind else ""
        return f"<{tag}{mark}>{html.escape(str(value))}</{tag}>"

    lines = ["<tr>" + "".join(cell("td" if place else "th", value) for value in row) + "</tr>"
             for place, row in enumerate(rows)]
    return '<div class="wide"><table>' + "\n".join(lines) + "</table></div>"


def page(results, columns, verdicts):
    table = [columns] + [[line.get(key, "") for key in columns] for line in results]
    rows = policy_rows(results)
    policy = f"<h2>SELinux's policy, read and freed</h2>{html_table(rows)}\n" if rows else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><title>kregion benchmarks</title>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<style>{STYLE}</style></head><body><h1>kregion benchmarks</h1>
<p>Unless said otherwise: objects of 64 bytes, blocks of 64 KiB, one region, one CPU or
thread.</p>
<h2>Targets</h2>{html_table(target_rows(verdicts))}
{policy}<h2>Plots</h2>{draw_plots(results)}
<h2>All results</h2>{html_table(table)}</body></html>
"""


def write_files(folder, results, verdicts):
    used = dict.fromkeys(key for line in results for key in line)
    columns = [key for key in dict.fromkeys(COLUMNS) | used if key in used]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "results.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(results)
    data = {"results": results, "targets": verdicts}
    (folder / "results.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(page(results, columns, verdicts), encoding="utf-8")


def over_bars(results):
    """A line for each count that is over its bar, or that nobody took."""
    for share in SHARES:
        for items in ITEMS:
            verdict = judge(results, beside_stackdepot(*share, items))
            if verdict["verdict"] != "reached":
                yield f"{verdict['target']}: {verdict['figures']}, at most {share[1]}"
    for selection, most in BARS:
        line = find(results, "count", selection)[0]
        name = f"{selection['rival']} {selection['what']}"
        if not line:
            yield f"{name}: no data"
        elif line["value"] > most:
            yield f"{name}: {show(line['value'])}, at most {most}"


def main():
    top = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(
        description="Report on benchmark result lines.", allow_abbrev=False)
    parser.add_argument("-o", dest="folder", metavar="DIR", type=Path,
                        default=top / "out" / "bench", help="where to write (out/bench)")
    parser.add_argument("--check", action="store_true",
                        help="fail if a count is over its bar")
    parser.add_argument("files", metavar="FILE", nargs="+")
    options = parser.parse_args()
    try:
        results = read_results(options.files)
        verdicts = [judge(results, target) for target in TARGETS]
        write_files(options.folder, results, verdicts)
    except (OSError, Malformed) as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 1
    rows = policy_rows(results)
    if rows:
        print_table(rows)
        print()
    print_table(target_rows(verdicts))
    over = list(over_bars(results)) if options.check else []
    for line in over:
        print(f"over its bar: {line}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
