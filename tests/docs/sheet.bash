# How a text is held to what it says: every command in a ```console block runs and ends with 0, or with
# the S of `# status S` behind it, and prints the lines that stand under it, in that order. `...` in such
# a line stands for anything; lines of output that the text does not show may stand between.

# shellcheck source=tests/wait.bash
. "${BASH_SOURCE[0]%/*}/../wait.bash"

# in_place COMMAND...: where the commands of a text run; a test may define another place.
in_place() { limited "$@"; }

# "a ... b" as a pattern of the shell, in which nothing else is special
pattern_of() {
    printf '%s' "$1" | sed -e 's/[][*?\\]/\\&/g' -e 's/\.\.\./*/g'
}

# run_command LINE: sets $printed, fails if the status is another
run_command() {
    local wanted=0 status=0
    [[ $1 =~ \#\ status\ ([0-9]+)$ ]] && wanted=${BASH_REMATCH[1]}
    echo "\$ $1"
    if [[ $1 = export* ]]; then
        eval "$1"
        printed=
        return
    fi
    printed=$(in_place bash -c "$1" 2>&1 </dev/null) || status=$?
    echo "$printed"
    [ "$status" = "$wanted" ] || {
        echo "status $status, the sheet says $wanted"
        return 1
    }
}

# expect_line LINE: it stands in what is left of $printed, which then begins behind it
expect_line() {
    local pattern line rest=$printed
    pattern=$(pattern_of "$1")
    while [ -n "$rest" ]; do
        line=${rest%%$'\n'*}
        if [ "$line" = "$rest" ]; then rest=; else rest=${rest#*$'\n'}; fi
        # shellcheck disable=SC2053  # a pattern
        if [[ $line == $pattern ]]; then
            printed=$rest
            return
        fi
    done
    echo "not printed: $1"
    return 1
}

check_sheet() {
    local line inside=no commands=0
    while IFS= read -r line; do
        case $inside$line in
        'no```console') inside=yes ;;
        'yes```') inside=no ;;
        'yes$ sbatch '*) printed='*' ;;
        'yes$ '*)
            run_command "${line#\$ }"
            commands=$((commands + 1))
            ;;
        'yes...' | no*) ;;
        yes*) expect_line "$line" ;;
        esac
    done <"$1"
    [ "$commands" -ge 5 ]
}
