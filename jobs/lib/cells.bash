# shellcheck shell=bash
#
# cells.bash - a study is a folder of runs, its cells; sourced by the studies of jobs/
#
#   need_program PROGRAM             builds it, before several runs want to, or ends the study
#   open_folder FOLDER               makes it, and sets folder
#   plan_cell CELL KEY VALUE...      notes that a run is to come, and what it is
#   run_cell CELL COMMAND...         runs it with --format json --output FOLDER/CELL.json, and notes
#                                    how it ended; it may take CELL_LIMIT seconds (default 600), and
#                                    no longer than leaves the job time for the report
#   report_folder                    joins the notes to FOLDER/cells.json and makes the report
#   submit_job SBATCH OPTION... SCRIPT ARG...    a later job of the study; prints its number
#
# The note of a cell is a file of its own, FOLDER/CELL.cell, so that tasks of an array can write at
# the same time. One that has not run stays there with "status":null, and the report shows it so.

# shellcheck source=jobs/lib/outside.bash
. "$(dirname "${BASH_SOURCE[0]}")/outside.bash"
# shellcheck source=jobs/lib/json.bash
. "$(dirname "${BASH_SOURCE[0]}")/json.bash"
# shellcheck source=jobs/lib/timeout.bash
. "$(dirname "${BASH_SOURCE[0]}")/timeout.bash"
# shellcheck source=jobs/lib/site.bash
. "$(dirname "${BASH_SOURCE[0]}")/site.bash"
# What the site wants of sbatch, and the modules that have jq and gnuplot. The study sets jobs.
# shellcheck disable=SC2154
read_site "$jobs" || exit 2
check_environment || exit 2
need_tools awk cat date grep mkdir paste rm sort tail tr

need_program() {
    "$jobs/launch" --make --dry-run "$1" >/dev/null 2>&1 || # which says why:
        "$jobs/launch" --make --dry-run "$1" || exit
}

open_folder() {
    folder=$1
    mkdir -p "$folder" || exit 2
    folder=$(CDPATH='' cd "$folder" && pwd)
}

plan_cell() {
    local cell=$1
    shift
    rm -f "$folder/$cell.json"
    json_pairs cell "$cell" "$@" file "$cell.json" >"$folder/$cell.cell"
}

# A program says in its last lines what is wrong; what the launcher adds to that is of less use.
reason_of() { # reason_of LOG
    local line
    line=$(grep -aE '^(FAIL|[a-z_]+: )' "$1" | grep -avE '^(srun|slurmstepd|mpirun|mpiexec): ' |
        tail -n 1 | tr -d '\000')
    echo "${line:-$(grep -av '^#' "$1" | grep -a . | tail -n 1 | tr -d '\000')}"
}

# What a run may take: the job must not end before the report is made.
seconds_left() {
    local limit=${CELL_LIMIT:-600} left=$((${SLURM_JOB_END_TIME:-0} - $(date +%s) - 30))
    [[ -z $SLURM_JOB_END_TIME || $left -ge $limit ]] || limit=$((left > 1 ? left : 1))
    echo "$limit"
}

run_cell() {
    local cell=$1 log=$folder/$1.log status=0 known limit start reason end began=$SECONDS
    shift
    known=$(<"$folder/$cell.cell") limit=$(seconds_left) start=$(date +%s.%N)
    # Slurm hears late that a step has ended: the next one would wait for its CPUs, up to 90 s.
    SLURM_OVERLAP=1 timeout -k 10 "$limit" "$@" --format json --output "$folder/$cell.json" \
        >"$log" 2>&1 </dev/null || status=$?
    end=$(json_pairs status "$status" seconds \
        "$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.3f", b - a }')")
    if [ "$status" = 0 ]; then
        end+=',"error":null'
        echo "# $cell: done"
    else
        # timeout ends it with 124 or 137, which also a rank that was killed may give.
        if [[ $status =~ ^(124|137)$ && $((SECONDS - began)) -ge $limit ]]; then
            reason="took longer than the $limit s that it had"
        else
            plain "$(reason_of "$log")"
            reason=${clean[0]}
        fi
        end+=,$(json_pairs error "$reason")
        echo "# $cell: status $status: $reason: see $log"
    fi
    echo "$known,$(json_pairs command "$*"),$end" >"$folder/$cell.cell"
}

report_folder() {
    local cell note
    for cell in "$folder"/*.cell; do
        note=$(<"$cell")
        [[ $note == *'"status":'* ]] || note+=',"status":null'
        echo "{$note}"
    done | sort -V >"$folder/cells.json"
    "$jobs/report" "$folder"
}

submit_job() {
    local answer
    answer=$(sbatch --parsable "$@") || exit
    echo "${answer%%;*}"
}
