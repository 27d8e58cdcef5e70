# report_show.jq - shows what report.jq found: as text, CSV, JSON Lines, gnuplot's commands, a page
include "report";

# ---- Cells of tables, for people; what is not known is empty

def shown($kind): if . == null then ""
    elif type != "number" then tostring
    elif $kind == "time" then shown_time
    elif $kind == "rate" then shown_rate("B")
    elif $kind == "flops" then shown_rate("flop")
    elif $kind == "bytes" then shown_bytes
    elif $kind == "percent" then shown_percent
    elif $kind == "fraction" then . * 100 | shown_percent
    elif $kind == "misfit" then shown_misfit
    elif $kind == "ratio" then figures(4)
    else tostring end;

def cell($column): . as $row | [$column.key] | flatten
    | if any(.[]; $row[.] == null) then ""
      else map($row[.] | shown($column.kind)) | join(" to ") end;

def is_number($column): $column.kind | . != "text" and . != "mark" and . != "code";

# What people read: no more rows than a browser shows in no time, and no column that is empty.
def most_rows: 1000;
def more: (.rows | length - most_rows) as $more
    | select($more > 0) | "and \($more) more: --format csv has them all";
def filled: .rows |= .[:most_rows] | . as $table
    | .columns |= map(select(. as $column | any($table.rows[]; cell($column) != "")));

def tables: .sections[].parts[].table // empty | select(.rows != []);

# ---- Text, CSV, JSON Lines

def one_line: gsub("[\u0000-\u001f\u007f-\u009f]"; " ");

def wrapped($width): reduce (one_line | split(" ")[]) as $word ([""];
        if .[-1] == "" then .[-1] = $word
        elif (.[-1] | length) + 1 + ($word | length) > $width then . + [$word]
        else .[-1] += " " + $word end) | .[];

def padded($width; $right): (" " * ($width - length) // "") as $blanks
    | if $right then $blanks + . else . + $blanks end;

def text_table: filled | .columns as $columns
    | [[$columns[].head]] + [.rows[] | [cell($columns[]) | one_line]]
    | (transpose | map(map(length) | max)) as $widths
    | .[] | [to_entries[] | .key as $i | .value | padded($widths[$i]; is_number($columns[$i]))]
    | join("  ") | sub(" +$"; "");

def subtitle: "\(.rows | plural("record"))"
    + (if .cells > 0 then ", \(.cells | plural("planned run"))" else "" end)
    + if .dates == "" then "" else ", \(.dates)" end;

def text_part: ("" , "\(.title)" | one_line), (.notes[] | wrapped(96) | "  " + .),
    (.table // empty | select(.rows != []) | "", text_table, more);

def as_table: ("# \(.title): \(subtitle)" | one_line), (.findings[] | "# \(.text)" | one_line),
    (.sections[] | "", "", "# \(.title)", "", (.notes[] | wrapped(98)), (.parts[] | text_part));

def keys_of_table: [.columns[].key] | flatten;

def as_json: tables | . as $table | .rows[] as $row
    | {table: .name, title} + ([keys_of_table[] | {key: ., value: $row[.]}] | from_entries)
    | map_values(if type == "string" then one_line else . end)
    | tojson;

def as_csv: [tables] | to_entries[] | (select(.key > 0) | ""),
    (.value | keys_of_table as $keys | (["table", "title"] + $keys | @csv),
        (. as $table | .rows[] | . as $row | [$table.name, $table.title] + [$row[$keys[]]]
            | map(if type == "string" then one_line else . end) | @csv));

# ---- Plots: gnuplot's commands. Between single quotes nothing is special but the quote.

def quoted: "'" + (tostring | one_line | gsub("'"; "''")) + "'";
def number: if . == null then "NaN" else tostring end;
def blue: "'#3b7dd8'";
def orange: "'#e07b1f'";
def red: "'#d62f2f'";
def grey: "'#888888'";
def colour($i): [blue, orange, "'#2fa36b'", "'#c2498f'", "'#8a6fd1'", "'#9a8b1c'", "'#1fa3b5'",
    "'#c8553d'", "'#7f8c8d'"] | .[$i % length];
# Beyond the colours there are other marks.
def point($i): [7, 5, 9, 11, 13] | .[($i / 9 | floor) % length];

def block($name): "$\($name) << EOD", (.[] | map(number) | join(" ")), "EOD";

# Names of tics are formats, in which a % is two.
def tic(shown): shown | tostring | gsub("%"; "%%") | quoted;
def tics($axis; shown): "set \($axis)tics (\(map("\(tic(shown)) \(.)") | join(", ")))";
def short($units): unit_of($units) as [$name, $size]
    | "\(. / $size | figures(3) | tonumber) \($name)";
def in_unit($unit): if $unit == "time" then short(time_units)
    elif $unit == "rate" then short(rate_units("B"))
    elif $unit == "flops" then short(rate_units("flop"))
    else . * 1000 | round / 1000 | tostring end;

# As many in each decade, or as many decades, as have room.
def log_tics($low; $high): ($low | log10 | floor) as $from | ($high | log10 | ceil) as $to
    | ([1, ($to - $from) / 8 | ceil] | max) as $step
    | [range($from; $to + 1; $step) as $power
        | (if $high / $low < 8 then 1, 1.5, 2, 3, 4, 5, 7
           elif $to - $from < 4 then 1, 2, 5 else 1 end) | . * pow(10; $power)]
    | map(select(. >= $low and . <= $high));

# Of speed-ups and workers one thinks in powers of 2, or 4 ...
def doubled($low; $high): ([1, ($high / $low | log2 / 10 | ceil)] | max) as $step
    | [range($low | log2 | ceil; $high | log2 | floor + 1; $step) | pow(2; .)];

# A range that is not narrower than a factor of 3, or noise would fill the plot.
def log_range: (min / 1.15) as $low | (max * 1.15) as $high
    | ([1, (3 * $low / $high | sqrt)] | max) as $wider | [$low / $wider, $high * $wider];

def log_axis($unit): [.[] | .[1:][] | select(. != null and . > 0)] | log_range as [$low, $high]
    | "set logscale y", "set yrange [\($low):\($high)]",
      (if $unit == "ratio" then doubled($low; $high) else log_tics($low; $high) end
        | tics("y"; in_unit($unit)));

# From 0, in four to eight steps of 1, 2 or 5 times a power of ten.
def nice_steps: . as $most | pow(10; $most / 8 | log10 | floor) as $power
    | first((1, 2, 5, 10) | . * $power | select($most / . <= 8)) as $step
    | [range(0; $most / $step | floor + 1) | . * $step];

# Percent, from none to all or more.
def linear_axis: ([.[] | .[1:][] | select(. != null)] | max) as $most
    | ([1.05, $most * 1.05] | max) as $top
    | "set yrange [0:\($top)]", ($top | nice_steps | tics("y"; "\(. * 100 | round) %"));

def curve_block($i): .points
    | map(if .[1] == null or length < 4 then . else .[2] //= .[1] | .[3] //= .[1] end)
    | block("d\($i)");

def curve($i): (.title | quoted) as $title | "$d\($i) using 1:2 with" as $line
    | if .style == "ideal" then "\($line) lines dt 3 lw 1.5 lc rgb \(grey) title \($title)"
      elif .style == "fit" then "\($line) lines dt 2 lw 1.5 lc rgb \(grey) title \($title)"
      else "$d\($i) using 1:3:4 with filledcurves fs transparent solid 0.2 noborder"
        + " lc rgb \(colour($i)) notitle, \($line) linespoints pt \(point($i)) ps 0.6 lw 2"
        + " lc rgb \(colour($i)) title \($title)" end;

# A run that gave nothing: a cross at the foot, and its state beside it.
def gap_mark: "set label '' at first \(.x), graph 0.03 point pt 2 ps 1 lw 2 lc rgb \(red) front",
    "set label \(.state | ascii_downcase | quoted) at first \(.x), graph 0.08 left rotate by 90"
        + " tc rgb \(red) front";

def draw_lines: [.series[].points[]] as $points | ($points | map(.[0])) as $xs
    | (.series | to_entries[] | .key as $i | .value | curve_block($i)),
    "set logscale x 2", "set xrange [\($xs | min * 0.9):\($xs | max * 1.12)]",
    (if .bytes then "set format x '%.0b %B'" else .xtics | tics("x"; tostring) end),
    (.logy as $unit | $points | if $unit then log_axis($unit) else linear_axis end),
    (.failed[] | gap_mark),
    "plot " + ([.series | to_entries[] | .key as $i | .value | curve($i)] | join(", "));

def name_tics($axis): ([1, (length / 24 | ceil)] | max) as $step
    | "set \($axis)tics (\([to_entries[] | select(.key % $step == 0)
        | "\(.value | tic(.)) \(.key)"] | join(", "))) scale 0";

# Bars lie, so that their names can be read.
def draw_bars: .parts as $parts | (.names | length) as $count
    | (range($parts | length) as $k | [range($count) as $i
        | ([$parts[:$k][].values[$i]] | add // 0) as $from
        | [$from, $i, $from, $from + $parts[$k].values[$i], $i - 0.38, $i + 0.38]]
        | block("d\($k)")),
    (.names | name_tics("y")), "set yrange [\($count - 0.4):-0.6]", "set xrange [0:*]",
    "set style fill solid 0.85 noborder", "set xlabel \(.ylabel | quoted) offset 0,0.4",
    "set ylabel", "unset grid",
    "plot " + ([range($parts | length) as $k | "$d\($k) using 1:2:3:4:5:6 with boxxyerror lc rgb"
        + " \(colour($k)) title \($parts[$k].title | quoted)"] | join(", "));

def places(wanted): [.nodes | to_entries[] | select(.value | wanted) | [.key, .value.value]]
    | if . == [] then [[null, null]] else . end;

def draw_nodes: .median as $median | ([.nodes[].value | select(. != null)] | max * 1.15) as $most
    | .unit as $unit | "set yrange [0:\($most)]",
    ($most | nice_steps | tics("y"; if . == 0 then "0" else in_unit($unit) end)),
    "set key outside top center horizontal",
    (places(.value != null and (.is_outlier | not)) | block("d")),
    (places(.is_outlier) | block("o")),
    (.nodes | map(.host) | name_tics("x") + " rotate by -45"),
    "set xrange [-0.7:\((.nodes | length) - 0.3)]",
    (.nodes | to_entries[] | select(.value.value == null)
        | {x: .key, state: (.value.mark | split(":")[0])} | gap_mark),
    "set object rectangle from graph 0, first \($median * 0.9) to graph 1, first \($median * 1.1)"
        + " behind fs solid 0.25 noborder fc rgb \(grey)",
    "plot \($median) with lines dt 2 lw 1.5 lc rgb \(grey) title 'median, and 10 % around it', "
        + "$d using 1:2 with points pt 7 ps 0.8 lc rgb \(blue) title 'nodes', "
        + "$o using 1:2 with points pt 5 ps 1.1 lc rgb \(red) title 'outliers'";

# Colours over a factor of 4 at least, or 5 % would look like all the difference there can be.
def draw_map: (.squares | map(.value)) as $values | .unit as $unit
    | ([1, (4 * ($values | min) / ($values | max) | sqrt)] | max) as $wider
    | (($values | min) / $wider) as $low | (($values | max) * $wider) as $high
    | (.squares | map([.x, .y, .value]) | block("d")),
    "set logscale cb", "set cbrange [\($low):\($high)]",
    (log_tics($low; $high) | tics("cb"; in_unit($unit))), "set rmargin at screen 0.82",
    "set palette defined (0 '#ffffcc', 1 '#41b6c4', 2 '#0c2c84')", "set border 0", "unset key",
    (.names | name_tics("x") + " rotate by -45", name_tics("y")), "unset grid",
    "set xrange [-0.5:\((.names | length) - 0.5)]", "set yrange [\((.names | length) - 0.5):-0.5]",
    "plot $d using 1:2:(0.5):(0.5):3 with boxxyerror fs solid lc palette";

def height: if .kind == "bars" then 200 + 22 * (.names | length)
    elif .kind == "map" then 440 elif .kind == "nodes" then 400
    else 340 + 10 * (.series | length) end;

# Three of them stand side by side in the page.
def width: if .name | startswith("scaling") then 480 else 560 end;

def terminal($format): if $format == "svg"
    then "set terminal svg noenhanced size \(width),\(height) font 'sans,14' background rgb 'white'"
    else "set terminal pngcairo noenhanced size \(2 * width),\(2 * height) font 'sans,20'"
        + " linewidth 2 pointscale 2 background rgb 'white'" end;

def draw($file; $format): "reset", terminal($format), "set output \($file | quoted)",
    "set title \(.title | shortened(52) | quoted)", "set ylabel \(.ylabel // "" | quoted)",
    "set xlabel \(.xlabel // "" | quoted) offset 0,0.4", "set border 3", "set tics nomirror out",
    "set grid back lt 1 lw 0.5 lc rgb '#bbbbbb'", "set key outside bottom center reverse Left",
    (if .kind == "lines" then draw_lines elif .kind == "bars" then draw_bars
     elif .kind == "nodes" then draw_nodes else draw_map end), "unset output";

# Every plot, in both formats, for one run of gnuplot.
def gnuplot_commands($folder): "set encoding utf8",
    (.plots[] | ("svg", "png") as $format | draw("\($folder)/\(.name).\($format)"; $format));

# ---- The page

def html_cell($column): cell($column) | @html
    | if $column.kind == "code" and . != "" then "<code>\(.)</code>" else . end
    | "<td\(if is_number($column) then " class=\"n\"" else "" end)>\(.)</td>";

def html_head: map("<th\(if is_number(.) then " class=\"n\"" else "" end)>\(.head | @html)</th>")
    | add // "";

def row_class: "\(.mark // "") \(.state // "")"
    | if test("FAILED|OUTLIER|NOT VERIFIED") then " class=\"bad\""
      elif test("OVERSUBSCRIBED|missing") then " class=\"warn\"" else "" end;

def html_table: "<div class=\"scroll\" tabindex=\"0\"><table>", (filled | .columns as $columns
    | "<thead><tr>\($columns | html_head)</tr></thead><tbody>",
      (.rows[] | "<tr\(row_class)>\([html_cell($columns[])] | add // "")</tr>")),
    "</tbody></table></div>", (more | "<p>\(.)</p>");

# jobs/report puts the plot into the place of its line.
def html_plot: "<figure role=\"img\" aria-label=\"\(.title | @html)\">", "<!--plot \(.name)-->",
    "</figure>";

def html_part: "<h3>\(.title | @html)</h3>", (.notes[] | "<p>\(@html)</p>"),
    (.plots | select(. != []) | "<div class=\"plots\">", (.[] | html_plot), "</div>"),
    (.folded as $folded | .table // empty | select(.rows != []) | if $folded
        then "<details><summary>\(.rows | length | plural("row"))</summary>", html_table,
            "</details>"
        else html_table end);

def html_section: "<section id=\"\(.id)\"><h2>\(.title | @html)</h2>",
    (.notes[] | "<p>\(@html)</p>"), (.parts[] | html_part), "</section>";

def html_findings: select(.findings != []) | "<section id=\"look\"><h2>What to look at</h2><ul>",
    (.findings[] | "<li class=\"\(.level)\">\(.text | @html)</li>"), "</ul></section>";

def html_header: "<header><h1>\(.title | @html)</h1>", "<p>\(subtitle | @html)</p>",
    "<nav>", (.sections[] | "<a href=\"#\(.id)\">\(.title | @html)</a>"), "</nav></header>";

def page($css; $why): "<!DOCTYPE html>", "<html lang=\"en\"><head><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    "<link rel=\"icon\" href=\"data:,\">", "<title>\(.title | @html)</title>",
    "<style>", $css, "</style></head><body>", html_header, "<main>",
    (select($why != "") | "<p class=\"warn\">No plots here: \($why | @html)</p>"),
    html_findings, (.sections[] | html_section), "</main></body></html>";

# All at once, for jq takes longer to read these modules than to obey them.
def show($format; $css; $why; $folder): {
    tables: [if $format == "table" then as_table
        elif $format == "csv" then as_csv else as_json end],
    page: [(if $why != "" then .sections[].parts[].plots = [] else . end) | page($css; $why)],
    gnuplot: [gnuplot_commands($folder)]};
