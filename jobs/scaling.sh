#!/bin/bash
#
# scaling - how a program scales over nodes, ranks and threads: table, fit, plots, one page
#
#     sbatch jobs/scaling.sh                           the stencil, by the table below, in one job
#     sbatch -N 16 jobs/scaling.sh --table my.table    your table, on up to 16 nodes
#     sbatch jobs/scaling.sh --program linear/cg --folder cg-1
#     jobs/scaling.sh --array [SBATCH OPTION]...       a job array for each number of nodes, so that
#                                                      small runs do not hold large allocations
#     jobs/scaling.sh                                  on this machine: the rows of one node
#
# Each row is one run: strong (the same work for all) or weak (as much work for each worker), the
# nodes, the ranks on each of them, the threads of each rank, and arguments of the program. A row
# that fails is shown as failed, and the rest stands. Rows of one layout are told apart by a number
# behind their name. The results are FOLDER/*.json, the page that
# jobs/report makes of them is FOLDER/report.html; the status is 1 if a row failed.
#
#SBATCH --job-name=scaling
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --time=30
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

# shellcheck source=jobs/lib/cells.bash
. "$jobs/lib/cells.bash" || exit 2

# The field of the stencil has n x n points: in weak scaling n grows with the root of the workers.
default_table() {
    cat <<'END'
# scaling  nodes  ranks/node  threads  arguments
strong     1      1           1        --n 2000
strong     1      1           2        --n 2000
strong     2      1           1        --n 2000
strong     2      1           2        --n 2000
strong     4      1           1        --n 2000
strong     4      1           2        --n 2000
weak       1      1           1        --n 1000
weak       1      1           2        --n 1414
weak       2      1           1        --n 1414
weak       2      1           2        --n 2000
weak       4      1           1        --n 2000
weak       4      1           2        --n 2828
END
}

usage() {
    plain "$1"
    echo "scaling: ${clean[0]}: write [--program PROGRAM] [--table FILE] [--folder FOLDER]" \
        "[--array SBATCH OPTIONS]" >&2
    exit 2
}

# Sets rows, the table without its comments, and cells, the name of each row.
read_rows() {
    local row
    local -A times=()
    mapfile -t rows < <({ if [ -n "$table" ]; then cat "$table"; else default_table; fi; } |
        grep -vE '^[[:space:]]*(#|$)')
    [ ${#rows[@]} -gt 0 ] || usage "${table:-the table} has no row"
    cells=()
    for row in "${rows[@]}"; do
        split_row "$row"
        cell=$scaling-n$nodes-r$((nodes * per_node))-t$threads
        times[$cell]=$((${times[$cell]:-0} + 1))
        [ "${times[$cell]}" = 1 ] || cell+=-${times[$cell]}
        cells+=("$cell")
    done
}

# Sets the words of a row.
split_row() {
    read -r scaling nodes per_node threads args <<<"$1"
    { [[ $scaling =~ ^(strong|weak)$ ]] && is_count "$nodes" && is_count "$per_node" &&
        is_count "$threads"; } ||
        usage "'$1' is no row: these are strong or weak, nodes, ranks/node, threads, arguments"
}

# Sets the words of the row of this number, from 0, and cell, its name.
read_row() {
    split_row "${rows[$1]}"
    cell=${cells[$1]}
}

plan_rows() {
    for number in "${!rows[@]}"; do
        read_row "$number"
        plan_cell "$cell" scaling "$scaling" nodes "$nodes" ranks $((nodes * per_node)) \
            threads "$threads" program "${program##*/}"
    done
}

run_row() { # run_row NUMBER
    local words
    read_row "$1"
    read -ra words <<<"$args"
    run_cell "$cell" "$jobs/launch" -N "$nodes" --ranks-per-node "$per_node" -t "$threads" \
        "$program" "${words[@]}"
}

# Those that fit into this job, one after the other.
run_rows() {
    local most=${SLURM_JOB_NUM_NODES:-1}
    for number in "${!rows[@]}"; do
        read_row "$number"
        if [ "$nodes" -gt "$most" ]; then
            rm "$folder/$cell.cell"
            echo "# $cell: left out: there are not more nodes here than $most"
        else
            run_row "$number"
        fi
    done
}

# One array for each number of nodes, and a job after all of them.
submit_arrays() {
    local number count job before=''
    local again=("$jobs/scaling.sh" --program "$program" --folder "$folder")
    [ -z "$table" ] || again+=(--table "$table")
    for count in $(printf '%s\n' "${rows[@]}" | awk '{ print $2 }' | sort -nu); do
        number=$(for ((i = 0; i < ${#rows[@]}; i++)); do
            read_row "$i"
            [ "$nodes" != "$count" ] || echo $((i + 1))
        done | paste -sd,)
        job=$(submit_job "${sbatch_options[@]}" --nodes="$count" --array="$number" \
            --output="$folder/%x-%A_%a.out" "${again[@]}") || withdraw "$before"
        echo "array $job on $count nodes: rows $number"
        before+=:$job
    done
    job=$(submit_job "${sbatch_options[@]}" --nodes=1 --dependency="afterany$before" \
        --output="$folder/%x-%j.out" "${again[@]}" --collect) || withdraw "$before"
    echo "job $job makes the report when they have ended: $folder/report.html"
}

# All of it or nothing: sbatch has said what is wrong with the next one.
withdraw() { # withdraw :JOB...
    # shellcheck disable=SC2046  # words
    [ -z "$1" ] || scancel $(tr : ' ' <<<"$1")
    exit 2
}

program=stencil/stencil table='' folder='' stage=run sbatch_options=()
while [ $# -gt 0 ]; do
    case $1 in
        --program | --table | --folder) [ $# -gt 1 ] || usage "$1 has no value" ;;
    esac
    case $1 in
        --program) program=$2 && shift 2 ;;
        --table) table=$2 && shift 2 ;;
        --folder) folder=$2 && shift 2 ;;
        --collect) stage=collect && shift ;; # the last job of --array
        --array) stage=array sbatch_options=("${@:2}") && shift $# ;;
        *) usage "$1 is unknown" ;;
    esac
done
[[ -z $table || -r $table ]] || usage "--table $table cannot be read"
[ -z "$SLURM_ARRAY_TASK_ID" ] || stage=task
read_rows
if [[ $stage = task && ($SLURM_ARRAY_TASK_ID -lt 1 || $SLURM_ARRAY_TASK_ID -gt ${#rows[@]}) ]]
then
    usage "${table:-the table} has no row $SLURM_ARRAY_TASK_ID"
fi
[ $stage = collect ] || need_program "$program"
open_folder "${folder:-scaling-${SLURM_JOB_ID:-$(date +%Y%m%d-%H%M%S)}}"

case $stage in
    array) plan_rows && submit_arrays ;;
    task) run_row $((SLURM_ARRAY_TASK_ID - 1)) ;;
    collect) report_folder ;;
    run) plan_rows && run_rows && report_folder ;;
esac
