#!/usr/bin/env bats
# shellcheck disable=SC2016 # what stands between single quotes is jq's
#
# jobs/report: folders whose truth is known, runs that failed, our own programs, and the page in a
# browser.

bats_require_minimum_version 1.5.0
load ../wait

root=$BATS_TEST_DIRNAME/../..

setup() {
    command -v jq >/dev/null || skip "jq is missing: make deps check"
    command -v gnuplot >/dev/null || skip "gnuplot is missing: make deps check"
    folder=$BATS_TEST_TMPDIR/results
    mkdir -p "$folder"
}

report() {
    limited "$root/jobs/report" "$@"
}

records='def record: {program: "stencil", version: "1.0", mpi: "An MPI", ranks: 1, nodes: 1,
        threads: 1, workers: null, binding: "bound", oversubscribed: false,
        date: "2026-01-02T03:04:05Z", variant: "funneled", n: 800, verified: true} + .;
    def timed($s): {iterations: 30, median_s: $s, p10_s: $s, p90_s: $s, ci_low_s: (0.99 * $s),
        ci_high_s: (1.01 * $s), mean_s: $s, start: "barrier"};
    def amdahl($s; $w): 2 * ($s + (1 - $s) / $w);
    def cell: {cell: null, scaling: "strong", nodes: 1, ranks: 1, threads: 1, program: "stencil",
        command: "jobs/launch stencil", status: 0, seconds: 90, error: null, host: null} + .;'

write() { # write FILE FILTER: what the filter makes, with the definitions above
    jq -nc "$records $2" >>"$folder/$1"
}

# study NAME WORKERS...: cells whose times follow Amdahl's law with s = 0.1
study() {
    local w
    for w in "${@:2}"; do
        write cells.json "{cell: \"${1//\"/\\\"}-$w\", ranks: $w}
            | .file = \"\(.cell).json\" | cell"
        write "$1-$w.json" "{ranks: $w} + timed(amdahl(0.1; $w)) | record"
    done
}

value() { # value TABLE FILTER: of the rows of this table in $output
    jq -sr --arg name "$1" "map(select(.table == \$name)) | $2" <<<"$output"
}

near() { # near A B: to a millionth
    jq -en "($1) - ($2) | fabs < 1e-6" >/dev/null || { echo "$1 is not $2" && return 1; }
}

# ---- One folder for all that has a known truth; the tests look at what was made of it.

scaling_truth() {
    local w
    write amdahl.json '(1, 2, 4, 8, 16) | {ranks: .} + timed(amdahl(0.1; .)) | record'
    write from_2.json '(2, 4, 8) | {n: 900, threads: .} + timed(amdahl(0.1; .)) | record'
    for w in 1 2 4 8; do
        write cells.json "{cell: \"w$w\", scaling: \"weak\", ranks: $w, file: \"w$w.json\",
            program: \"solver\"} | cell"
        write "w$w.json" "{program: \"solver\", ranks: $w, n: ($w * 100)}
            + timed($w / (0.2 + 0.8 * $w)) | record"
    done
    write worse.json '(1, 2, 4) | {n: 6, ranks: .} + timed(if . == 4 then 1 else 1 / . end) | record'
    write shared.json '(1, 2, 4, 8) | {n: 7, ranks: ., oversubscribed: (. == 8)}
        + timed(amdahl(0.3; .) * if . == 8 then 9 else 1 end) | record'
    write shared.json '(1, 2, 4) | {n: 8, ranks: ., oversubscribed: true} + timed(1 / .) | record'
    write alike.json '(1, 2) | {ranks: ., variant: ("a", "b"), n: (10, 20)} + timed(1 / .) | record'
    write bcast.json '(1, 2, 4) | {program: "bcast", algorithm: "mpi", variant: null, n: null,
        ranks: ., bytes: (8, 16)} + timed(1e-6) | record'
    write cells.json '{cell: "only", program: "lonely", file: "only.json"} | cell'
    write only.json '{program: "lonely"} + timed(1) | record'
}

node_truth() {
    write cells.json 'range(7) | {cell: "s\(.)", scaling: null, host: "n\(.)", file: "s\(.).json",
        program: "shared/stream"} | cell'
    for i in 0 1 2 3 4 5 6; do
        write "s$i.json" "{program: \"stream\", n: null, count: 100, loop: (\"copy\", \"add\"),
            bytes_per_s: (1e9 * (1 + 0.01 * $i) * if $i == 4 then 0.8 else 1 end)} + timed(1)
            | record"
    done
    write hello.json 'range(7) | {program: "hello", rank: ., host: "n\(.)",
        init_s: (0.2 + . * 1e-3)} | record'
    write two.json '(0, 1) | {program: "hello_omp", rank: ., host: "t\(.)", init_s: (0.1 + .)}
        | record'
    write pairs.json 'range(6) as $a | range($a + 1; 6) as $b | {program: "all_pairs", n: null,
        ranks: 6, from: $a, to: $b, from_host: "p\($a)", to_host: "p\($b)", bytes: 8,
        large_bytes: 1024, large_bytes_per_s: 1e9}
        + timed(1e-6 * if $a == 2 or $b == 2 then 2 else 1 end) | record'
}

setup_file() {
    export truth=$BATS_FILE_TMPDIR/truth everything=$BATS_FILE_TMPDIR/everything
    command -v jq >/dev/null && command -v gnuplot >/dev/null || return 0
    folder=$truth && mkdir "$folder"
    scaling_truth
    node_truth
    report --format json "$folder" >"$BATS_FILE_TMPDIR/output" 2>"$BATS_FILE_TMPDIR/errors" || true
    folder=$everything && mkdir "$folder"
    sections
    report --title '<b>title</b>' "$folder" >"$folder/output" 2>"$folder/errors" || true
}

# Something for every section, with names that would like to be markup.
sections() {
    study 'a "b" <i>c' 1 2 4 8
    write cells.json '{cell: "<b>cell", ranks: 16, status: 1, error: "<script>alert(1)</script>",
        file: null, command: "a <b> && c > d"} | cell'
    write "<b>'1%.json" 'range(5) | {program: "hello", rank: ., host: "<b>n\(.)</b> %d \u0027",
        init_s: (if . == 1 then 9 else 1 end)} | record'
    write waits.json '{program: "cg", variant: "<u>", waiting_percent: 30} + timed(1) | record'
    write curves.json '{program: "bcast", n: null, ranks: 4, variant: null,
        algorithm: ("<u>", "mpi"), bytes: (1, 64, 4096)} | . + timed(1e-6 * .bytes) | record'
    write pairs.json 'range(3) as $a | range($a + 1; 4) as $b | {program: "all_pairs", n: null,
        ranks: 4, from: $a, to: $b, from_host: "<n>\($a)", to_host: "<n>\($b)", bytes: 8,
        large_bytes: 64, large_bytes_per_s: 1e9} + timed(1e-6) | record'
}

@test "Amdahl's law with a serial share of 0.1 is found, whatever the smallest run" {
    output=$(<"$BATS_FILE_TMPDIR/output")
    [ ! -s "$BATS_FILE_TMPDIR/errors" ]
    fit() { value fits "map(select(.study | contains(\"$1\"))) | .[0].$2"; }
    near "$(fit 'n 800' serial_share)" 0.1
    near "$(fit 'n 800' limit)" 10
    near "$(fit 'n 800' twice)" '1 / (0.1 + 0.9 / 32)'
    near "$(fit 'n 800' misfit)" 0
    near "$(fit 'n 900' serial_share)" 0.1
    near "$(fit 'n 900' limit)" 5.5 # over two workers, which have 1.82 times the speed of one
    row() { value scaling "map(select(.size == \"n 800\" and .ranks == 16)) | .[0].$1"; }
    near "$(row speedup)" 6.4
    near "$(row efficiency)" 0.4
    near "$(row serial_share)" 0.1
    near "$(row speedup_low)" '6.4 * 0.99 / 1.01'
    # a law that misses promises nothing
    [ "$(value fits 'map(select(.study | contains("n 6,"))) | .[0] | .misfit > 0.1, .twice, .limit' |
        paste -sd' ')" = 'true null null' ]
    grep -q 'too far off to promise anything' "$truth/report.html"
    [ -s "$truth/plots/scaling-1-speed-up.svg" ]
    [ -s "$truth/plots/scaling-2-efficiency.png" ]
}

@test "Gustafson's law, where the work grows" {
    output=$(<"$BATS_FILE_TMPDIR/output")
    near "$(value fits 'map(select(.law == "Gustafson")) | .[0].serial_share')" 0.2
    near "$(value fits 'map(select(.law == "Gustafson")) | .[0].four')" '0.2 + 0.8 * 32'
    near "$(value scaling 'map(select(.size == "n 800" and .ranks == 8)) | map(.speedup) | max')" \
        '0.2 + 0.8 * 8'
}

@test "workers that share cores are marked, and no law is fitted to them" {
    output=$(<"$BATS_FILE_TMPDIR/output")
    near "$(fit() { value fits "map(select(.study | contains(\"n 7,\"))) | .[0].$1"; }
        fit serial_share)" 0.3
    [ "$(value scaling 'map(select(.mark == "OVERSUBSCRIBED") | .ranks) | @text')" = '[8,1,2,4]' ]
    [ "$(value fits 'map(select(.study | contains("n 8,"))) | length')" = 0 ]
    grep -q 'class="warn">4 of [0-9]* records OVERSUBSCRIBED' "$truth/report.html"
}

@test "what is alike in all but its layout is compared, and nothing else" {
    output=$(<"$BATS_FILE_TMPDIR/output")
    [ "$(value scaling 'map(select(.size == "n 10" or .size == "n 20")) | group_by(.title)
        | map(length) | tostring')" = '[2,2,2,2]' ]
    [ "$(value scaling 'map(select(.title | startswith("bcast"))) | length')" = 0 ]
    [ "$(value bytes 'map(.bytes) | tostring')" = '[8,16,8,16,8,16]' ]
    grep -q 'lonely.*strong scaling: One number of workers: nothing to compare' "$truth/report.html"
}

@test "a slow node is named, and no other" {
    output=$(<"$BATS_FILE_TMPDIR/output")
    marked() { value nodes 'map(select(.host | startswith("'"$1"'")) | select(.mark != "")
        | "\(.host) \(.mark)") | join(", ")'; }
    [ "$(marked n)" = 'n4 OUTLIER: slower, n4 OUTLIER: slower' ]
    [ "$(marked p)" = 'p2 OUTLIER: slower' ] # whose links are slow, not those that it meets
    [ "$(marked t)" = '' ]                   # of two, neither is the odd one
    [ "$(value nodes length)" = $((7 * 3 + 2 + 6 * 2)) ]
    [ "$(grep -o 'OUTLIER: slower: n4: stream' "$truth/report.html" | wc -l)" = 2 ]
    [ -s "$truth/plots/nodes-1.png" ]
    [ -s "$truth/plots/pairs-1-latency.svg" ]
}

@test "a run that failed is shown as failed, whatever went wrong, and the rest stands" {
    study s 1 2 4 8
    write cells.json '{cell: "told", ranks: 16, status: 3, error: "stencil: stalled: why?",
        file: "told.json"}, {cell: "mute", ranks: 32, status: 137, file: "mute.json"},
        {cell: "gone", ranks: 5, file: "gone.json"}, {cell: "empty", ranks: 6, file: "empty.json"},
        {cell: "torn", ranks: 3, file: "torn.json"}, {cell: "wrong", ranks: 7, file: "wrong.json"},
        {cell: "later", ranks: 64, status: null, file: "later.json"} | cell'
    : >"$folder/empty.json"
    write torn.json '{ranks: 3} + timed(9) | record'
    write torn.json '{ranks: 3} + timed(9) | record'
    truncate -s -20 "$folder/torn.json"
    write wrong.json '{ranks: 7, verified: false} | record'
    run -1 --separate-stderr report --format json "$folder"
    near "$(value fits '.[0].serial_share')" 0.1
    [ "$(value cells 'map(select(.state == "FAILED") | "\(.cell): \(.why)") | sort | .[]')" = \
'empty: empty.json is empty
gone: gone.json is missing
mute: ended with status 137
told: stencil: stalled: why?
torn: torn.json: line 2 is no record of a program: torn, or not written by --format json?
wrong: 1 of 1 row not verified' ]
    [ "$(value cells 'map(select(.state == "missing") | .cell) | .[]')" = later ]
    [ "$(value scaling 'map(select(.median_s == null)) | length')" = 7 ]
    [ "$(value scaling 'map(select(.median_s != null)) | length')" = 4 ]
    [ "$(grep -c '>failed<' "$folder/plots/scaling-1-time.svg")" = 6 ]
    [ "$(grep -c '>missing<' "$folder/plots/scaling-1-time.svg")" = 1 ]
    grep -q 'class="bad">6 of 11 runs FAILED' "$folder/report.html"
    grep -q 'stencil: stalled: why?' "$folder/report.html"
}

@test "torn files, strange ones and empty ones are named, with their lines" {
    study s 1 2
    printf '{"program":"x"}\n{"program":"x","n":' >"$folder/torn.json"
    printf '{\n  "n": 1\n}\n' >"$folder/strange.json"
    : >"$folder/void.json"
    # Figures that are none, or beyond all bounds, do no harm.
    write odd.json '{variant: "odd", ranks: ("many", 0, 4), threads: -1,
        median_s: (1e-300, "fast", 1), host: 7, bytes: -1, init_s: 0, nodes: [1]} | record'
    echo '{"cell":' >>"$folder/cells.json"
    run -1 --separate-stderr report --format csv "$folder"
    grep -q '^report: torn.json: line 2 is no record' <<<"$stderr"
    grep -q '^report: strange.json: line 1 and 2 others are no record' <<<"$stderr"
    grep -q '^report: void.json: holds nothing' <<<"$stderr"
    grep -q '^report: cells.json: line 3 is no cell' <<<"$stderr"
    [ "$(wc -l <<<"$stderr")" = 4 ]
    grep -qF '"records","All records","s-2.json","stencil","funneled"' <<<"$output"
    grep -q '2 workers reach 1.818 times' "$folder/report.html"
}

@test "regular files alone, and no control character of others on the terminal" {
    mkfifo "$folder/pipe.json"
    ln -s nowhere "$folder/gone.json"
    run -2 report "$folder"
    [[ $output == *"report: pipe.json: no regular file "*"no record in any .json file"* ]]
    write one.json '{variant: "a\u001b]0;t\u0007\u009bb"} + timed(1) | record'
    ln -s one.json "$folder/link.json"
    cp "$folder/one.json" "$folder/"$'\e]0;t\a.json'
    for format in table csv json; do
        run -1 report --format $format "$folder"
        [ "$(grep -c '^report: .*no regular file with a plain name: left out$' <<<"$output")" = 3 ]
        [ "$(grep -c 'link.json.*a ]0;t  b' <<<"$output")" = 1 ]
        run -1 env LC_ALL=C grep -aP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' <<<"$output"
    done
}

@test "many planned runs, each in a file of its own" {
    write cells.json 'range(600) | {cell: "c\(.)", ranks: (. + 1), file: "c\(.).json"} | cell'
    jq -nc "$records range(599) | {ranks: (. + 1)} + timed(1 / (. + 1)) | record" |
        awk -v folder="$folder" '{ file = folder "/c" NR - 1 ".json"; print >file; close(file) }'
    run -1 --separate-stderr report --format json "$folder"
    [ "$(value cells 'map(.state) | group_by(.) | map("\(.[0]) \(length)") | .[]')" = $'FAILED 1\nok 599' ]
    [ "$(value cells 'map(select(.state == "FAILED")) | .[0].why')" = 'c599.json is missing' ]
    [ "$(value scaling 'map(select(.median_s != null)) | length')" = 599 ]
}

@test "one row, none, and wrong usage" {
    write one.json '{} + timed(1) | record'
    run -0 --separate-stderr report --output "$BATS_TEST_TMPDIR/else where" "$folder"
    [ -s "$BATS_TEST_TMPDIR/else where/report.html" ]
    [ ! -e "$folder/report.html" ]
    grep -q '^one.json  stencil  funneled  ' <<<"$output"
    rm "$folder/one.json"
    run -2 report "$folder"
    : >"$folder/void.json"
    run -2 report "$folder"
    [[ ${lines[-1]} = "report: $folder: no record in any .json file: "* ]]
    run -2 report
    run -2 report "$folder/none"
    run -2 report --format xml "$folder"
    run -2 report --no-such-option "$folder"
    run -2 report --title
    run -0 report --help
}

# without COMMAND: a PATH that has all that the report calls, but not this
without() {
    local bin=$BATS_TEST_TMPDIR/without-$1 name
    mkdir -p "$bin"
    for name in bash awk sed find sort xargs basename dirname cp rm mkdir mktemp jq gnuplot cat; do
        [ "$name" = "$1" ] || ln -sf "$(command -v "$name")" "$bin/"
    done
    echo "$bin"
}

@test "without gnuplot a page without plots that says so, without jq nothing" {
    study s 1 2 4
    run -0 --separate-stderr env PATH="$(without gnuplot)" "$root/jobs/report" "$folder"
    grep -q '^report: no plots: gnuplot is missing: ' <<<"$stderr"
    grep -q 'No plots here: gnuplot is missing' "$folder/report.html"
    run grep -c '<svg' "$folder/report.html"
    [ "$output" = 0 ]
    run -77 env PATH="$(without jq)" "$root/jobs/report" "$folder"
    [[ $output = "report: jq is missing: "* ]]
}

@test "names are text, never markup" {
    [ ! -s "$everything/errors" ]
    run -1 grep -nE '<(b|i|u|script|n)>|</(b|i|u|script)>' "$everything/report.html" \
        "$everything"/plots/*.svg
    grep -q '&lt;script&gt;alert(1)&lt;/script&gt;' "$everything/report.html"
    grep -q '<h1>&lt;b&gt;title&lt;/b&gt;</h1>' "$everything/report.html"
}

browse() { # browse WIDTH OPTION... URL
    limited "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --v=0 \
        --user-data-dir="$BATS_TEST_TMPDIR/browser" --host-resolver-rules='MAP * ~NOTFOUND' \
        --hide-scrollbars --window-size="$1,900" "${@:2}"
}

# What a browser makes of the page: every plot has its size, nothing is fetched, nothing hangs over.
probe='<script>addEventListener("load", () => {
    const boxes = [...document.querySelectorAll("svg")].map(s => s.getBoundingClientRect());
    const style = getComputedStyle(document.body), text = document.querySelector("svg text");
    const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
    document.title = JSON.stringify({
        svgs: boxes.length, drawn: boxes.filter(b => b.width > 200 && b.height > 100).length,
        fetched: performance.getEntriesByType("resource").length,
        over: document.documentElement.scrollWidth - innerWidth,
        twice: ids.length - new Set(ids).size, ink: style.color, paper: style.backgroundColor,
        marks: getComputedStyle(text.parentNode).fill,
        rows: document.querySelectorAll("tbody tr").length });
});</script>'

look() { # look WIDTH OPTION...: what the probe saw, in $seen
    run -0 --separate-stderr browse "$@" --dump-dom "file://$page"
    [ "$(grep -c CONSOLE <<<"$stderr")" = 0 ]
    seen=$(sed -n 's|.*<title>\({.*}\)</title>.*|\1|p' <<<"$output")
    echo "$seen"
    jq -e '.svgs > 10 and .svgs == .drawn and .fetched == 0 and .over <= 0 and .twice == 0
        and .rows > 20 and .marks == .ink' <<<"$seen"
}

@test "the page in a browser: every plot, light and dark, wide and narrow, nothing from outside" {
    browser=$(command -v chromium || command -v chromium-browser) ||
        skip "chromium is missing: make deps check"
    page=$BATS_TEST_TMPDIR/page.html
    cat "$everything/report.html" - <<<"$probe" >"$page"
    look 390
    [ "$(jq .svgs <<<"$seen")" = "$(find "$everything/plots" -name '*.svg' | wc -l)" ]
    light=$(jq -c '[.ink, .paper]' <<<"$seen")
    look 1300 --blink-settings=preferredColorScheme=0 --screenshot="$BATS_TEST_TMPDIR/dark.png"
    jq -e --argjson light "$light" '.ink != $light[0] and .paper != $light[1]' <<<"$seen"
    [ "$(head -c 8 "$BATS_TEST_TMPDIR/dark.png" | tail -c 7 | head -c 3)" = PNG ]
}

@test "what our programs write" {
    build=$root/${LOCKSTEP_BUILD:-build}
    start() { # start RANKS NAME PROGRAM ARGUMENT...
        LOCKSTEP_BUILD=$build limited "$root/jobs/launch" -n "$1" "${@:3}" --format json \
            --output "$folder/$2.json" 2>"$BATS_TEST_TMPDIR/$2.err"
    }
    for ranks in 1 2; do
        start $ranks "cg-$ranks" linear/cg --n 60 --seconds 0.02
    done
    start 2 farm p2p/farm --tasks 20
    start 3 bcast collective/bcast --bytes 1:1K --seconds 0.01 --algorithm mpi,binomial
    run -0 --separate-stderr report --format json "$folder"
    [ -z "$stderr" ]
    [ "$(value scaling 'map(.workers) | tostring')" = '[1,2]' ]
    [ "$(value waiting 'map(.run | split(" ")[0]) | unique | tostring')" = '["cg","farm"]' ]
    [ "$(value bytes 'map(.bytes) | [length, max] | tostring')" = '[11,1024]' ]
}
