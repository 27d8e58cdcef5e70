#!/bin/bash
#
# pipeline - jobs that wait for one another: check the nodes, measure, make the report
#
#     sbatch jobs/pipeline.sh [FOLDER]
#     jobs/pipeline.sh                    without Slurm, or in salloc: one stage after the other
#
# As a batch job it is the first stage, and submits the other two before it begins. `measure` waits
# for its success (afterok): it never starts on nodes that are not right, and is cancelled then
# (--kill-on-invalid-dep). It is an array, a task for each operation. `report` comes after it
# whatever happened (afterany), since what has failed must be seen too.
#
#SBATCH --job-name=pipeline
#SBATCH --nodes=2
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

operations=(bcast allreduce alltoall)
open_folder "${1:-pipeline-${SLURM_JOB_ID:-local}}"

check() {
    local operation
    for operation in "${operations[@]}"; do
        plan_cell "$operation" program "$operation"
    done
    "$jobs/launch" --make pin/affinity --allow-others
}

measure() { # measure OPERATION
    run_cell "$1" "$jobs/launch" --make "collective/$1" --algorithm all --bytes 8:64K --seconds 0.2
}

submit() { # submit STAGE SBATCH OPTION...: a later stage of this pipeline; prints its number
    PIPELINE_STAGE=$1 submit_job --output="$folder/$1-%j.out" --job-name="$1" \
        --kill-on-invalid-dep=yes "${@:2}" "$jobs/pipeline.sh" "$folder"
}

case $PIPELINE_STAGE in
    measure)
        operation=${operations[SLURM_ARRAY_TASK_ID]}
        if [ -z "$operation" ]; then
            echo "pipeline: there is no operation $SLURM_ARRAY_TASK_ID, the last is" \
                "$((${#operations[@]} - 1)): submit jobs/pipeline.sh, which counts them" >&2
            exit 2
        fi
        measure "$operation"
        ;;
    report) report_folder ;;
    *)
        if [ "$ENVIRONMENT" = BATCH ]; then # a batch job, says Slurm
            array=$(submit measure "--dependency=afterok:$SLURM_JOB_ID" \
                --array="0-$((${#operations[@]} - 1))") || exit
            submit report "--dependency=afterany:$array" --nodes=1 --ntasks-per-node=1 || exit
            check
        else
            check || exit
            for operation in "${operations[@]}"; do measure "$operation"; done
            report_folder
        fi
        ;;
esac
