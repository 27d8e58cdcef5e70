# What the side-by-side measurements share: competitors take turns, launch by launch, and what is
# told is their ratio, because a machine's speed changes from hour to hour and a ratio does not.

# shellcheck source=jobs/lib/outside.bash
. jobs/lib/outside.bash
check_environment || exit 2

rounds=${BENCH_ROUNDS:-7} # the interval of a median needs 6

# Reads lines "NAME OURS THEIRS", one a round, and prints a line a name, in the order met: medians of
# both, the median of the rounds' ratios, and its 95 % interval (order statistics; none below 6).
ratios() { # ratios UNIT OURS THEIRS
    awk -v unit="$1" -v ours="$2" -v theirs="$3" '
        function sorted(values, n,    i, j, value) {
            for (i = 2; i <= n; i++) {
                value = values[i]
                for (j = i - 1; j > 0 && values[j] > value; j--)
                    values[j + 1] = values[j]
                values[j + 1] = value
            }
        }
        # the largest l with P(Binomial(n, 1/2) < l) <= 0.025
        function interval_rank(n,    l, term, below) {
            term = 0.5 ^ n
            for (l = 0; below + term <= 0.025; l++) {
                below += term
                term *= (n - l) / (l + 1)
            }
            return l
        }
        !($1 in count) { name[++names] = $1 }
        { i = ++count[$1]; a[$1, i] = $2; b[$1, i] = $3 }
        END {
            printf "%-24s %14s %14s %8s  %s\n", "", ours " " unit, theirs " " unit, "ratio",
                   "95 % interval"
            for (k = 1; k <= names; k++) {
                n = count[name[k]]
                for (i = 1; i <= n; i++) {
                    x[i] = a[name[k], i]; y[i] = b[name[k], i]; r[i] = x[i] / y[i]
                }
                sorted(x, n); sorted(y, n); sorted(r, n)
                middle = int((n + 1) / 2)
                l = interval_rank(n)
                printf "%-24s %14.4g %14.4g %8.3f  %s\n", name[k], x[middle], y[middle], r[middle],
                       l ? sprintf("%.3f to %.3f", r[l], r[n + 1 - l]) : "too few rounds"
            }
        }'
}

# What the jq filter makes of the one JSON line that a program prints.
from_json() { # from_json FILTER COMMAND...
    local filter=$1
    shift
    "$@" --format json 2>/dev/null | jq -er "$filter"
}

progress() { # progress ROUND: only on a terminal
    [ ! -t 2 ] || printf '\rround %d of %d ' "$1" "$rounds" >&2
}
