# report.jq - what jobs/report finds out about a folder of results; report_show.jq shows it
#
# `study` makes one document of the lines of all files:
#
#   {title, rows, cells, failed, unverified, dates, problems: [sentence], findings: [{level, text}],
#    sections: [{id, title, notes, parts: [{title, notes, table, plots}]}], plots}
#
# A table is {name, title, columns: [{key, head, kind}], rows}; a key that is a pair is an interval.
# Tables keep plain numbers, in the units that their keys name.

# ---- Numbers

def known: map(select(. != null));

def median: sort | if length == 0 then null
    else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end;

# With as many places behind the point as asked for, zeros too: 1.50
def fixed($places): pow(10; $places) as $power
    | (fabs * $power | round) as $all | ($all / $power | floor) as $whole
    | (if . < 0 and $all > 0 then "-" else "" end) + ($whole | tostring)
    + if $places == 0 then "" else
        ($all - $whole * $power | tostring) as $rest
        | "." + ("0" * ($places - ($rest | length)) // "") + $rest end;

# With as many figures as asked for. What is rounded up to the next power of ten has one place less.
def figures($count): if . == 0 then "0" else
    (fabs | log10 | floor) as $floor
    | (fabs * pow(10; $count - 1 - $floor) >= pow(10; $count) - 0.5) as $is_next
    | (if $is_next then $floor + 1 else $floor end) as $power
    | fixed([[$count - 1 - $power, 0] | max, 12] | min) end;

def unit_of($units): fabs as $size | [$units[] | select($size >= .[1])] | last // $units[0];
def scaled($units): unit_of($units) as [$name, $size] | "\(. / $size | figures(4)) \($name)";

def time_units: [["ns", 1e-9], ["us", 1e-6], ["ms", 1e-3], ["s", 1]];
def rate_units($unit): ["", "k", "M", "G", "T", "P"] | to_entries
    | map(["\(.value)\($unit)/s", pow(1000; .key)]);
def shown_time: scaled(time_units);
def shown_rate($unit): scaled(rate_units($unit));
def shown_bytes: if . == 0 then "0" elif . % 1073741824 == 0 then "\(. / 1073741824)G"
    elif . % 1048576 == 0 then "\(. / 1048576)M"
    elif . % 1024 == 0 then "\(. / 1024)K" else tostring end;
def shown_percent: fixed(1) + " %";
def shown_misfit: if . < 1e-4 then "less than 0.01 %" else "\(. * 100 | figures(2)) %" end;
def plural($word): "\(.) \($word)" + if . == 1 then "" else "s" end;

# ---- Reading: each line is NUMBER \u0001 FILE \u0001 TEXT

def read_line: split("\u0001")
    | {line: (.[0] | tonumber), file: .[1], value: (.[2] | try fromjson catch null)};

# What is not of the kind it should be is as good as not there.
def counts: ["ranks", "nodes", "threads", "workers"];
def measures: ["median_s", "total_s", "ci_low_s", "ci_high_s", "mean_s", "iterations", "bytes",
    "items", "init_s", "waiting_percent", "busy_mean_s", "imbalance"];
def cleaned: reduce ((counts[] | [., 1]), (measures[] | [., 0])) as [$key, $least] (.;
    if .[$key] == null or ((.[$key] | type) == "number" and .[$key] >= $least) then .
    else .[$key] = null end);
def with_text($keys): reduce $keys[] as $key (.;
    if .[$key] == null or (.[$key] | type) == "string" then . else .[$key] |= tostring end);

def is_row: (.value | type) == "object" and (.value.program | type) == "string";
def is_cell: (.value | type) == "object" and (.value.cell | type) == "string";

# What a file holds besides records, as one sentence.
def complaint($what): sort_by(.line)
    | "\(.[0].file): line \(.[0].line)"
    + if length > 1 then " and \(length - 1 | plural("other")) are no \($what)"
      else " is no \($what)" end
    + ": torn, or not written by --format json?";

def wrong_rows: [.[] | select(.r.verified == false)] | length;

# What is to be said of a cell whose program ended well: whether its rows can be relied on.
def judge_rows($rows; $broken; $is_there):
    if .file == null then "names no file"
    elif $is_there[.file] | not then "\(.file) is missing"
    elif $broken then $broken
    elif ($rows | length) == 0 then "\(.file) is empty"
    elif ($rows | wrong_rows) > 0
    then "\($rows | wrong_rows) of \($rows | length | plural("row")) not verified"
    else null end;

def with_state($rows; $broken; $is_there): .why =
    (if .status == null then "has not run"
     elif .status != 0 then
        (.error // "" | tostring) | if . == "" then null else . end
     else judge_rows($rows; $broken; $is_there) end)
    | .why = (.why // if .status == 0 then null else "ended with status \(.status)" end)
    | .state = (if .status == null then "missing" elif .why == null then "ok" else "FAILED" end);

def is_failed: .state == "FAILED";
def by_file: reduce group_by(.file)[] as $of ({}; .[$of[0].file] = $of);

# {cells, rows: [{r: the record, file, line, cell}], problems}
def read_all($lines; $all_files): ($all_files - ["cells.json"]) as $files
    | (reduce $files[] as $file ({}; .[$file] = true)) as $is_there
    | [$lines[] | read_line] as $read
    | [$read[] | select(.file != "cells.json")] as $data
    | [$read[] | select(.file == "cells.json")] as $plan
    | ($data | map(select(is_row | not)) | by_file | map_values(complaint("record of a program")))
        as $broken
    | [$data[] | select(is_row)
        | .r = (.value | cleaned | with_text(["host", "from_host", "to_host"]))
        | {r, file, line}] as $rows
    | ($rows | by_file) as $rows_of
    | [$plan[] | select(is_cell) | .value | cleaned
        | with_text(["file", "host", "program", "scaling"]) | (.file // "") as $file
        | with_state($rows_of[$file] // []; $broken[$file]; $is_there)] as $cells
    | (reduce ($cells[] | select(.file)) as $cell ({}; .[$cell.file] = $cell)) as $cell_of
    | [$files[] | select($cell_of[.] == null)] as $alone
    | [$plan[] | select(is_cell | not)] as $no_cells
    | {cells: $cells, rows: [$rows[] | .cell = $cell_of[.file]], problems: (
        (if $no_cells == [] then [] else [$no_cells | complaint("cell")] end)
        + [$alone[] | $broken[.] // empty]
        + [$alone[] | select($rows_of[.] == null and $broken[.] == null)
            | "\(.): holds nothing: did its program fail?"])};

def usable: [.rows[] | select((.cell == null or .cell.state == "ok") and .r.verified != false)];

# ---- What a row is

def sizes: ["n", "count", "items", "tasks", "width", "height", "depth", "table_bytes"];
def kinds: ["variant", "algorithm", "loop", "term", "kernel", "shape", "pattern", "order", "call",
    "level", "serial", "radius", "panel", "slow", "reproducible", "periodic"];
def pick($names): . as $r
    | reduce $names[] as $name ({}; if $r[$name] == null then . else .[$name] = $r[$name] end);

def seconds: .median_s // .total_s;
def low_s: if .median_s then .ci_low_s else null end;
def high_s: if .median_s then .ci_high_s else null end;
# No clock tells less than a picosecond, and quotients of such times overflow.
def is_timed: (seconds | type) == "number" and seconds > 1e-12 and seconds < 1e12;
def is_whole: .from == null and .rank == null; # no row of one rank, or of one pair

# Ranks times threads; a program without ranks has workers, or teams of threads.
def workers: if .ranks then .ranks * (.threads // 1)
    elif (.team | type) == "number" then .team else .threads // .workers // 1 end;
def layout: if .ranks then "\(.ranks) x \(.threads // 1)" else workers | tostring end;

# A program that forms teams of several sizes has one figure for all: the row's team counts.
def is_oversubscribed: if (.team | type) == "number" and .cores then .team > .cores
    else .oversubscribed == true end;
def oversubscribed_mark: if is_oversubscribed then "OVERSUBSCRIBED" else "" end;

def name_of_kind: [.variant, .algorithm, .loop, .term, .kernel, .call] | known | map(tostring)
    | reduce .[] as $name ([]; if index([$name]) then . else . + [$name] end) | join(" ");
def name_of_size: pick(sizes) | to_entries | map("\(.key) \(.value)") | join(", ");
def name_of_row: [.program, name_of_kind] | map(select(. != "")) | join(" ");

# The work that rows have in common. What an iterative method needs in steps is its result (a digest
# stands beside it); with other programs steps are part of the work.
def work_key($weak): pick(kinds + (if $weak then [] else sizes end)
    + if .digest then [] else ["steps"] end)
    + if $weak or pick(sizes) != {} then {} else pick(["bytes"]) end;

# Collective operations and messages move data: more ranks do not share their work.
def shares_work: .algorithm == null and pick(sizes) != {};

# ---- Tables

def columns: map({key: .[0], head: .[1], kind: .[2]});
def layout_columns: [["nodes", "nodes", "int"], ["ranks", "ranks", "int"],
    ["threads", "threads", "int"]];
def time_columns: [["median_s", "time", "time"],
    [["ci_low_s", "ci_high_s"], "95 % interval", "time"]];
def mark_column: [["mark", "mark", "mark"]];

# ---- Scaling. The laws hold for one worker; where the smallest run has $w0, both sides are taken
# relative to it. Solved for the serial share s, each is a line through the origin: y = s x.

def law($weak; $s; $w; $w0): if $weak then ($s + (1 - $s) * $w) / ($s + (1 - $s) * $w0)
    else ($s + (1 - $s) / $w0) / ($s + (1 - $s) / $w) end;

def line_of($weak; $speedup; $w; $w0): if $weak
    then {x: ($w - 1 - $speedup * ($w0 - 1)), y: ($w - $speedup * $w0)}
    else {x: (1 - 1 / $w - (1 - 1 / $w0) / $speedup), y: (1 / ($speedup * $w0) - 1 / $w)} end;

# The share of Karp and Flatt, and for weak scaling the same question to Gustafson's law.
def share($weak; $speedup; $w; $w0): if $speedup == null or $w <= $w0 then null
    else line_of($weak; $speedup; $w; $w0) | if .x > 0 then .y / .x else null end end;

def least_squares($weak; $w0; speedup):
    map(select(speedup != null) | line_of($weak; speedup; .w; $w0))
    | (map(.x * .x) | add // 0) as $below
    | if $below > 0 then (map(.x * .y) | add) / $below else null end;

# How much more work a row is than the smallest. Planned weak scaling grows it as the workers.
def work_over($base): if .weak then
        if (.r.items // 0) > 0 and ($base.r.items // 0) > 0 then .r.items / $base.r.items
        else .w / $base.w end
    elif (.r.bytes // 0) > 0 and ($base.r.bytes // 0) > 0 then .r.bytes / $base.r.bytes
    else 1 end;

# From the interval of both medians: rather wide.
def with_speedup($base): work_over($base) as $work
    | def over($mine; $its): if $mine and $its then $work * $its / $mine else null end;
    (.file == $base.file and .line == $base.line) as $is_base
    | .speedup = over(.r | seconds; $base.r | seconds)
    | .speedup_low = if $is_base then null else over(.r | high_s; $base.r | low_s) end
    | .speedup_high = if $is_base then null else over(.r | low_s; $base.r | high_s) end
    | ($base.w / .w) as $ideal
    | .efficiency = .speedup * $ideal
    | .efficiency_low = (if .speedup_low then .speedup_low * $ideal else null end)
    | .efficiency_high = (if .speedup_high then .speedup_high * $ideal else null end)
    | .share = share(.weak; .speedup; .w; $base.w)
    | .share_low = share(.weak; .speedup_high; .w; $base.w)
    | .share_high = share(.weak; .speedup_low; .w; $base.w);

# A law that misses what was measured by more than a tenth promises nothing of what was not.
def with_promise($weak; $w0): .is_share = (.s >= 0 and .s <= 1)
    | .promises = (.is_share and .residual < 0.1)
    | if .promises then
        .twice = law($weak; .s; 2 * .to; $w0) | .four = law($weak; .s; 4 * .to; $w0)
        | .limit = if $weak or .s == 0 then null else (.s + (1 - .s) / $w0) / .s end
    else . end;

# Of rows that begin with the smallest. Workers that share cores say nothing of the law, as in
# local/data/speedup.
def fit: .[0] as $base | $base.weak as $weak | $base.w as $w0
    | map(select(.w > $w0 and (.r | is_oversubscribed | not))) as $fair
    | ($fair | least_squares($weak; $w0; .speedup)) as $s
    | if ($base.r | is_oversubscribed) or ($fair | map(.w) | unique | length) < 2 or $s == null
      then null
      else {
        s: $s, points: ($fair | length), to: ($fair | map(.w) | max),
        low: ($fair | least_squares($weak; $w0; .speedup_high)),
        high: ($fair | least_squares($weak; $w0; .speedup_low)),
        residual: ($fair | map(.speedup / law($weak; $s; .w; $w0) - 1 | . * .)
            | add / length | sqrt)
      } | with_promise($weak; $w0) end;

def is_of($program; $cell): ($cell.program // "" | split("/") | last) == $program;

# Of cells that gave nothing, those of this study.
def gaps($cells; $of): [$cells[]
    | select(.scaling == $of.scaling and .host == null)
    | select(is_of($of.r.program; .))
    | {w: ((.ranks // 1) * (.threads // 1)), nodes, ranks, threads, cell, state}];

# One row of each kind in a file is a study's; several are told apart by their order in the file.
def with_order: group_by([.file, .key])
    | map(to_entries[] | .key as $order | .value
        | .order = if .weak and .planned then $order else 0 end);

def scaling_rows: [usable[]
    | select((.r | is_timed and is_whole) and (.cell == null or .cell.host == null))
    | select(.cell.scaling or (.r | shares_work))
    | .scaling = (.cell.scaling // (.r.scaling | strings) // "strong")
    | .weak = (.scaling == "weak") | .planned = (.cell.scaling != null) | .w = (.r | workers)
    | .key = [.r.program, .scaling, (.weak as $weak | .r | work_key($weak))]] | with_order;

def scaling_groups: [.cells[] | select(.state != "ok")] as $cells
    | scaling_rows | group_by([.key, .order])
    | map(sort_by([.w, .r.ranks // 1, .file, .line]) | .[0] as $base
        | any(.[]; .planned) as $planned
        | select($planned or (map(.w) | unique | length) > 1)
        | map(with_speedup($base))
        | {rows: ., base: $base, weak: $base.weak, w0: $base.w, scaling: $base.scaling, fit: fit,
           gaps: (if $planned then gaps($cells; $base) else [] end),
           title: ([($base.r | name_of_row), ($base.r | name_of_size | select($base.weak | not)),
                    "\($base.scaling) scaling"] | map(select(. != "")) | join(", "))});

def scaling_row: .r as $r | {nodes: $r.nodes, ranks: $r.ranks, threads: $r.threads, workers: .w,
    mark: ($r | oversubscribed_mark), size: ($r | name_of_size), median_s: ($r | seconds),
    ci_low_s: ($r | low_s), ci_high_s: ($r | high_s), speedup, speedup_low, speedup_high,
    efficiency, serial_share: .share, share_low, share_high};
def gap_row: {nodes, ranks, threads, workers: .w, mark: "\(.state): \(.cell)", size: ""};

def scaling_table: {name: "scaling", title, rows:
        ([.rows[] | scaling_row] + [.gaps[] | gap_row] | sort_by(.workers)),
    columns: (layout_columns + [["workers", "workers", "int"]] + mark_column
        + [["size", "size", "text"]] + time_columns + [["speedup", "speed-up", "ratio"],
           [["speedup_low", "speedup_high"], "interval", "ratio"],
           ["efficiency", "efficiency", "fraction"], ["serial_share", "serial share", "ratio"],
           [["share_low", "share_high"], "interval", "ratio"]] | columns)};

def law_name: if .weak then "Gustafson" else "Amdahl" end;

def promise_note: .weak as $weak | .fit | if .promises then
        " If nothing else gets in the way, it promises \(.twice | figures(4)) times the speed on"
        + " \(2 * .to) workers, \(.four | figures(4)) on \(4 * .to)"
        + if .limit then ", and never more than \(.limit | figures(4))."
          elif $weak then ", and more as long as the work grows." else ", and no limit." end
    elif .is_share then " That is too far off to promise anything of more workers."
    else " A share \(if .s < 0 then "below 0 (faster than linear)" else "above 1 (no gain)" end)"
        + " is none: the law does not hold here, and promises nothing." end;

def fit_note: "\(law_name)'s law" as $law | if .fit == null then
        "\($law) needs three numbers of workers, with a core for each worker, to be tested: no fit."
    else "\($law) fits the \(.fit.points) runs beyond the smallest best with a serial share of"
        + " \(.fit.s | figures(4))"
        + (if .fit.low and .fit.high then
            " (\(.fit.low | figures(4)) to \(.fit.high | figures(4)))" else "" end)
        + " and misses them by \(.fit.residual | shown_misfit) (root of the mean square)."
        + promise_note
    end;

# The share is that of a law only if it is the same at any number of workers.
def growth_note: [.rows[] | select(.share_low and .share_high and (.r | is_oversubscribed | not))]
    | select(length > 1 and last.w > first.w and last.share_low > first.share_high)
    | "The serial share grows from \(first.share | figures(3)) at \(first.w) workers to"
        + " \(last.share | figures(3)) at \(last.w): it is not serial work alone, but something"
        + " that more workers make worse (waiting, messages, shared memory).";

def reach_note: (.rows | last) as $top | if $top.w == .w0 then
        "One number of workers: nothing to compare."
    else "\($top.w) workers reach \($top.speedup | figures(4)) times the speed of \(.w0),"
        + " \($top.efficiency * 100 | fixed(0)) % of the ideal"
        + if $top.r | is_oversubscribed then ", OVERSUBSCRIBED: they share cores." else "." end end;

def scaling_notes: [reach_note,
    if (.rows | last.w) > .w0 then fit_note, growth_note else empty end];

# A curve for each number of threads a rank, broken where a cell gave nothing.
def curves_of(value; low; high): .gaps as $gaps | .rows
    | group_by(if .r.ranks then .r.threads // 1 else 0 end)
    | map((.[0].r.threads // 1) as $threads | {
        title: (if .[0].r.ranks then "\($threads | plural("thread")) a rank" else "threads" end),
        style: "measured",
        points: (map([.w, value, low, high])
            + [$gaps[] | select((.threads // 1) == $threads) | [.w, null, null, null]]
            | sort_by(.[0]))});

# The ideal and the fit, as functions of the number of workers.
def laws_of(ideal; fitted): (.rows | map(.w) | [min, max]) as [$from, $to]
    | def points(f): [range(0; 33) | ($from * pow($to / $from; . / 32)) as $w | [$w, ($w | f)]];
    [{title: "ideal", style: "ideal", points: points(ideal)}]
    + if .fit.is_share then
        [{title: "\(law_name), s = \(.fit.s | figures(3))", style: "fit", points: points(fitted)}]
      else [] end;

# All as far as they have room, else the powers of 2.
def few_tics: if length < 10 then . else
    [range(first | log2 | ceil; last | log2 | floor + 1) | pow(2; .)] end;

def scaling_plots($number): .weak as $weak | .w0 as $w0 | (.base.r | seconds) as $t0
    | (.fit.s // 0) as $s | .title as $title
    | {kind: "lines", logx: true, xlabel: "workers (ranks x threads)",
       xtics: ([.rows[].w, .gaps[].w] | unique | few_tics),
       failed: (.gaps | map({x: .w, state}))} as $plot
    | [{name: "time", ylabel: "time", logy: "time",
        series: (curves_of(.r | seconds; .r | low_s; .r | high_s)
            + laws_of(if $weak then $t0 else $t0 * $w0 / . end;
                $t0 / law($weak; $s; .; $w0) * if $weak then . / $w0 else 1 end))},
       {name: "speed-up", ylabel: "times the speed of \($w0 | plural("worker"))", logy: "ratio",
        series: (curves_of(.speedup; .speedup_low; .speedup_high)
            + laws_of(. / $w0; law($weak; $s; .; $w0)))},
       {name: "efficiency", ylabel: "efficiency",
        series: (curves_of(.efficiency; .efficiency_low; .efficiency_high)
            + laws_of(1; law($weak; $s; .; $w0) * $w0 / .))}]
    | map($plot + . + {title: "\(.name): \($title)", name: "scaling-\($number)-\(.name)"});

def fits_part: [.[] | . as $group | .fit | select(. != null) | {
        study: $group.title, law: ($group | law_name), serial_share: .s, share_low: .low,
        share_high: .high, misfit: .residual, points, workers: .to, twice, four, limit}]
    | select(length > 0) | {title: "What the laws promise", plots: [],
        notes: ["Speed-ups over the smallest run, on 2 and 4 times as many workers as fitted."],
        table: {name: "fits", title: "What the laws promise", rows: ., columns: ([
            ["study", "study", "text"], ["law", "law", "text"],
            ["serial_share", "serial share", "ratio"],
            [["share_low", "share_high"], "interval", "ratio"], ["misfit", "misses by", "misfit"],
            ["points", "runs", "int"], ["workers", "up to workers", "int"],
            ["twice", "on 2 x", "ratio"], ["four", "on 4 x", "ratio"],
            ["limit", "limit", "ratio"]] | columns)}};

def scaling_section: scaling_groups | select(length > 0) | {
    id: "scaling", title: "Scaling",
    notes: ["The smallest run of a group is what the others are compared with. The intervals of"
        + " speed-ups come from those of both medians, and are rather wide. The serial share, of"
        + " Karp and Flatt, is the share of the work that would explain the speed-up if one worker"
        + " had to do it alone.",
        if any(.[]; .weak) then "Weak scaling: the work is taken to grow as the workers do, and the"
            + " speed-up is that of the larger work." else empty end],
    parts: ([fits_part] + [to_entries[] | .key as $i | .value
        | {title, notes: scaling_notes, table: scaling_table,
           plots: (if $i < 12 then scaling_plots($i + 1) else [] end)}])};

# ---- Where the time goes

def shortened($most): if length > $most then .[:$most - 3] + "..." else . end;

# What ranks did not compute, in percent. A farm's workers compute, or wait for a task.
def waiting: .waiting_percent
    // if .busy_mean_s and (.total_s // 0) > 0 then 100 * (1 - .busy_mean_s / .total_s)
       else null end;

def waiting_rows: [usable[] | select(.r | is_timed) | .r | waiting as $waiting
    | select($waiting != null)
    | {run: "\(name_of_row), \(layout): \(name_of_size)", nodes, ranks, threads, time_s: seconds,
       computing_percent: (100 - $waiting), waiting_percent: $waiting, imbalance,
       mark: oversubscribed_mark}];

def bars($name; $title; $what; name; $parts): .[:40] as $rows | {kind: "bars", name: $name,
    title: $title, ylabel: $what, names: ($rows | map(name | shortened(36))),
    parts: ($parts | map(. as [$key, $its] | {title: $its, values: ($rows | map(.[$key]))}))};

def waiting_part: waiting_rows | select(length > 0) | {
    title: "Computing and waiting",
    notes: [(max_by(.waiting_percent)
            | "Longest waiting: \(.run): \(.waiting_percent | shown_percent) of its time."),
        "Stencil and cg measure how long ranks wait in MPI; of the farm it is what its workers do"
        + " not compute. Imbalance is the time of the busiest worker over the mean."],
    table: {name: "waiting", title: "Computing and waiting", rows: ., columns: ([
        ["run", "run", "text"]] + layout_columns + [["time_s", "time", "time"],
        ["computing_percent", "computing", "percent"], ["waiting_percent", "waiting", "percent"],
        ["imbalance", "imbalance", "ratio"]] + mark_column | columns)},
    plots: [bars("waiting"; "Where the time goes"; "share of the time (%)"; .run;
        [["computing_percent", "computing"], ["waiting_percent", "waiting"]])]};

# The seconds that rows account for. Samples "back to back" are batches of an unknown length.
def measured: if length > 0 and all(.[].r; .mean_s and .iterations
        and (.start == "barrier" or .start == "window"))
    then map(.r.mean_s * .r.iterations) | add else null end;

def whole_run_rows: (.rows | by_file) as $rows_of | [.cells[]
    | select(.state == "ok" and (.seconds | type) == "number")
    | ($rows_of[.file] | measured) as $measured
    | select($measured and $measured <= .seconds)
    | {cell, nodes, ranks, threads, seconds_s: .seconds, measured_s: $measured,
       rest_s: (.seconds - $measured)}];

def whole_runs_part: whole_run_rows | select(length > 0) | {
    title: "Whole runs",
    notes: ["Of a run's seconds, those that its records account for (samples times their mean). The"
        + " rest is start-up, warm-up, checks and end; the records do not tell these apart."],
    table: {name: "whole_runs", title: "Whole runs", rows: ., columns: ([["cell", "cell", "text"]]
        + layout_columns + [["seconds_s", "run", "time"], ["measured_s", "measured", "time"],
        ["rest_s", "rest", "time"]] | columns)},
    plots: [bars("runs"; "Whole runs"; "seconds"; .cell;
        [["measured_s", "measured"], ["rest_s", "rest"]])]};

def start_up_part: [usable[] | select(.r.init_s != null)] | select(length > 0)
    | group_by([.file, .r.program]) | map(.[0] as $one | {
        program: $one.r.program, file: $one.file, nodes: $one.r.nodes, ranks: $one.r.ranks,
        median_s: (map(.r.init_s) | median), longest_s: (map(.r.init_s) | max),
        host: (max_by(.r.init_s) | .r.host)})
    | {title: "Start-up", plots: [],
        notes: ["How long MPI_Init took: the median of the ranks, and the longest with its host."],
        table: {name: "start_up", title: "Start-up", rows: ., columns: ([
            ["program", "program", "text"], ["file", "file", "text"], ["nodes", "nodes", "int"],
            ["ranks", "ranks", "int"], ["median_s", "median", "time"],
            ["longest_s", "longest", "time"], ["host", "on host", "text"]] | columns)}};

def time_section: [waiting_part, whole_runs_part, start_up_part] | select(length > 0)
    | {id: "time", title: "Where the time goes", notes: [], parts: .};

# ---- Nodes that differ. Robust deviations are 1.4826 times the median deviation, which is sigma
# where the spread is normal.

def with_verdict($count; $middle; $deviation; $more_is_faster): if .value == null then . else
    (.value - $middle) as $off
    | .off_percent = if $middle != 0 then 100 * $off / $middle else null end
    | .deviations = if $deviation > 0 then $off / $deviation else null end
    | .is_outlier = ($count > 2 and ($off | fabs) > 0.1 * ($middle | fabs)
        and ($off | fabs) > 4 * $deviation)
    | .mark = if .is_outlier | not then ""
        elif ($off > 0) == $more_is_faster then "OUTLIER: faster" else "OUTLIER: slower" end end;

def with_verdicts: (.key | endswith("_per_s")) as $more | (.nodes | map(.value) | known) as $values
    | ($values | median) as $middle
    | ($values | map(. - ($middle // 0) | fabs) | median // 0 | . * 1.4826) as $deviation
    | .count = ($values | length) | .median = $middle
    | .count as $count
    | .nodes |= (map(with_verdict($count; $middle; $deviation; $more)) | sort_by(.host));

def metric: . as $r | [["bytes_per_s", "bandwidth"], ["flops_per_s", "flops"],
    ["median_s", "time"], ["total_s", "time"], ["init_s", "MPI_Init"]]
    | map(select(($r[.[0]] | type) == "number" and $r[.[0]] > 1e-12)) | first;

# What one program says of several hosts: each alone in a cell, or all in one file.
def host_groups: [usable[] | .host = (.r.host // .cell.host) | .metric = (.r | metric)
        | .alone = (.cell.host != null) | select(.host and .metric)]
    | group_by([.alone, if .alone then "" else .file end, .r.program, .metric, .r.threads,
        (.r | work_key(false))]);

def on_hosts: [.cells[] | select(.host and .state != "ok")] as $cells
    | host_groups | map(.[0] as $one | $one.metric as [$key, $what]
    | {title: "\($one.r | name_of_row): \($what)", key: $key, nodes: (
        (group_by(.host) | map({host: .[0].host, value: (map(.r[$key]) | median)}))
        + [$cells[] | select($one.alone and is_of($one.r.program; .))
            | {host, value: null, mark: "\(.state): \(.why)"}])});

# Of all pairs, each host's links to others: those of a slow host are all slow.
def links: [usable[] | select(.r.from_host and .r.to_host)]
    | group_by([.file, .r.variant, .r.bytes, .r.large_bytes]);
def link_metrics: ["median_s", "latency"], ["large_bytes_per_s", "bandwidth"];
def has_number($key): (.r[$key] | type) == "number" and .r[$key] > 1e-12;

def on_links: [links[] | . as $rows | link_metrics as [$key, $what]
    | [$rows[] | select(.r.from_host != .r.to_host and has_number($key))] | select(length > 0)
    | {title: "\(first.r | name_of_row): \($what) of links to other nodes", key: $key, nodes: (
        [.[] | {host: (.r.from_host, .r.to_host), value: .r[$key]}] | group_by(.host)
        | map({host: .[0].host, value: (map(.value) | median)}))}];

def kind_of_key: if endswith("bytes_per_s") then "rate"
    elif . == "flops_per_s" then "flops" else "time" end;

def off_text: "\(.off_percent | fabs | fixed(0)) %"
    + " \(if .off_percent > 0 then "above" else "below" end) the median of the nodes";

def verdict_notes: if .count < 2 then "One node: nothing to compare."
    elif .count == 2 then "Two nodes: if they differ, neither is the odd one."
    elif any(.nodes[]; .is_outlier) then .nodes[] | select(.is_outlier)
        | "\(.host) is \(.mark | split(": ") | last) than the others: \(off_text)."
    else "No outlier among \(.count) nodes." end;

def nodes_part($number): with_verdicts | .title as $title | .key as $key | {
    title: $title, notes: [verdict_notes],
    outliers: [.nodes[] | select(.is_outlier) | {host, mark, title: $title, off: off_text}],
    table: {name: "nodes", title: $title, columns: ([["host", "host", "text"],
            [$key, ($title | split(": ") | last), ($key | kind_of_key)],
            ["off_percent", "off the median", "percent"],
            ["deviations", "robust deviations", "ratio"]] + mark_column | columns),
        rows: (.nodes | map({host, off_percent, deviations, mark, ($key): .value}))},
    plots: (if .count < 2 then [] else [{kind: "nodes", name: "nodes-\($number)", title: $title,
        unit: ($key | kind_of_key), median: .median, nodes: .nodes}] end)};

def squares($key; $hosts):
    (reduce range($hosts | length) as $i ({}; .[$hosts[$i]] = $i)) as $place
    | [.[] | select(has_number($key))
        | {at: ([.r.from_host, .r.to_host], [.r.to_host, .r.from_host]), value: .r[$key]}]
    | group_by(.at)
    | map({x: $place[.[0].at[0]], y: $place[.[0].at[1]], value: (map(.value) | median)});

def maps: [links[] | . as $rows | ([.[].r | .from_host, .to_host] | unique) as $hosts
    | select(($hosts | length) > 1)
    | link_metrics as [$key, $what]
    | {kind: "map", what: $what, title: "\($rows[0].r | name_of_row): \($what) between nodes",
       names: $hosts, unit: ($key | kind_of_key), squares: ($rows | squares($key; $hosts))}
    | select(.squares != [])]
    | to_entries | map(.value + {name: "pairs-\(.key + 1)-\(.value.what)"});

def map_part: maps | select(length > 0) | {title: "Pairs of nodes", plots: .,
    notes: ["Each square is the median of the pairs of ranks on two nodes. A row and a column that"
        + " are both of another colour belong to a slow node, a single square to a slow link."]};

def nodes_section: (on_hosts + on_links) as $groups | select($groups != []) | {
    id: "nodes", title: "Differences between nodes",
    notes: ["A node is an outlier here if it is off the median over the nodes by more than 10 % and"
        + " by more than 4 robust deviations (1.4826 times the median deviation). Look first at a"
        + " node that stands out in several tables; in one alone it was perhaps busy just then."],
    parts: ([$groups | to_entries[] | .key as $i | .value | nodes_part($i + 1)] + [map_part])};

# ---- Times over bytes

# [[[row of one curve]]], by file and layout
def curves: [usable[] | select((.r | is_timed and is_whole) and .r.bytes != null)]
    | group_by([.file, .r.program, .r.ranks, .r.nodes, .r.threads, .r.workers, .r.partner])
    | map(group_by(.r | pick(kinds)) | map(sort_by(.r.bytes)
        | select((map(.r.bytes) | unique | length) > 1)))
    | map(select(length > 0));

def overlaps($best): (.r | name_of_kind) != ($best.r | name_of_kind) and (.r.ci_low_s != null)
    and $best.r.ci_high_s != null and .r.ci_low_s <= $best.r.ci_high_s;

def fastest_row: min_by(.r | seconds) as $best | {bytes: $best.r.bytes,
    fastest: ($best.r | name_of_kind),
    also: ([.[] | select(overlaps($best)) | .r | name_of_kind] | join(", ")),
    median_s: ($best.r | seconds), ci_low_s: ($best.r | low_s), ci_high_s: ($best.r | high_s),
    bytes_per_s: $best.r.bytes_per_s};

def bytes_table($title): {name: "bytes", title: $title,
    rows: ([.[][]] | group_by(.r.bytes) | map(fastest_row)),
    columns: ([["bytes", "bytes", "bytes"]]
        + if length > 1 then [["fastest", "fastest", "text"], ["also", "also", "text"]] else [] end
        + time_columns + [["bytes_per_s", "bandwidth", "rate"]] | columns)};

def bytes_plot($name; $title): {kind: "lines", name: $name, title: $title, logx: true,
    logy: "time", bytes: true, xlabel: "bytes", ylabel: "time", xtics: [], failed: [],
    series: map({title: (first.r | name_of_kind), style: "measured",
        points: map([.r.bytes, (.r | seconds), (.r | low_s), (.r | high_s)] | select(.[0] > 0))})};

def curves_part($number): first[0] as $one
    | (if $one.r.ranks then $one.r.ranks | plural("rank")
       else $one.r | workers | plural("worker") end) as $who
    | "\($one.file): \($one.r.program), \($who) on \($one.r.nodes // 1 | plural("node"))" as $title
    | {title: $title,
       notes: [($one.r | select(is_oversubscribed) | "OVERSUBSCRIBED: they share cores."),
           if length > 1 then "The table has the fastest of each size, and beside it those whose"
               + " intervals overlap with its own: no difference shown." else empty end],
       table: bytes_table($title),
       plots: (if $number > 24 then [] else [bytes_plot("bytes-\($number)"; $title)] end)};

def bytes_section: curves | select(length > 0) | {
    id: "bytes", title: "Times over bytes",
    notes: ["From first entry to last exit of an operation, or half a round trip; the bands are"
        + " 95 % intervals of the median."],
    parts: [to_entries[] | .key as $i | .value | curves_part($i + 1)]};

# ---- What was run

def span: known | unique | if length < 2 then .[0] // "" | tostring
    else "\(first) to \(last)" end;
def few: known | unique | if length > 4 then span else map(tostring) | join(", ") end;
def all_named: known | unique | map(tostring) | join(", ");

def program_row: first.r as $one | (map(select(.r | is_oversubscribed)) | length) as $over
    | {program: $one.program, version: $one.version, mpi: $one.mpi, rows: length,
       mark: ([if $over > 0 then "OVERSUBSCRIBED: \($over) of \(length)" else empty end,
           if wrong_rows > 0 then "NOT VERIFIED: \(wrong_rows) of \(length)" else empty end]
           | join("; ")),
       nodes: (map(.r.nodes) | few), ranks: (map(.r.ranks) | few),
       threads: (map(.r.threads // .r.workers) | few), binding: (map(.r.binding) | all_named),
       oversubscribed: $over, unverified: wrong_rows, dates: (map(.r.date) | span)};

def programs_part: .rows | group_by(.r | [.program, .version, .mpi]) | map(program_row)
    | {title: "Programs", notes: [], plots: [], table: {
        name: "programs", title: "Programs", rows: ., columns: ([
            ["program", "program", "text"], ["version", "version", "text"], ["mpi", "MPI", "text"],
            ["rows", "records", "int"], ["mark", "mark", "mark"],
            ["nodes", "nodes", "text"], ["ranks", "ranks", "text"], ["threads", "threads", "text"],
            ["binding", "binding", "text"], ["dates", "date", "text"]] | columns)}};

def count_of($state): map(select(.state == $state)) | length;

# Runs of a plan: those that gave nothing stand at the top, all with their commands at the end.
def cell_table: {name: "cells", title: "Planned runs",
    rows: map({cell, state, why, scaling, host, nodes, ranks, threads, program, command,
        seconds_s: (.seconds | numbers // null)}),
    columns: ([["cell", "cell", "text"], ["state", "state", "mark"], ["why", "why", "text"],
        ["scaling", "scaling", "text"], ["host", "host", "text"]] + layout_columns
        + [["program", "program", "text"], ["seconds_s", "run", "time"],
           ["command", "command", "code"]] | columns)};

def lost_part: .cells | select(length > 0) | {
    title: "Planned runs", plots: [],
    notes: ["Of \(length | plural("planned run")), \(count_of("ok")) went well,"
        + " \(count_of("FAILED")) failed and \(count_of("missing")) did not run yet."],
    table: (map(select(.state != "ok")) | cell_table | .name = "lost"
        | .columns |= map(select(.key != "command")))};

def plan_part: .cells | select(length > 0)
    | {title: "Planned runs and their commands", notes: [], plots: [], table: cell_table};

def runs_section: {id: "runs", title: "What was run", notes: [], parts: [programs_part, lost_part]};

def record_row: (.cell.state // "ok") as $state | .file as $file | .r
    | {file: $file, program, kind: name_of_kind,
       mark: ([if .verified == false then "NOT VERIFIED" else empty end,
           if $state != "ok" then "run \($state)" else empty end, oversubscribed_mark]
           | map(select(. != "")) | join("; ")),
       place: (if .from_name then "\(.from_name) - \(.to_name)"
           elif .host then "rank \(.rank) on \(.host)" else "" end),
       nodes, ranks, threads: (.threads // .workers), size: name_of_size, bytes,
       median_s: seconds, ci_low_s: low_s, ci_high_s: high_s, bytes_per_s, iterations, verified};

def records_part: .rows | {title: "Records", folded: true, plots: [],
    notes: ["The main fields of each; the files have more."],
    table: {name: "records", title: "All records", rows: map(record_row), columns: ([
        ["file", "file", "text"], ["program", "program", "text"], ["kind", "variant", "text"],
        ["mark", "mark", "mark"], ["place", "who", "text"]] + layout_columns + [
        ["size", "size", "text"], ["bytes", "bytes", "bytes"]] + time_columns + [
        ["bytes_per_s", "bandwidth", "rate"], ["iterations", "samples", "int"]] | columns)}};

def records_section: {id: "records", title: "All runs and records", notes: [],
    parts: [plan_part, records_part]};

# ---- All of it

def finding($level; text): text | {level: $level, text: .};

def plan_findings: [.cells[] | select(is_failed)] as $failed | (.cells | length) as $all
    | (.cells | count_of("missing")) as $missing
    | finding("bad"; select($failed != [])
        | "\($failed | length) of \($all | plural("run")) FAILED: "
            + ($failed[:6] | map(.cell) | join(", ")) + if $failed[6] then " ..." else "" end),
      finding("warn"; select($missing > 0)
        | "\($missing) of \($all | plural("run")) did not run yet");

def row_findings: (.rows | length) as $all | (.rows | wrong_rows) as $wrong
    | ([.rows[] | select(.r | is_oversubscribed)] | length) as $over
    | finding("bad"; select($wrong > 0) | "\($wrong) of \($all | plural("record")) NOT VERIFIED:"
        + " what is wrong has no times"),
      finding("warn"; select($over > 0) | "\($over) of \($all | plural("record")) OVERSUBSCRIBED:"
        + " more workers than cores, so their times tell nothing of speed-up");

def findings($sections): [
    finding("bad"; .problems[]), plan_findings, row_findings,
    finding("bad"; $sections[].parts[].outliers // [] | .[]
        | "\(.mark): \(.host): \(.title), \(.off)"),
    finding("fact"; [$sections[] | select(.id == "scaling") | .parts[]
            | select(.table.name == "scaling")][:12][]
        | "\(.title): \(.notes[0])"),
    finding("fact"; $sections[].parts[] | select(.table.name == "waiting") | .notes[0])];

# $odd: sentences about files that were not read.
def study($lines; $files; $odd; $title): read_all($lines; $files) | .problems += $odd
    | [runs_section, scaling_section, time_section, nodes_section, bytes_section, records_section]
        as $sections
    | {title: $title, rows: (.rows | length), cells: (.cells | length), problems,
       failed: (.cells | count_of("FAILED")), unverified: (.rows | wrong_rows),
       dates: (.rows | map(.r.date) | span), findings: findings($sections), sections: $sections,
       plots: [$sections[].parts[].plots[]]};
