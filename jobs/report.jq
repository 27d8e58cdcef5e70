# report.jq - what jobs/report finds out about a folder of results; report_show.jq shows it
#
# `study` makes one document of the lines of all files:
#
#   {title, problems: [sentence], failed: count, sections: [{id, title, notes, blocks}], plots}
#
# A block is {table: {name, title, columns, rows}} or {plots: [name]}; a column is {key, head, kind},
# and a key that is a pair is an interval. Tables keep plain numbers, in the units their keys name.

# ---- Numbers

def median: sort | if length == 0 then null
    else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end;

def known: map(select(. != null));

# With as many places behind the point as asked for, zeros too: 1.50
def fixed($places): pow(10; $places) as $p
    | (fabs * $p | round) as $n | ($n / $p | floor) as $whole | (if . < 0 and $n > 0 then "-" else "" end)
    + ($whole | tostring)
    + if $places == 0 then ""
      else "." + ($n - $whole * $p | tostring | ("0" * ($places - length) // "") + .) end;

# With as many figures as asked for.
def figures($count): if . == 0 then "0"
    else (fabs | log10 | floor) as $power | fixed([[$count - 1 - $power, 0] | max, 12] | min) end;

def scaled($units): . as $x | (fabs) as $size
    | ([$units[] | select($size >= .[1])] | last // $units[0])
    | "\($x / .[1] | figures(4)) \(.[0])";

def shown_time: scaled([["ns", 1e-9], ["us", 1e-6], ["ms", 1e-3], ["s", 1]]);
def shown_rate($unit): scaled(["", "k", "M", "G", "T", "P"] | to_entries
    | map(["\(.value)\($unit)/s", pow(1000; .key)]));
def shown_bytes: . as $n | if . != 0 and . % 1073741824 == 0 then "\($n / 1073741824)G"
    elif . != 0 and . % 1048576 == 0 then "\($n / 1048576)M"
    elif . != 0 and . % 1024 == 0 then "\($n / 1024)K" else tostring end;
def shown_percent: fixed(1) + " %";
def plural($word): "\(.) \($word)" + if . == 1 then "" else "s" end;

# ---- Reading: each input is NUMBER \u0001 FILE \u0001 TEXT, a line of a file

def read_line: split("\u0001")
    | {line: (.[0] | tonumber), file: .[1], text: (.[2:] | join("\u0001"))}
    | .value = (.text | try fromjson catch null) | del(.text);

def is_object: (.value | type) == "object";
def is_row: is_object and (.value.program | type) == "string";
def is_cell: is_object and (.value.cell | type) == "string";

# What a file holds besides records, as one sentence.
def complaint($file; $what): sort_by(.line)
    | "\($file): line \(.[0].line)"
    + (if length > 1 then " and \(length - 1 | plural("other"))" else "" end)
    + " \(if length > 1 then "are" else "is" end) no \($what)";

def is_failed: .state == "FAILED";

# A cell, and whether its rows can be relied on.
def with_state($by_file; $broken; $files): .file as $file | ($by_file[$file // ""] // []) as $rows
    | ([$rows[] | select(.r.verified == false)] | length) as $wrong
    | (.error | if . == null or . == "" then null else tostring end) as $error
    | (if .status == null then ["missing", "has not run"]
       elif .status != 0 then ["FAILED", $error // "ended with status \(.status)"]
       elif $file == null then ["FAILED", "names no file"]
       elif ($files | index([$file])) == null then ["FAILED", "\($file) is missing"]
       elif $broken[$file] then ["FAILED", $broken[$file]]
       elif ($rows | length) == 0 then ["FAILED", "\($file) is empty"]
       elif $wrong > 0 then ["FAILED", "\($wrong) of \($rows | length | plural("row")) not verified"]
       else ["ok", null] end) as [$state, $why]
    | . + {state: $state, why: $why, scaling: (.scaling // null)};

# {files, cells, rows: [{r: the record, file, line, cell}], problems, empty}
def read_all($lines; $files):
    ($files - ["cells.json"]) as $data
    | [$lines[] | read_line] as $all
    | [$all[] | select(.file != "cells.json")] as $lines_of_data
    | (reduce ($lines_of_data | map(select(is_row | not)) | group_by(.file)[]) as $bad ({};
        .[$bad[0].file] = ($bad | complaint(.[0].file; "record of a program")))) as $broken
    | ([$lines_of_data[] | select(is_row) | {r: .value, file, line}]) as $rows
    | (reduce ($rows | group_by(.file)[]) as $of ({}; .[$of[0].file] = $of)) as $by_file
    | [$all[] | select(.file == "cells.json")] as $plan
    | [$plan[] | select(is_cell) | .value | with_state($by_file; $broken; $data)] as $cells
    | (reduce $cells[] as $c ({}; if $c.file then .[$c.file] = $c else . end)) as $cell_of
    | [$data[] | select($cell_of[.] == null)] as $alone
    | ($plan | map(select(is_cell | not))) as $bad_cells
    | {
        files: $data, cells: $cells,
        rows: [$rows[] | .cell = ($cell_of[.file] // null)],
        problems: ([
            (if $bad_cells | length > 0 then $bad_cells | complaint("cells.json"; "cell") else empty end),
            ($alone[] | $broken[.] // empty)]
            + [$alone[] | select($by_file[.] == null and $broken[.] == null) | "\(.) is empty"])
      };

# ---- What a row is

def sizes: ["n", "count", "items", "tasks", "width", "height", "depth", "table_bytes"];
def kinds: ["variant", "algorithm", "loop", "term", "kernel", "shape", "pattern", "order", "call",
    "level", "serial", "radius", "panel", "slow", "reproducible", "periodic"];
def pick($names): . as $r | [$names[] | {key: ., value: $r[.]} | select(.value != null)] | from_entries;

def seconds: .median_s // .total_s;
def low_s: if .median_s then .ci_low_s else null end;
def high_s: if .median_s then .ci_high_s else null end;
def is_timed: (seconds | type) == "number" and seconds > 0 and .verified != false;

# Ranks times threads; a program without ranks has workers, or teams of threads.
def workers: if .ranks then .ranks * (.threads // 1)
    elif (.team | type) == "number" then .team else .threads // .workers // 1 end;
# A program that forms teams of several sizes has one figure for all: what counts is the row's team.
def is_oversubscribed: if (.team | type) == "number" and .cores then .team > .cores
    else .oversubscribed == true end;
def layout: if .ranks then "\(.ranks) x \(.threads // 1)" else tostring end;

def name_of_kind: [.variant, .algorithm, .loop, .term, .kernel, .call] | known | map(tostring) | unique
    | join(" ");
def name_of_size: pick(sizes) | to_entries | map("\(.key) \(.value)") | join(", ");
def name_of($r): [$r.program, ($r | name_of_kind)] | map(select(. != "")) | join(" ");

# The work that rows of a scaling study have in common. What an iterative method needs in steps is
# its result (a digest stands beside it), with other programs steps are part of the work.
def work_key($weak): pick(kinds + (if $weak then [] else sizes end)
    + if .digest then [] else ["steps"] end)
    + if $weak or (pick(sizes) | length) > 0 then {} else pick(["bytes"]) end;

# Collective operations and messages move data: more ranks do not share their work.
def shares_work: .algorithm == null and (pick(sizes) | length) > 0;

def usable_rows: [.rows[] | select((.cell == null or .cell.state == "ok") and .r.verified != false)];
def usable: [usable_rows[] | select(.r | is_timed)];

# ---- Scaling. The laws hold for one worker; where the smallest run has $w0, both sides are taken
# relative to it. Solved for the serial share s, each is a line: y = s x.

def law($weak; $s; $w; $w0): if $weak then ($s + (1 - $s) * $w) / ($s + (1 - $s) * $w0)
    else ($s + (1 - $s) / $w0) / ($s + (1 - $s) / $w) end;
def line_of($weak; $speedup; $w; $w0): if $weak
    then {x: ($w - 1 - $speedup * ($w0 - 1)), y: ($w - $speedup * $w0)}
    else {x: (1 - 1 / $w - (1 - 1 / $w0) / $speedup), y: (1 / ($speedup * $w0) - 1 / $w)} end;
def share($weak; $speedup; $w; $w0): if $speedup == null or $w <= $w0 then null
    else line_of($weak; $speedup; $w; $w0) | if .x > 0 then .y / .x else null end end;
def least_squares($weak; $w0; speedup): map(select(speedup != null) | line_of($weak; speedup; .w; $w0))
    | (map(.x * .x) | add) as $below
    | if length > 0 and $below > 0 then (map(.x * .y) | add) / $below else null end;

def with_speedup($base): .r as $r | $base.r as $b
    | (if .weak then (if $r.items and $b.items and $b.items > 0 then $r.items / $b.items else .w / $base.w end)
       elif ($r.bytes // 0) > 0 and ($b.bytes // 0) > 0 then $r.bytes / $b.bytes
       else 1 end) as $work
    | def over($mine; $its): if $mine and $its then $work * $its / $mine else null end;
    .speedup = over($r | seconds; $b | seconds)
    | (.w == $base.w and .file == $base.file and .line == $base.line) as $is_base
    | .speedup_low = (if $is_base then null else over($r | high_s; $b | low_s) end)
    | .speedup_high = (if $is_base then null else over($r | low_s; $b | high_s) end)
    | ($base.w / .w) as $ideal
    | .efficiency = .speedup * $ideal
    | .efficiency_low = (if .speedup_low then .speedup_low * $ideal * 100 else null end)
    | .efficiency_high = (if .speedup_high then .speedup_high * $ideal * 100 else null end)
    | .share = share(.weak; .speedup; .w; $base.w)
    | .share_low = share(.weak; .speedup_high; .w; $base.w)
    | .share_high = share(.weak; .speedup_low; .w; $base.w);

# Workers that share cores say nothing of the law, as in local/data/speedup.
def fit: . as $rows | .[0] as $base | $base.weak as $weak | $base.w as $w0
    | map(select(.w > $w0 and (.r | is_oversubscribed | not))) as $fair
    | if ($base.r | is_oversubscribed) or ($fair | map(.w) | unique | length) < 2 then null else
        ($fair | least_squares($weak; $w0; .speedup)) as $s
        | ($fair | map(.w) | max) as $most
        | if $s == null then null else {
            s: $s, points: ($fair | length), from: $w0, to: $most,
            low: ($fair | least_squares($weak; $w0; .speedup_high)),
            high: ($fair | least_squares($weak; $w0; .speedup_low)),
            is_share: ($s >= 0 and $s <= 1),
            residual: ($fair | map(.speedup / law($weak; $s; .w; $w0) - 1 | . * .) | add / length | sqrt)
        } | if .is_share then
            .twice = law($weak; $s; 2 * $most; $w0) | .four = law($weak; $s; 4 * $most; $w0)
            | .limit = if $weak or $s <= 0 then null else ($s + (1 - $s) / $w0) / $s end
        else . end end
      end;

# Cells of the same study that gave nothing.
def gaps($cells; $program; $scaling): [$cells[] | select(.state != "ok" and .scaling == $scaling
        and ((.program // "") | split("/") | last) == $program and .host == null)
    | {w: ((.ranks // 1) * (.threads // 1)), ranks, threads, nodes, cell, state, why}];

# One row of each kind in a file is a study's; several are told apart by their order in the file.
def with_order: group_by([.file, .key]) | map(to_entries | map(.value + {order: .key})) | add // [];

def scaling: .cells as $cells
    | [usable[] | select(.cell == null or .cell.host == null)
        | (.cell.scaling // (.r.scaling | select(. == "weak" or . == "strong")) // "strong") as $kind
        | select(.cell.scaling != null or (.r | shares_work))
        | . + {scaling: $kind, weak: ($kind == "weak"), w: (.r | workers), planned: (.cell.scaling != null)}
        | .key = [.r.program, .scaling, (.r | work_key($kind == "weak"))]]
    | with_order
    | group_by([.key, if .weak and .planned then .order else 0 end])
    | map(sort_by([.w, .r.ranks // 1, .file, .line]) | .[0] as $base
        | map(with_speedup($base))
        | select($base.planned or (map(.w) | unique | length) > 1)
        | {rows: ., base: $base, weak: $base.weak, scaling: $base.scaling, fit: fit,
           gaps: (if $base.planned then gaps($cells; $base.r.program; $base.scaling) else [] end),
           title: ([name_of($base.r), if $base.weak then empty else ($base.r | name_of_size) end,
                    "\($base.scaling) scaling"] | map(select(. != "")) | join(", "))});

def column($key; $head; $kind): {key: $key, head: $head, kind: $kind};

def time_columns: [column("median_s"; "time"; "time"),
    column(["ci_low_s", "ci_high_s"]; "95 % interval"; "time")];

def scaling_columns: [column("nodes"; "nodes"; "int"), column("ranks"; "ranks"; "int"),
    column("threads"; "threads"; "int"), column("workers"; "workers"; "int"),
    column("size"; "size"; "text")] + time_columns + [
    column("speedup"; "speed-up"; "ratio"),
    column(["speedup_low", "speedup_high"]; "interval"; "ratio"),
    column("efficiency"; "efficiency"; "fraction"),
    column("serial_share"; "serial share"; "ratio"),
    column(["share_low", "share_high"]; "interval"; "ratio"),
    column("mark"; "mark"; "mark")];

def scaling_row: .r as $r | {nodes: $r.nodes, ranks: $r.ranks, threads: $r.threads, workers: .w,
    size: ($r | name_of_size), median_s: ($r | seconds), ci_low_s: ($r | low_s), ci_high_s: ($r | high_s),
    speedup, speedup_low, speedup_high, efficiency, serial_share: .share, share_low, share_high,
    mark: (if ($r | is_oversubscribed) then "OVERSUBSCRIBED" else "" end)};
def gap_row: {nodes, ranks, threads, workers: .w, size: "", mark: "\(.state): \(.cell): \(.why)"};

def scaling_table: {name: "scaling", title, columns: scaling_columns, rows:
    ([.rows[] | scaling_row] + [.gaps[] | gap_row] | sort_by(.workers))
    | map({group: "", scaling: ""} + .)} as $t | .title as $title | .scaling as $scaling
    | $t | .rows |= map(.group = $title | .scaling = $scaling);

def law_name: if .weak then "Gustafson's law" else "Amdahl's law" end;

def fit_note: law_name as $law | .weak as $weak | .fit as $f | if $f == null then
        if (.rows | map(select((.r | is_oversubscribed | not)) | .w) | unique | length) < 3
        then "\($law) needs three numbers of workers with a core each to be tested: no fit."
        else "\($law): nothing to fit." end
    else "\($law) fits the \($f.points | plural("run")) beyond the smallest with a serial share of \($f.s | figures(4))"
        + (if $f.low and $f.high then " (\($f.low | figures(4)) to \($f.high | figures(4)))" else "" end)
        + "; it misses them by \($f.residual * 100 | figures(3)) % (root of the mean square)."
        + if $f.is_share then " If nothing else gets in the way it promises \($f.twice | figures(4)) times the"
            + " speed on \(2 * $f.to) workers and \($f.four | figures(4)) on \(4 * $f.to)"
            + (if $f.limit then ", and never more than \($f.limit | figures(4))."
               elif $weak then "; there is no limit as long as the work grows."
               else "; there is no limit." end)
          elif $f.s < 0 then " A share below 0 is faster than linear: the law does not hold here (caches?), and promises nothing."
          else " A share above 1 is slower than the smallest run: the law does not hold here, and promises nothing." end
    end;

# The share is that of a law only if it is the same at any number of workers.
def growth_note: [.rows[] | select(.share_low != null and .share_high != null and (.r | is_oversubscribed | not))]
    | if length > 1 and .[-1].w > .[0].w and .[-1].share_low > .[0].share_high
      then "The serial share grows from \(.[0].share | figures(3)) at \(.[0].w) workers to \(.[-1].share | figures(3)) at \(.[-1].w):"
        + " not serial work alone, but something that more workers make worse (waiting, messages, shared memory)."
      else empty end;

def scaling_notes: [
    (.rows | last) as $top | .base.w as $w0
    | (if ($top.w > $w0) then
        "\($top.w) workers reach \($top.speedup | figures(4)) times the speed of \($w0), \($top.efficiency * 100 | fixed(0)) % of the ideal"
        + (if ($top.r | is_oversubscribed) then ", OVERSUBSCRIBED: workers share cores" else "" end) + "."
       else "One number of workers: nothing to compare." end),
    (if $top.w > $w0 then fit_note, growth_note else empty end)];

# A curve for each number of threads a rank, broken where a cell gave nothing.
def curves_of(value; low; high): .gaps as $gaps | .rows
    | group_by(if .r.ranks then .r.threads // 1 else 0 end)
    | map((.[0].r.threads // 1) as $threads | {
        title: (if .[0].r.ranks then ($threads | plural("thread")) + " a rank" else "threads" end),
        style: "measured",
        points: (map([.w, value, low, high])
            + [$gaps[] | select((.threads // 1) == $threads) | [.w, null]] | sort_by(.[0]))});

def law_points(value): (.rows | map(.w) | [min, max]) as [$from, $to]
    | [range(0; 33) | ($from * pow($to / $from; . / 32)) as $w | [$w, ($w | value)]];

# Three plots of a group.
def scaling_plots($number): . as $g | .base.w as $w0 | (.base.r | seconds) as $t0
    | (.rows | map(.w)) as $at | .weak as $weak | .fit as $f
    | (if $f and $f.is_share then "\(law_name | split("'")[0]), s = \($f.s | figures(3))" else null end) as $law
    | def more(ideal; fitted): [{title: "ideal", style: "ideal", points: law_points(ideal)}]
        + if $law then [{title: $law, style: "fit", points: law_points(fitted)}] else [] end;
    {kind: "lines", logx: true, xlabel: "workers (ranks x threads)", subject: .title,
     xtics: ($at + (.gaps | map(.w)) | unique), failed: (.gaps | map({x: .w, state}))} as $plot
    | [$plot + {name: "time", ylabel: "time (s)", logy: true, series: (
            curves_of(.r | seconds; .r | low_s; .r | high_s)
            + if $weak then ($g | more($t0; . / $w0 / law(true; $f.s; .; $w0) * $t0))
              else ($g | more($t0 * $w0 / .; $t0 / law(false; $f.s; .; $w0))) end)},
       $plot + {name: "speed-up", ylabel: "speed-up over \($w0 | plural("worker"))", logy: true, series: (
            curves_of(.speedup; .speedup_low; .speedup_high)
            + ($g | more(. / $w0; law($weak; $f.s; .; $w0))))},
       $plot + {name: "efficiency", ylabel: "efficiency (%)", from_zero: true, series: (
            curves_of(.efficiency * 100; .efficiency_low; .efficiency_high)
            + ($g | more(100; law($weak; $f.s; .; $w0) * $w0 / . * 100)))}]
    | map(.title = "\(.subject): \(.name)"
        | .name = "scaling-\($number)-\(.name)");

def scaling_section: scaling as $groups | if ($groups | length) == 0 then empty else {
    id: "scaling", title: "Scaling",
    notes: ["The smallest run of a group is what the others are compared with. Intervals of speed-ups come from those of both medians, and are wide rather than narrow. The serial share is that of Karp and Flatt: the share of the work that, done by one worker alone, would explain the speed-up.",
        (if any($groups[]; .weak) then "Weak scaling: the work is taken to grow as the workers do; the speed-up is that of the larger work." else empty end)],
    parts: [$groups | to_entries[] | .key as $i | .value | {
        title, notes: scaling_notes, table: scaling_table,
        plots: (if $i < 12 then scaling_plots($i + 1) else [] end)}]} end;

# ---- Where the time goes

def with_place: "\(name_of(.r))\(.r | name_of_size | if . == "" then "" else ", " + . end), \(.r | layout)";

def waiting_row: .r as $r
    | (if $r.waiting_percent then $r.waiting_percent
       elif $r.busy_mean_s and ($r.total_s // 0) > 0 then 100 * (1 - $r.busy_mean_s / $r.total_s)
       else null end) as $waiting
    | select($waiting != null)
    | {run: with_place, nodes: $r.nodes, ranks: $r.ranks, threads: $r.threads, time_s: ($r | seconds),
       computing_percent: (100 - $waiting), waiting_percent: $waiting, imbalance: $r.imbalance,
       mark: (if ($r | is_oversubscribed) then "OVERSUBSCRIBED" else "" end)};

def waiting_part: [usable[] | waiting_row] | if length == 0 then empty else {
    title: "Computing and waiting",
    notes: [
        (max_by(.waiting_percent) | "Longest waiting: \(.run): \(.waiting_percent | shown_percent) of its time."),
        "Stencil and cg measure how long ranks wait in MPI; of the farm it is what its workers do not compute. Imbalance is the busiest worker's time over the mean."],
    table: {name: "waiting", title: "Computing and waiting", columns: [
        column("run"; "run"; "text"), column("nodes"; "nodes"; "int"), column("ranks"; "ranks"; "int"),
        column("threads"; "threads"; "int"), column("time_s"; "time"; "time"),
        column("computing_percent"; "computing"; "percent"), column("waiting_percent"; "waiting"; "percent"),
        column("imbalance"; "imbalance"; "ratio"), column("mark"; "mark"; "mark")], rows: .},
    plots: [{kind: "bars", name: "waiting", title: "Where the time goes", ylabel: "share of the time (%)",
        top: 100, names: (.[:40] | map(.run)), parts: [
            {title: "computing", values: (.[:40] | map(.computing_percent))},
            {title: "waiting", values: (.[:40] | map(.waiting_percent))}]}]} end;

# Samples "back to back" are batches, of which records do not tell the length.
def measured: if length > 0 and all(.[]; .r.mean_s != null and .r.iterations != null
        and (.r.start == "barrier" or .r.start == "window"))
    then map(.r.mean_s * .r.iterations) | add else null end;

def cells_part: . as $all | [.cells[] | select(.state == "ok" and (.seconds | type) == "number")
    | .file as $file | ([$all.rows[] | select(.file == $file)] | measured) as $measured
    | select($measured != null)
    | {cell, nodes, ranks, threads, seconds_s: .seconds, measured_s: $measured,
       rest_s: ([.seconds - $measured, 0] | max)}]
    | if length == 0 then empty else {
        title: "Whole runs",
        notes: ["Of a run's seconds, those that its records account for (samples times their mean); the rest is start-up, warm-up, checks and end, which records do not tell apart."],
        table: {name: "whole_runs", title: "Whole runs", columns: [
            column("cell"; "cell"; "text"), column("nodes"; "nodes"; "int"), column("ranks"; "ranks"; "int"),
            column("threads"; "threads"; "int"), column("seconds_s"; "run"; "time"),
            column("measured_s"; "measured"; "time"), column("rest_s"; "rest"; "time")], rows: .},
        plots: [{kind: "bars", name: "runs", title: "Whole runs", ylabel: "seconds", names: (.[:40] | map(.cell)),
            parts: [{title: "measured", values: (.[:40] | map(.measured_s))},
                {title: "rest: start-up, warm-up, checks, end", values: (.[:40] | map(.rest_s))}]}]} end;

def start_part: [usable_rows[] | select(.r.init_s != null)]
    | group_by([.file, .r.program]) | map(.[0] as $one | map(.r.init_s) as $secs | {
        program: $one.r.program, file: $one.file, nodes: $one.r.nodes, ranks: $one.r.ranks,
        median_s: ($secs | median), longest_s: ($secs | max), host: (max_by(.r.init_s) | .r.host)})
    | if length == 0 then empty else {
        title: "Start-up", notes: ["How long MPI_Init took: the median of the ranks, and the longest with its host."],
        table: {name: "start_up", title: "Start-up", columns: [
            column("program"; "program"; "text"), column("file"; "file"; "text"), column("nodes"; "nodes"; "int"),
            column("ranks"; "ranks"; "int"), column("median_s"; "median"; "time"),
            column("longest_s"; "longest"; "time"), column("host"; "on host"; "text")], rows: .},
        plots: []} end;

def time_section: [waiting_part, cells_part, start_part] as $parts
    | if ($parts | length) == 0 then empty
      else {id: "time", title: "Where the time goes", notes: [], parts: $parts} end;

# ---- Nodes that differ. An outlier is off the median over the nodes by more than 10 % and by more
# than 4 robust deviations (1.4826 times the median deviation, which is sigma for a normal spread).

def with_verdicts($faster_is_more): . as $nodes | map(.value) | known as $values
    | ($values | median) as $middle
    | (if ($values | length) == 0 then null else
        $values | map(. - $middle | fabs) | median * 1.4826 end) as $deviation
    | ($values | length) as $count
    | $nodes | map(if .value == null then .mark = (.mark // "FAILED") else
        (.value - $middle) as $off
        | .off_percent = (if $middle != 0 then 100 * $off / $middle else null end)
        | .deviations = (if $deviation > 0 then $off / $deviation else null end)
        | .is_outlier = ($count > 2 and ($off | fabs) > 0.1 * ($middle | fabs) and ($off | fabs) > 4 * $deviation)
        | .mark = (if .is_outlier then
                "OUTLIER: " + (if ($off > 0) == $faster_is_more then "faster" else "slower" end) else "" end)
      end) | sort_by(.host)
    | {nodes: ., median: $middle, count: $count};

def metric: . as $r | [["bytes_per_s", "bandwidth"], ["flops_per_s", "flops"], ["median_s", "time"],
        ["total_s", "time"], ["init_s", "MPI_Init"]]
    | map(select(($r[.[0]] | type) == "number")) | first;

# {title, key, kind, faster_is_more, nodes: [{host, value}]} of records with a host
def on_hosts: .cells as $cells | ([usable_rows[]
        | .host = (.r.host // .cell.host) | select(.host != null)
        | .metric = (.r | metric) | select(.metric != null)]
    | group_by([.r.program, (.r | work_key(false)), .r.threads, .metric, (.cell.host == null), if .cell.host then null else .file end])
    | map(.[0] as $one | {
        title: "\(name_of($one.r)): \($one.metric[1])", key: $one.metric[0], program: $one.r.program,
        by_cells: ($one.cell.host != null),
        nodes: (group_by(.host) | map({host: .[0].host, value: (map(.r[$one.metric[0]]) | median)}))}))
    | map(if .by_cells then .program as $program | .nodes += ([$cells[] | select(.host != null and .state != "ok"
            and ((.program // "") | split("/") | last) == $program)
            | {host, value: null, mark: "\(.state): \(.why)"}]) else . end);

# Of all pairs: each host's links to others. A slow host has slow links only, the others one each.
def links: [usable_rows[] | select(.r.from_host != null and .r.to_host != null)]
    | group_by([.file, .r.variant, .r.bytes, .r.large_bytes]);
def metrics_of_links: [["median_s", "latency"], ["large_bytes_per_s", "bandwidth"]];

def on_links: [links[] | . as $rows | metrics_of_links[] as [$key, $what]
    | [$rows[] | select(.r.from_host != .r.to_host and (.r[$key] | type) == "number")]
    | select(length > 0)
    | {title: "\(name_of(.[0].r)): \($what) of links to other nodes", key: $key,
       nodes: ([.[] | {host: (.r.from_host, .r.to_host), value: .r[$key]}] | group_by(.host)
           | map({host: .[0].host, value: (map(.value) | median)}))}];

def key_kind: if endswith("bytes_per_s") then "rate" elif . == "flops_per_s" then "flops" else "time" end;
def key_label: {rate: "bytes/s", flops: "flop/s", time: "s"}[key_kind];

def nodes_part($number): (.key | endswith("_per_s")) as $more | .title as $title | .key as $key
    | (.nodes | with_verdicts($more)) as $v
    | ([$v.nodes[] | select(.is_outlier)]) as $outliers
    | {title: $title, outliers: ($outliers | map({host, mark, title: $title, off_percent})),
       notes: [if $v.count < 2 then "One node: nothing to compare."
           elif $v.count == 2 then "Two nodes: if they differ, neither is the odd one."
           elif ($outliers | length) > 0 then $outliers[]
               | "\(.host) is an outlier: \(.off_percent | fabs | fixed(0)) % \(if .off_percent > 0 then "above" else "below" end) the median of the nodes (\(.mark | split(": ")[1]))."
           else "No outlier among \($v.count) nodes." end],
       table: {name: "nodes", title: $title, columns: [column("host"; "host"; "text"),
           column($key; ($title | split(": ") | last); ($key | key_kind)),
           column("off_percent"; "off the median"; "percent"), column("deviations"; "robust deviations"; "ratio"),
           column("mark"; "mark"; "mark")],
           rows: ($v.nodes | map({metric: $title, host, off_percent, deviations, mark, ($key): .value}))},
       plots: (if $v.count < 2 then [] else [{kind: "nodes", name: "nodes-\($number)", title: $title,
           ylabel: ($key | key_label), median: $v.median, nodes: $v.nodes}] end)};

def maps: [links[] | . as $rows | ([.[] | .r.from_host, .r.to_host] | unique) as $hosts
    | select(($hosts | length) > 1)
    | metrics_of_links[] as [$key, $what]
    | {name: $what, kind: "map", title: "\(name_of($rows[0].r)): \($what) between nodes", names: $hosts,
       label: "\($what) (\($key | key_label))", squares: (
        [$rows[] | select((.r[$key] | type) == "number" and .r[$key] > 0)
            | {at: ([.r.from_host, .r.to_host], [.r.to_host, .r.from_host]), value: .r[$key]}]
        | group_by(.at) | map({x: (.[0].at[0] as $h | $hosts | index([$h])),
            y: (.[0].at[1] as $h | $hosts | index([$h])), value: (map(.value) | median)}))}]
    | to_entries | map(.value + {name: "pairs-\(.key + 1)-\(.value.name)"});

def nodes_section: (on_hosts + on_links) as $found | maps as $maps
    | if ($found | length) == 0 then empty else {
        id: "nodes", title: "Differences between nodes",
        notes: ["A node is called an outlier if it is off the median over the nodes by more than 10 % and by more than 4 robust deviations (1.4826 times the median deviation). Look at what is marked first; a node that stands out in one row alone was perhaps busy at that moment."],
        parts: ([$found | to_entries[] | .key as $i | .value | nodes_part($i + 1)]
            + if ($maps | length) > 0 then [{title: "Pairs of nodes",
                notes: ["Each square is the median of the pairs of ranks on two nodes. A row and a column that are both of another colour belong to a slow node, a single square to a slow link."],
                plots: $maps}] else [] end)} end;

# ---- Times over bytes

def curves: [usable_rows[] | select((.r | is_timed) and .r.bytes != null and .r.from == null and .r.host == null)]
    | group_by([.file, .r.program, .r.ranks, .r.nodes, .r.threads, .r.workers, .r.partner])
    | map(group_by(.r | [pick(kinds)]) | map(sort_by(.r.bytes)) | map(select((map(.r.bytes) | unique | length) > 1)))
    | map(select(length > 0));

def curves_part($number): . as $series | .[0][0] as $one
    | "\($one.r.program), \(if $one.r.ranks then "\($one.r.ranks | plural("rank")) on \($one.r.nodes // 1 | plural("node"))" else "\($one.r | workers | plural("worker"))" end)" as $title
    | ([.[][]] | group_by(.r.bytes)
        | map(min_by(.r | seconds) as $best | {run: $title, file: $one.file, bytes: $best.r.bytes,
            fastest: ($best.r | name_of_kind),
            also: ([.[] | select((.r | name_of_kind) != ($best.r | name_of_kind) and (.r | low_s) != null
                and ($best.r | high_s) != null and (.r | low_s) <= ($best.r | high_s)) | .r | name_of_kind] | join(", ")),
            median_s: ($best.r | seconds), ci_low_s: ($best.r | low_s), ci_high_s: ($best.r | high_s),
            bytes_per_s: $best.r.bytes_per_s})) as $rows
    | {title: "\($title): \($one.file)",
       notes: [if ($one.r | is_oversubscribed) then "OVERSUBSCRIBED: ranks share cores." else empty end,
           if ($series | length) > 1 then "The table has the fastest for each size; also stands for those whose interval overlaps: no difference shown." else empty end],
       table: {name: "bytes", title: $title, columns: ([column("bytes"; "bytes"; "bytes")]
           + (if ($series | length) > 1 then [column("fastest"; "fastest"; "text"), column("also"; "also"; "text")] else [] end)
           + time_columns + [column("bytes_per_s"; "bandwidth"; "rate")]), rows: $rows},
       plots: [if $number > 24 then empty else {kind: "lines", name: "bytes-\($number)", title: "\($title): time over bytes", logx: true, logy: true,
           bytes: true, xlabel: "bytes", ylabel: "time (s)", xtics: [], failed: [], series: ($series | map({
               title: (.[0].r | name_of_kind), style: "measured",
               points: map([.r.bytes, (.r | seconds), (.r | low_s), (.r | high_s)] | select(.[0] > 0))}))} end]};

def bytes_section: curves as $curves | if ($curves | length) == 0 then empty else {
    id: "bytes", title: "Times over bytes", notes: [
        "First entry to last exit of an operation, or half a round trip. The bands are 95 % intervals of the median."],
    parts: [$curves | to_entries[] | .key as $i | .value | curves_part($i + 1)]} end;

# ---- What was run

def some: known | unique | map(tostring) | join(", ");
def span: known | if length == 0 then "" else (map(tostring) | min) as $a | (map(tostring) | max) as $b
    | if $a == $b then $a else "\($a) to \($b)" end end;
def number_span: known | unique | if length == 0 then "" elif length < 5 then map(tostring) | join(", ")
    else "\(min) to \(max)" end;

def runs_part: .rows | group_by(.r | [.program, .version, .mpi]) | map(.[0].r as $one | {
        program: $one.program, version: $one.version, mpi: $one.mpi, rows: length,
        nodes: (map(.r.nodes) | number_span), ranks: (map(.r.ranks) | number_span),
        threads: (map(.r.threads // .r.workers) | number_span), binding: (map(.r.binding) | some),
        oversubscribed: (map(select((.r | is_oversubscribed))) | length),
        unverified: (map(select(.r.verified == false)) | length), dates: (map(.r.date) | span)}
        | .mark = ([if .oversubscribed > 0 then "OVERSUBSCRIBED: \(.oversubscribed) of \(.rows)" else empty end,
            if .unverified > 0 then "NOT VERIFIED: \(.unverified) of \(.rows)" else empty end] | join("; ")))
    | {title: "Programs", notes: [], plots: [], table: {name: "programs", title: "Programs", rows: ., columns: [
        column("program"; "program"; "text"), column("version"; "version"; "text"), column("mpi"; "MPI"; "text"),
        column("rows"; "rows"; "int"), column("nodes"; "nodes"; "text"), column("ranks"; "ranks"; "text"),
        column("threads"; "threads"; "text"), column("binding"; "binding"; "text"),
        column("dates"; "date"; "text"), column("mark"; "mark"; "mark")]}};

def plan_part: .cells | if length == 0 then empty else {
    title: "Planned runs",
    notes: ["\(map(select(.state == "ok")) | length) of \(length) ran well, \(map(select(is_failed)) | length) failed, \(map(select(.state == "missing")) | length) have not run."],
    plots: [], table: {name: "cells", title: "Planned runs", columns: [
        column("cell"; "cell"; "text"), column("scaling"; "scaling"; "text"), column("host"; "host"; "text"),
        column("nodes"; "nodes"; "int"), column("ranks"; "ranks"; "int"), column("threads"; "threads"; "int"),
        column("program"; "program"; "text"), column("seconds"; "seconds"; "ratio"), column("state"; "state"; "mark"),
        column("why"; "why"; "text"), column("command"; "command"; "code")],
        rows: map({cell, scaling, host, nodes, ranks, threads, program, seconds: (.seconds | numbers // null),
            state, why, command})}} end;

def provenance_section: {id: "runs", title: "What was run", notes: [], parts: [runs_part, plan_part]};

def all_part: .rows | {
    title: "All records", folded: true, notes: ["The main fields of each record; the files have more."], plots: [],
    table: {name: "rows", title: "All records", columns: ([column("file"; "file"; "text"),
        column("program"; "program"; "text"), column("kind"; "variant"; "text"), column("place"; "who"; "text"),
        column("nodes"; "nodes"; "int"), column("ranks"; "ranks"; "int"), column("threads"; "threads"; "int"),
        column("size"; "size"; "text"), column("bytes"; "bytes"; "bytes")] + time_columns
        + [column("bytes_per_s"; "bandwidth"; "rate"), column("iterations"; "samples"; "int"),
           column("mark"; "mark"; "mark")]),
        rows: map(.cell as $cell | .file as $file | .r | {file: $file, program, kind: name_of_kind, nodes, ranks,
            threads: (.threads // .workers),
            place: (if .from_name then "\(.from_name) - \(.to_name)" elif .host then "rank \(.rank) on \(.host)" else "" end),
            size: name_of_size, bytes, median_s: seconds, ci_low_s: low_s, ci_high_s: high_s, bytes_per_s,
            iterations, verified, mark: ([if .verified == false then "NOT VERIFIED" else empty end,
                if ($cell.state // "ok") != "ok" then "cell \($cell.state)" else empty end,
                if is_oversubscribed then "OVERSUBSCRIBED" else empty end] | join("; "))})}};

def records_section: {id: "records", title: "Records", notes: [], parts: [all_part]};

# ---- All of it

def findings($sections): (.rows | length) as $count
    | ([.rows[] | select(.r.verified == false)] | length) as $wrong
    | ([.rows[] | select((.r | is_oversubscribed))] | length) as $over
    | [.cells[] | select(is_failed)] as $failed | [.cells[] | select(.state == "missing")] as $missing
    | [
        (.problems[] | {level: "bad", text: .}),
        (if ($failed | length) > 0 then {level: "bad", text: "\($failed | length | plural("run")) of \(.cells | length) FAILED: \($failed[:6] | map(.cell) | join(", "))\(if ($failed | length) > 6 then " ..." else "" end)"} else empty end),
        (if ($missing | length) > 0 then {level: "warn", text: "\($missing | length | plural("run")) of \(.cells | length) not there yet"} else empty end),
        (if $wrong > 0 then {level: "bad", text: "\($wrong | plural("record")) of \($count) NOT VERIFIED: results that are wrong have no times"} else empty end),
        (if $over > 0 then {level: "warn", text: "\($over | plural("record")) of \($count) OVERSUBSCRIBED: more workers than cores; their times tell nothing of speed-up"} else empty end),
        ($sections[] | .parts[] | .outliers // [] | .[] | {level: "bad", text: "\(.host): \(.mark) in \(.title), \(.off_percent | fixed(0)) %"}),
        ($sections[] | select(.id == "scaling") | .parts[] | {level: "fact", text: "\(.title): \(.notes[0])"}),
        ($sections[] | select(.id == "time") | .parts[:1][] | select(.table.name == "waiting") | {level: "fact", text: .notes[0]})];

def study($lines; $files; $title): read_all($lines; $files)
    | [provenance_section, scaling_section, time_section, nodes_section, bytes_section, records_section] as $sections
    | {title: $title, rows: (.rows | length), cells: (.cells | length), problems,
       failed: ([.cells[] | select(is_failed)] | length),
       unverified: ([.rows[] | select(.r.verified == false)] | length),
       dates: (.rows | map(.r.date) | span),
       findings: findings($sections), sections: $sections,
       plots: [$sections[].parts[].plots // [] | .[]]};
