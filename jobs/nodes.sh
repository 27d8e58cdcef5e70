#!/bin/bash
#
# nodes - every node by itself: which one has slow memory?
#
#     sbatch -N 16 --ntasks-per-node=8 jobs/nodes.sh [FOLDER]
#     jobs/nodes.sh                                            this machine alone
#
# The same measurement, STREAM's loops by as many ranks as a node has tasks, on each node at the
# same time. The report names a node that is off from the others; its page is FOLDER/report.html.
#
#SBATCH --job-name=nodes
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --time=10
#SBATCH --output=%x-%j.out

# Slurm runs a copy of this file, from its spool: the controller knows where the original is.
jobs=${LOCKSTEP_ROOT:+$LOCKSTEP_ROOT/jobs}
jobs=${jobs:-$(dirname "$0")}
[ -e "$jobs/launch" ] || jobs=$(scontrol show job "$SLURM_JOB_ID" |
    sed -n 's/\.sh .*/.sh/; s|^ *Command=\(.*\)/.*|\1|p' | head -n 1)
[ -e "$jobs/launch" ] || jobs=$SLURM_SUBMIT_DIR/jobs

# shellcheck source=jobs/lib/cells.bash
. "$jobs/lib/cells.bash" || exit 2

need_program shared/stream
open_folder "${1:-nodes-${SLURM_JOB_ID:-local}}"
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null)
[ ${#hosts[@]} -gt 0 ] || hosts=("$(uname -n)")
for host in "${hosts[@]}"; do
    is_host "$host" || { printf 'nodes: %q is no name of a node\n' "$host" >&2 && exit 2; }
    plan_cell "$host" host "$host" program stream
    where=(-n "$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)")
    if [ -n "$SLURM_JOB_ID" ]; then
        echo "$host slots=${SLURM_TASKS_PER_NODE%%[(,]*}" >"$folder/$host.hosts"
        where=(--hosts "$folder/$host.hosts")
    fi
    run_cell "$host" "$jobs/launch" "${where[@]}" shared/stream &
done
wait
report_folder
