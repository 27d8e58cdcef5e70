# report_show.jq - shows what report.jq found: as text, CSV, JSON Lines, gnuplot's commands, a page
include "report";

# ---- Cells of tables: text for people; null is what is not known

def shown($kind): if . == null or . == "" then ""
    elif type == "boolean" or type == "string" then tostring
    elif $kind == "time" then shown_time
    elif $kind == "rate" then shown_rate("B")
    elif $kind == "flops" then shown_rate("flop")
    elif $kind == "bytes" then shown_bytes
    elif $kind == "percent" then shown_percent
    elif $kind == "fraction" then . * 100 | shown_percent
    elif $kind == "ratio" then figures(4)
    else tostring end;

def shown_cell($column): . as $row | $column.kind as $kind
    | if ($column.key | type) == "array" then
        [$column.key[] | $row[.]] | if any(.[]; . == null) then "" else map(shown($kind)) | join(" to ") end
      else $row[$column.key] | shown($kind) end;

def is_number($column): $column.kind | . != "text" and . != "mark" and . != "code";

# Columns in which nothing is known are left out of what people read.
def filled: . as $t | .columns |= map(. as $c | select($t.rows | any(.[]; shown_cell($c) != "")));

def tables: .sections[].parts[].table // empty;

# ---- Text, CSV, JSON Lines

def padded($width; $right): (" " * ($width - length) // "") as $blanks
    | if $right then $blanks + . else . + $blanks end;

def one_line: gsub("[\u0001-\u001f\u007f]"; " ");

def text_table: filled | .columns as $columns
    | [[$columns[].head]] + [.rows[] | [shown_cell($columns[]) | one_line]]
    | (transpose | map(map(length) | max)) as $widths
    | .[] | [to_entries[] | .key as $i | .value | padded($widths[$i]; is_number($columns[$i]))]
    | join("  ") | sub(" +$"; "");

def text: "# \(.title): \(.rows | plural("record"))\(if .dates == "" then "" else ", \(.dates)" end)" | one_line,
    "";
def text_parts: .sections[] | "## \(.title)", .notes[], "",
    (.parts[] | ("\(.title)" | one_line), (.notes[] | "  \(one_line)"),
        (.table // empty | select(.rows | length > 0) | text_table), "");

def as_text: text, (.findings | if length > 0 then (.[] | "- \(.text)" | one_line), "" else empty end),
    text_parts;

# A table of one kind comes once, whatever the number of its parts.
def plain_keys: [.columns[].key | if type == "array" then .[] else . end];
def as_json: tables | . as $t | plain_keys as $keys | .rows[] | . as $row
    | {table: $t.name, title: $t.title} + ([$keys[] | {key: ., value: $row[.]}] | from_entries);
def as_csv: [tables] | to_entries[] | .key as $i | .value | . as $t | plain_keys as $keys
    | select(.rows | length > 0)
    | (if $i > 0 then "" else empty end), (["table", "title"] + $keys | @csv),
      (.rows[] | . as $row | [$t.name, $t.title] + [$keys[] | $row[.]] | @csv);

# ---- Plots: gnuplot's commands. Between single quotes nothing is special but the quote.

def quoted: "'" + (tostring | one_line | gsub("'"; "''")) + "'";
def number: if . == null then "NaN" else tostring end;
def colours: ["#3b7dd8", "#e07b1f", "#2fa36b", "#c2498f", "#8a6fd1", "#9a8b1c", "#1fa3b5", "#c8553d", "#7f8c8d"];
def colour($i): colours | .[$i % length] | quoted;
def failed_colour: "#d62f2f" | quoted;

def data($name): "$\($name) << EOD", (.[] | map(number) | join(" ")), "EOD";

def curve_data: .series | to_entries[] | .key as $i | .value.points
    | map(if .[1] == null then [.[0], null, null, null]
          elif length > 2 then [.[0], .[1], .[2] // .[1], .[3] // .[1]] else . end)
    | data("d\($i)");

def curve_command($i): ((.title | quoted) as $title
    | if .style == "ideal" then "$d\($i) using 1:2 with lines dt 3 lw 1.5 lc rgb '#888888' title \($title)"
      elif .style == "fit" then "$d\($i) using 1:2 with lines dt 2 lw 1.5 lc rgb '#888888' title \($title)"
      else "$d\($i) using 1:3:4 with filledcurves fs transparent solid 0.2 noborder lc rgb \(colour($i)) notitle, "
        + "$d\($i) using 1:2 with linespoints pt \([7, 5, 9, 11, 13][($i / 9 | floor) % 5]) ps 0.6 lw 2 lc rgb \(colour($i)) title \($title)" end);

def x_range: [.series[].points[][0]] as $all | "set xrange [\($all | min * 0.9):\($all | max * 1.12)]";

def draw_lines: curve_data, x_range,
    (if .logx then "set logscale x 2" else empty end), (if .logy then "set logscale y" else empty end),
    (if .bytes then "set format x '%.0b %B'" else empty end),
    (if .logy then "set format y '%.3g'" else empty end),
    (if .from_zero then "set yrange [0:*]" else empty end),
    (if .xtics | length > 0 then "set xtics (\(.xtics | map("\(quoted) \(.)") | join(", ")))" else empty end),
    (.failed[] | "set label \(.state | ascii_downcase | quoted) at first \(.x), graph 0.02 left rotate by 90 offset 0.6,0.6 tc rgb \(failed_colour) front",
        "set label '' at first \(.x), graph 0.02 point pt 2 ps 1 lw 2 lc rgb \(failed_colour) front"),
    "set key \(if .series | length > 6 then "outside bottom center horizontal maxrows 6" else "outside bottom center horizontal" end)",
    "plot " + ([.series | to_entries[] | .key as $i | .value | curve_command($i)] | join(", "));

def name_tics($names): ([1, (($names | length) / 24 | ceil)] | max) as $step
    | "set xtics (\([$names | to_entries[] | select(.key % $step == 0) | "\(.value | quoted) \(.key)"] | join(", "))) rotate by -35 scale 0";

# From the last part to the first, each box as high as all up to its part.
def draw_bars: .parts as $parts | (.names | length) as $count
    | ([range($count) as $i | [$i] + [range($parts | length) as $k | $parts[:$k + 1] | map(.values[$i]) | add]] | data("d")),
    name_tics(.names), "set xrange [-0.7:\($count - 0.3)]", "set yrange [0:\(.top // "*")]",
    "set boxwidth 0.7", "set style fill solid 0.85 noborder",
    "set key outside top center horizontal",
    "plot " + ([range($parts | length - 1; -1; -1) as $k
        | "$d using 1:\($k + 2) with boxes lc rgb \(if $k == 0 then colour(0) else colour(1) end) title \($parts[$k].title | quoted)"] | join(", "));

def draw_nodes: (.nodes | length) as $count | .median as $middle
    | ([.nodes | to_entries[] | select(.value.is_outlier != true) | [.key, .value.value]] | data("d")),
    ([.nodes | to_entries[] | select(.value.is_outlier == true) | [.key, .value.value]] | if length == 0 then [[null, null]] else . end | data("o")),
    name_tics(.nodes | map(.host)), "set xrange [-0.7:\($count - 0.3)]",
    "set yrange [0:\([.nodes[].value | select(. != null)] | max * 1.15)]",
    (.nodes | to_entries[] | select(.value.value == null)
        | "set label \(.value.mark | split(":")[0] | ascii_downcase | quoted) at first \(.key), graph 0.03 left rotate by 90 tc rgb \(failed_colour)"),
    "set object rectangle from graph 0, first \($middle * 0.9) to graph 1, first \($middle * 1.1) behind fs solid 0.25 noborder fc rgb '#888888'",
    "set key outside top center horizontal",
    "plot \($middle) with lines dt 2 lw 1.5 lc rgb '#888888' title 'median, and 10 % around it', "
        + "$d using 1:2 with points pt 7 ps 0.9 lc rgb \(colour(0)) title 'nodes'"
        + ", $o using 1:2 with points pt 5 ps 1.2 lc rgb \(failed_colour) title 'outliers'";

def draw_map: ([.squares[] | [.x, .y, .value]] | data("d")), (.squares | map(.value)) as $values
    | (($values | max) / ($values | min)) as $span
    | ([1, (4 / $span | sqrt)] | max) as $wider # or 5 % would look like all the difference there is
    | "set logscale cb", "set cbrange [\(($values | min) / $wider):\(($values | max) * $wider)]", "set format cb '%.2g'",
    "set palette defined (0 '#ffffcc', 1 '#41b6c4', 2 '#0c2c84')", "set cblabel \(.label | quoted)",
    "set border 0", "unset key", name_tics(.names),
    (name_tics(.names) | sub("^set xtics"; "set ytics") | sub(" rotate by -35"; "")),
    "set xrange [-0.5:\((.names | length) - 0.5)]", "set yrange [\((.names | length) - 0.5):-0.5]",
    "plot $d using 1:2:(0.5):(0.5):3 with boxxyerror fs solid lc palette";

def terminal($format): if $format == "svg"
    then "set terminal svg noenhanced size 560,400 font 'sans,14' background rgb 'white'"
    else "set terminal pngcairo noenhanced size 1120,800 font 'sans,20' background rgb 'white'" end;

# Every plot, in both formats, in one run of gnuplot.
def gnuplot_commands($folder): "set encoding utf8", (.plots[] | . as $plot | ("svg", "png") as $format
    | "reset", terminal($format), "set output \("\($folder)/\(.name).\($format)" | quoted)",
    "set title \(.title | quoted)", "set xlabel \(.xlabel // "" | quoted)", "set ylabel \(.ylabel // "" | quoted)",
    "set border 3", "set tics nomirror out", "set grid back lt 1 lw 0.5 lc rgb '#bbbbbb'",
    "set datafile missing '?'",
    ($plot | if .kind == "lines" then draw_lines elif .kind == "bars" then draw_bars
        elif .kind == "nodes" then draw_nodes else draw_map end), "unset output");

# ---- The page

def html_cell($column): shown_cell($column) | @html
    | if $column.kind == "code" and . != "" then "<code>\(.)</code>" else . end
    | "<td\(if is_number($column) then " class=\"n\"" else "" end)>\(.)</td>";

def row_class: ((.mark // "") + " " + (.state // "")) | if test("FAILED|OUTLIER|NOT VERIFIED") then " class=\"bad\""
    elif test("OVERSUBSCRIBED|missing") then " class=\"warn\"" else "" end;

def html_table: filled | .columns as $columns | "<div class=\"scroll\"><table>",
    "<thead><tr>\([$columns[] | "<th\(if is_number(.) then " class=\"n\"" else "" end)>\(.head | @html)</th>"] | add // "")</tr></thead><tbody>",
    (.rows[] | "<tr\(row_class)>\([html_cell($columns[])] | add // "")</tr>"),
    "</tbody></table></div>";

def html_plot($svgs; $why): .name as $name | "<figure>",
    ($svgs[$name] // "<p class=\"none\">No plot: \($why | @html)</p>"),
    "<figcaption>\(.title | @html)</figcaption></figure>";

def html_part($svgs; $why): . as $part | "<h3>\(.title | @html)</h3>", (.notes[] | "<p>\(@html)</p>"),
    (if .plots | length > 0 then "<div class=\"plots\">", (.plots[] | html_plot($svgs; $why)), "</div>" else empty end),
    (.table // empty | select(.rows | length > 0)
        | if $part.folded then "<details><summary>\(.rows | length | plural("row"))</summary>", html_table, "</details>"
          else html_table end);

def html_section($svgs; $why): "<section id=\"\(.id)\"><h2>\(.title | @html)</h2>", (.notes[] | "<p>\(@html)</p>"),
    (.parts[] | html_part($svgs; $why)), "</section>";

def page($css; $svgs; $why): "<!DOCTYPE html>", "<html lang=\"en\"><head><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    "<meta name=\"color-scheme\" content=\"light dark\">",
    "<link rel=\"icon\" href=\"data:,\">", "<title>\(.title | @html)</title>", "<style>", $css, "</style></head><body>",
    "<header><h1>\(.title | @html)</h1>",
    "<p>\(.rows | plural("record"))\(if .cells > 0 then ", \(.cells | plural("planned run"))" else "" end)\(if .dates == "" then "" else ", \(.dates | @html)" end)</p>",
    "<nav>\([.sections[] | "<a href=\"#\(.id)\">\(.title | @html)</a>"] | join(" "))</nav></header>", "<main>",
    (if $why != "" and (.plots | length) > 0 then "<p class=\"warn\">Plots are missing: \($why | @html)</p>" else empty end),
    (.findings | if length > 0 then "<section id=\"look\"><h2>What to look at</h2><ul>",
        (.[] | "<li class=\"\(.level)\">\(.text | @html)</li>"), "</ul></section>" else empty end),
    (.sections[] | html_section($svgs; $why)), "</main></body></html>";
