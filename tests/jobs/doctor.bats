#!/usr/bin/env bats
#
# jobs/doctor: each check by fakes, where its cause is there, where it is not, and where its tools are
# missing; then really, on this machine. What takes a cluster is in tests/cluster/doctor.bats.

bats_require_minimum_version 1.5.0
load machine

jobs=$(cd "$BATS_TEST_DIRNAME/../../jobs" && pwd)

setup() {
    tree "$BATS_TEST_TMPDIR/tree"
    cp -r "$jobs"/{doctor,checks} "$root/jobs/"
    printf '%s\n' '# two' 'a slots=2' 'b:2' 'a' >"$root/hosts"
    program mpi/p2p/hello
    mkdir -p "$BATS_TEST_TMPDIR/mca/.openmpi"
    echo ' rmaps_base_oversubscribe = 1' >"$BATS_TEST_TMPDIR/mca/.openmpi/mca-params.conf"
}

# fakes WORD...: a machine as in machine.bash, with what the doctor asks besides. Words of its own:
#   rows=ROW/ROW    what the ranks of the probe say, as "count|granted|threads"; rows=alone: each is
#                   alone; rows=wrong, rows=3: a megabyte arrives wrong, the program ends with 3
#   level=N cma=ok|EPERM  shm=TOTAL,FREE  ib  ip=NAME[,NAME]  host=ADDRESS|slow  fstype=nfs
#   omp=no|two  hwloc=HEADERS,LIBRARY,TOOLS  slurm=up|down  refuses=account|partition  default=none
#   quota=QUOTA,PERIOD  quota1=QUOTA,PERIOD   of control groups, version 2 and 1
#   ssh=here|bare|silent    what a host answers: lockstep is there, is not, nothing
#   others          a directory of mpirun in TMPDIR is somebody else's
#   left=N          so many old files in /dev/shm
#   no:COMMAND      this one is missing
fakes() {
    local word own=() rows='1|0|0/1|1|1' level=3 cma=ok shm=8000000,7000000 host=10.0.0.9 fstype=ext4
    local omp=yes hwloc='' slurm='' refuses='' default=none ib='' nets='' busy='' missing=() tool free=9000000
    local quota='' quota1='' ssh=here others='' left=0
    for word; do
        case $word in
            rows=* | level=* | cma=* | shm=* | host=* | fstype=* | omp=* | hwloc=* | slurm=* | \
                refuses=* | default=* | busy=* | free=* | quota=* | quota1=* | ssh=* | \
                left=*) local "${word?}" ;;
            others) others=yes ;;
            ip=*) nets=${word#ip=} ;;
            ib) ib=mlx5_0 ;;
            no:*) missing+=("${word#no:}") ;;
            *) own+=("$word") ;;
        esac
    done
    machine "${own[@]}"
    real awk paste sleep tr seq uniq cut find readlink mktemp mkdir rm cp chmod stat ls
    script hostname 'echo vm'
    script cat "case \$1 in
        /proc/self/cgroup) printf '%s\n' 4:cpu,cpuacct:/job 0::/job ;;
        */cgroup/job/cpu.max) echo '${quota//,/ }' ;;
        */cpu/job/cpu.cfs_quota_us) printf '%s\n' ${quota1//,/ } ;;
        /sys/*) exit 1 ;;
        *) exec $(command -v cat) \"\$@\" ;; esac"
    script ssh "case $ssh.\$* in silent.*) exit 255 ;; bare.*) echo bare ;; *'test -x'*) echo here ;; esac"
    script find "[ \"\$1\" != /dev/shm ] || seq $left"
    rm -rf "$BATS_TEST_TMPDIR/ompi.vm.1000"
    if [ -n "$others" ] && [ "$(id -u)" = 0 ]; then
        mkdir "$BATS_TEST_TMPDIR/ompi.vm.1000"
        chown nobody "$BATS_TEST_TMPDIR/ompi.vm.1000"
    elif [ -n "$others" ]; then
        ln -s / "$BATS_TEST_TMPDIR/ompi.vm.1000"
    fi
    script df "echo h; case \$2 in /dev/shm) echo 'x ${shm%,*} 1 ${shm#*,}' ;; *) echo 'x 9999999 1 $free' ;; esac"
    script ls "[ \$1 = /sys/class/infiniband ] && echo $ib"
    script stat "[ \"\$1\" != -f ] || echo $fstype"
    script ps "echo '$busy'"
    script ip "case \"\$*\" in *link*) echo '${nets//,/ UP$'\n'} UP' ;; *-4*) echo '${nets//,/ UP$'\n'} UP' ;;
        *) echo 'eth0 UP 10.0.0.9/24' ;; esac"
    case $host in
        slow) script getent 'sleep 2.2; echo 10.0.0.9 vm' ;;
        *) script getent "[ -z '$host' ] || echo $host vm" ;;
    esac
    fake_probe "$rows" "$level"
    # "Builds" what says so: the probe, or the six lines of OpenMP.
    script mpicc "while [ \"\$1\" != -o ]; do shift; done
        case \$2 in *omp) [ $omp != no ] || { echo \"error: unsupported option '-fopenmp'\"; exit 1; }
            printf '#!/bin/sh\necho 201511 4\n' >\$2 ;;
        *hwloc) [ -n '$hwloc' ] || exit 1
            echo 'echo ${hwloc%,*} | tr , \" \"' >\$2 ;;
        *) printf '#!/bin/sh\necho $cma\n' >\$2 ;; esac; chmod +x \$2"
    if [ $omp = two ]; then
        script ldd "printf '%s\n' 'libgomp.so.1' 'libomp.so.5'"
    fi
    if [ -n "$hwloc" ]; then
        script lstopo "echo lstopo ${hwloc##*,}"
    fi
    if [ -n "$slurm" ]; then
        [ -e "$bin/srun" ] || script srun "echo none"
        script sinfo "[ $slurm = up ] && echo debug"
        script sacctmgr 'echo abc'
        script scontrol "echo 'MpiDefault = $default'"
        script sbatch "case '$refuses' in
            account) echo 'sbatch: error: Invalid account or account/partition combination specified'; exit 1 ;;
            partition) echo 'sbatch: error: Invalid partition name specified'; exit 1 ;; esac"
    fi
    for tool in "${missing[@]}"; do rm -f "$bin/$tool"; done
}

# An mpirun that says its version, and what the ranks of the probe would say.
fake_probe() {
    local lines='' row count granted threads rank=0 size version name
    case $1 in
        wrong) lines='rank=0 size=2 host=vm level=3 count=1 granted=0 threads=0 exchange=wrong' ;;
        alone) lines=$'rank=0 size=1 host=vm count=1\nrank=0 size=1 host=vm count=1' ;;
        [0-9] | [0-9][0-9][0-9]) lines='' ;;
        *)
            size=$(tr / '\n' <<<"$1" | wc -l)
            for row in ${1//\// }; do
                IFS='|' read -r count granted threads <<<"$row"
                lines+="rank=$rank size=$size host=vm level=$2 count=$count granted=$granted"
                lines+=" threads=$threads exchange=right"$'\n'
                rank=$((rank + 1))
            done
            ;;
    esac
    for name in mpirun mpiexec; do
        [ -e "$bin/$name" ] || continue
        version=$(sh "$bin/$name" --version)
        script "$name" "if [ \"\$1\" = --version ]; then echo '$version'; exit; fi
            [[ ! '$1' =~ ^[0-9]+$ ]] || { echo 'it broke'; exit $1; } >&2
            echo '$lines'"
        sed -i '1s|.*|#!/usr/bin/env bash|' "$bin/$name"
    done
}

# Reads rows "check [options] | machine | verdict pattern"; an empty machine is ompi4's.
table() {
    set +T # bats would note each command, which takes longer than most of them
    local check words want got bad=0 rows=0
    while IFS='~' read -r check words want; do
        [[ -n $want ]] || continue
        rows=$((rows + 1))
        read -r want <<<"$want"
        # shellcheck disable=SC2086
        fakes ${words/\$tmp/$BATS_TEST_TMPDIR} || return
        # shellcheck disable=SC2086
        got=$(cd "$root" && on_machine "$root/jobs/doctor" --only $check 2>&1) || :
        # shellcheck disable=SC2053
        [[ $got == ${want/ /*}* ]] && continue
        bad=$((bad + 1))
        printf '%s\n' "check:    $check" "machine:  $words" "expected: $want" "got:      $got" '' >&2
    done
    echo "$bad of $rows rows are wrong" >&2
    [ "$rows" -gt 0 ] && [ "$bad" = 0 ]
}

@test "MPI: each cause, and a machine without it" {
    table <<'END'
slots ~ ompi4 cpus=4 ~ ok *4 cores for 2 ranks
slots --ranks 5 ~ ompi4 cpus=4 ~ warn *4 here, 5 ranks are wanted*> mpirun --map-by slot:OVERSUBSCRIBE
slots --ranks 5 ~ mpich ~ skip
slots --ranks 5 ~ ompi4 SLURM_JOB_ID=7 ~ ok
flags ~ ompi4 OMPI_MCA_rmaps_base_oversubscribe=1 ~ ok
flags ~ ompi5 OMPI_MCA_rmaps_base_oversubscribe=1 ~ warn *without effect in Open MPI 5*PRTE_MCA_rmaps_default_mapping_policy=slot:oversubscribe*> unset OMPI_MCA_rmaps
flags ~ ompi5 OMPI_MCA_btl_vader_backing_directory=/tmp ~ ok
flags ~ ompi5 OMPI_MCA_btl_vader_single_copy_mechanism=none ~ warn *OMPI_MCA_smsc=^cma
flags ~ ompi5 OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_smsc=^cma ~ ok
flags ~ ompi5 OMPI_MCA_oob_tcp_if_include=eth0 ~ warn *PRTE_MCA_prte_if_include
flags ~ ompi5 OMPI_MCA_oob_tcp_if_include=eth0 PRTE_MCA_prte_if_include=eth0 ~ ok
flags ~ ompi4 OMPI_MCA_oob_tcp_if_include=eth0 PRTE_MCA_prte_if_include=eth0 ~ ok
flags ~ ompi4 PRTE_MCA_plm_ssh_agent=x ~ warn *OMPI_MCA_plm_rsh_agent
flags ~ ompi5 HOME=$tmp/mca ~ warn *OMPI_MCA_rmaps_base_oversubscribe: without effect*mca-params.conf
flags ~ ompi4 HOME=$tmp/mca ~ ok
flags ~ ompi5 OMPI_MCA_plm_rsh_agent=x PRTE_MCA_plm_ssh_agent=x ~ ok
flags ~ mpich OMPI_MCA_plm_rsh_agent=x ~ skip
root ~ ompi4 ~ ok *not root
root ~ ompi4 root ~ note *> export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
root ~ ompi4 root OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ~ ok
root ~ mpich root ~ ok
mixed ~ ompi4 ~ ok *2 ranks that know each other, openmpi 4.1.6
mixed ~ ompi4 rows=alone ~ FAIL *each of 2 ranks is alone: built by *> mpirun.openmpi
mixed ~ ompi4 rows=alone links=mpich ~ FAIL *> mpiexec.mpich
mixed ~ ompi4 rows=3 ~ FAIL *ends with 3: it broke
mixed ~ ompi4 rows=124 ~ FAIL *of 2 ranks did not end within 30 s*> mpirun --mca btl self,vader
mixed ~ ompi5 rows=124 ~ FAIL *of 2 ranks did not end within 30 s*> mpirun --mca btl self,sm ...
mixed ~ mpich rows=124 ~ FAIL *> FI_TCP_IFACE=lo mpiexec
mixed --hosts hosts ~ ompi4 rows=124 ~ FAIL *of 4 ranks on 2 hosts did not end*let all TCP ports through
mixed ~ ompi4 rows=wrong ~ FAIL *a megabyte did not arrive
mixed ~ ompi4 no:mpicc ~ skip *there is no mpicc
mixed ~ no:mpirun ~ skip *there is no mpirun
built ~ ompi4 ~ ok *linked to openmpi
built ~ ompi4 links=mpich ~ FAIL *linked to mpich, mpirun is that of openmpi*> module load mpich
built ~ debian links=mpich ~ note *jobs/launch takes the right one
built ~ ompi4 LOCKSTEP_BUILD=/no/such ~ skip
level ~ ompi4 ~ ok *MPI_THREAD_MULTIPLE
level ~ ompi4 level=1 ~ warn *MPI_THREAD_FUNNELED was given*> jobs/launch stencil
level ~ ompi4 no:mpicc ~ skip
yield ~ ompi4 ~ ok
yield ~ ompi4 rows=1|0|0/1|0|0 ~ warn *2 ranks share 1 CPUs*> export OMPI_MCA_mpi_yield_when_idle=1
yield ~ ompi4 rows=1|0|0/1|0|0 OMPI_MCA_mpi_yield_when_idle=1 ~ note
yield ~ ompi4 rows=1|0-1|0-1/1|0-1|0-1/1|0-1|0-1 ~ warn *3 ranks share 2 CPUs
yield ~ mpich rows=1|0|0/1|0|0 ~ note
settings ~ ompi4 ~ ok
settings ~ ompi4 SBATCH_ACCOUNT=abc ~ note *SBATCH_ACCOUNT=abc (environment)
END
}

@test "Slurm: each cause, and a machine without it" {
    table <<'END'
cluster ~ ompi4 ~ skip
cluster ~ ompi4 slurm=up ~ ok *debug
cluster ~ ompi4 slurm=down ~ note *no cluster answers: jobs/launch uses mpirun
srun ~ ompi4 ~ skip
srun ~ ompi4 slurm=up srun:pmix,pmi2 default=pmix ~ ok *srun speaks pmix
srun ~ ompi4 slurm=up srun:pmix,pmi2 ~ note *plain srun speaks none*> srun --mpi=pmix
srun ~ ompi5 slurm=up srun:pmix,pmi2 default=(null) ~ note *plain srun speaks none, openmpi*> srun --mpi=pmix
srun ~ ompi4 slurm=up srun:pmix,pmi2 SLURM_MPI_TYPE=pmix ~ ok
srun ~ ompi4 slurm=up srun:pmix,pmi2 SLURM_MPI_TYPE=pmi2 ~ FAIL *but openmpi wants pmix*> export SLURM_MPI_TYPE=pmix
srun ~ mpich slurm=up srun:pmix,pmi2 default=pmix ~ note *mpich wants pmi2
srun ~ mpich slurm=up srun:pmix ~ warn *has no pmi2*> export LOCKSTEP_LAUNCHER=mpirun
srun ~ ompi4 slurm=down srun:dead ~ skip
cpus-per-task ~ ompi4 ~ skip
cpus-per-task ~ ompi4 SLURM_JOB_ID=7 ~ ok
cpus-per-task ~ ompi4 SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=4 ~ warn *> export SRUN_CPUS_PER_TASK=4
cpus-per-task ~ ompi4 SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=4 SRUN_CPUS_PER_TASK=4 ~ ok
cpus-per-task ~ ompi4 SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=4 SRUN_CPUS_PER_TASK=2 ~ FAIL *two answers
cpus-per-task ~ ompi5 SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=4 SLURM_TRES_PER_TASK=cpu=4 ~ ok *task: 4, as srun takes
account ~ ompi4 ~ skip
account ~ ompi4 slurm=up ~ ok
account ~ ompi4 slurm=up refuses=account ~ FAIL *Invalid account*yours: abc*SBATCH_ACCOUNT=
account ~ ompi4 slurm=up refuses=partition ~ FAIL *Invalid partition*partitions here: debug*SBATCH_PARTITION=
END
}

limited() ( # COMMAND...: with little locked memory
    ulimit -l 64
    "$@"
)

@test "node, network, threads: each cause, and a machine without it" {
    table <<'END'
cma ~ ompi4 ~ ok
cma ~ ompi4 cma=EPERM ~ warn *EPERM*OMPI_MCA_btl_vader_single_copy_mechanism=none
cma ~ ompi4 cma=ENOSYS ~ warn *ENOSYS
cma ~ ompi4 no:mpicc ~ skip
shm ~ ompi4 ~ ok *of 7812 MB
shm ~ ompi4 shm=65536,60000 ~ warn *58 MB free of 64*> docker run --shm-size=1g
shm --ranks 100 ~ ompi4 shm=800000,800000 ~ warn *for 100 ranks
shm ~ ompi4 no:df ~ skip
memlock ~ ompi4 ~ ok *no InfiniBand
tmpdir ~ ompi4 ~ ok *tmp
tmpdir ~ ompi4 TMPDIR=/no/such ~ FAIL */no/such is no directory*> export TMPDIR=/tmp
tmpdir ~ ompi4 fstype=nfs ~ warn *NFS
tmpdir ~ ompi4 free=1000 ~ warn *0 MB free
tmpdir ~ ompi4 others TMPDIR=$tmp ~ FAIL *ompi.vm.1000 belongs to somebody else
shm ~ ompi4 left=21 ~ note *21 files of yours
hosts ~ ompi4 ~ skip *no hosts are named
hosts --hosts hosts ~ ompi4 ~ ok *2 hosts, on which
hosts --hosts hosts ~ ompi4 ssh=silent ~ FAIL *on a b*> ssh-copy-id a
hosts --hosts hosts ~ ompi4 ssh=bare ~ FAIL *a b: there is no *> rsync -a
cpus ~ ompi4 ~ ok *all 4 CPUs
cpus ~ ompi4 cpus=2 of=8 ~ note *2 of 8 CPUs are yours
cpus ~ ompi4 quota=max,100000 ~ ok
cpus ~ ompi4 quota=150000,100000 ~ note *4 CPUs, with a quota of 150 %
cpus ~ ompi4 quota1=-1,100000 ~ ok
cpus ~ ompi4 quota1=50000,100000 ~ note *quota of 50 %
cpus ~ ompi4 quota=400000,100000 ~ ok *all 4 CPUs
cpus ~ ompi4 no:nproc ~ skip
bridges ~ ompi4 ip=eth0 ~ ok *no virtual network
bridges ~ ompi4 ip=eth0,docker0 ~ ok *of no account on one machine
bridges --hosts hosts ~ ompi4 ip=eth0,docker0,virbr0 ~ warn *Open MPI tries it*> export OMPI_MCA_btl_tcp_if_exclude=127.0.0.0/8,docker0,virbr0
bridges --hosts hosts ~ ompi4 ip=docker0 OMPI_MCA_btl_tcp_if_include=eth0 ~ ok
bridges --hosts hosts ~ mpich ip=docker0 ~ note
bridges ~ ompi4 ip=docker0 SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=2 ~ warn
bridges ~ ompi4 no:ip ~ skip
names ~ ompi4 ~ ok *vm is 10.0.0.9
names ~ ompi4 host=192.168.7.7 ~ warn *192.168.7.7, which none of this machine
names ~ ompi4 host=slow ~ warn *looking up vm takes
names ~ ompi4 ip=eth0,tun0 ~ note *tun0: a VPN is up*mpirun --mca btl self,vader
names --hosts hosts ~ ompi4 host= ~ note *has no address by that name
names ~ ompi4 host= ~ ok
names ~ ompi4 no:getent ~ skip
binding ~ ompi4 ~ ok *1 thread a rank
binding ~ ompi4 rows=2|0|0;0 ~ warn *2 threads of a rank share one CPU*> mpirun --map-by slot:PE=2
binding ~ mpich rows=2|0|0;0 ~ warn *mpiexec -bind-to none
binding ~ ompi4 rows=2|0-1|0;1/2|2-3|2;3 ~ ok *2 threads a rank
binding ~ ompi4 rows=2|0-1|0-1;0-1 ~ ok
binding ~ ompi4 rows=9|0|0 ~ note *more than there are cores
binding ~ ompi4 no:mpicc ~ skip
sharing ~ ompi4 ~ ok
sharing ~ ompi4 rows=1|0-1|0/1|1-2|1 ~ warn *overlap
sharing ~ ompi4 rows=1|0-3|0/1|0-3|1 ~ ok
openmp ~ ompi4 ~ ok *OpenMP 201511, 4 threads
openmp ~ ompi4 omp=no ~ warn *unsupported option*libomp-dev
openmp ~ ompi4 omp=two ~ warn *two OpenMP runtimes
openmp ~ ompi4 no:mpicc ~ skip
hwloc ~ ompi4 hwloc=20800,20800,2.9.0 ~ ok *hwloc 2, headers and library
hwloc ~ ompi4 hwloc=20800,20800,3.0.1 ~ warn *library is of version 2, lstopo is 3.0.1
hwloc ~ ompi4 hwloc=30000,20800,2.9.0 ~ FAIL *headers are of version 3, its library of 2*> module load
hwloc ~ ompi4 HWLOC_SYNTHETIC=core:4 ~ FAIL *HWLOC_SYNTHETIC=core:4*> unset HWLOC_SYNTHETIC
hwloc ~ ompi4 ~ skip
END
    # those whose cause has blanks in it, or takes the shell
    fakes ompi4 'busy= 1 98.0 R+ other'
    run on_machine "$root/jobs/doctor" --only sharing
    [[ $output == "warn  sharing"*"other on CPU 1"* ]]
    fakes ompi4 ib
    run limited on_machine "$root/jobs/doctor" --only memlock
    [[ $output == "warn  memlock"*"only 64 KB"*"ulimit -l unlimited"* ]]
}

@test "script: what Slurm reads wrongly" {
    fakes ompi4
    local case want
    while IFS='|' read -r case want; do
        # shellcheck disable=SC2059  # with its \r and \n
        printf "#!/bin/sh\n$case\n" >"$root/bad.sh"
        cd "$root"
        run on_machine "$root/jobs/doctor" --only script
        echo "$case: $output"
        [ "$status" = 1 ]
        # shellcheck disable=SC2053
        [[ $output == "FAIL  script"*$want* ]]
        rm bad.sh
    done <<'END'
#SBATCH -N 2\r|DOS line ends
date\n#SBATCH -N 2|line 3: #SBATCH after the first command
#SBATCH -A $MINE|line 2: a variable
#SBATCH --output=no/such/%%j.out|no directory no/such
END
    run on_machine "$root/jobs/doctor" --only script
    [ "$status" = 0 ]
    [[ $output == "ok    script"* ]]
}

@test "JSON, statuses, options, what came from where" {
    # shellcheck disable=SC2016
    echo ': "${SBATCH_ACCOUNT:=a \"b\"}" "${SBATCH_QOS:=long}"' >"$root/jobs/site.sh"
    fakes ompi4 SBATCH_QOS=short HWLOC_XMLFILE=x
    run on_machine "$root/jobs/doctor" --format json
    [ "$status" = 1 ]
    jq -es 'length >= 22 and all(has("check") and has("found") and .host == "vm") and
        (map(select(.verdict == "fail")) | length == 1 and .[0].cure == "unset HWLOC_XMLFILE") and
        any(.found | endswith("site.sh)") and startswith("SBATCH_ACCOUNT=a \"b\" (site file ")) and
        any(.found == "SBATCH_QOS=short (environment)")' <<<"$output"
    run on_machine "$root/jobs/doctor" --skip hwloc
    [ "$status" = 0 ]
    [[ ${lines[-1]} == "doctor: nothing is wrong"* ]]
    local words
    for words in --nonsense --only "--only nothing" "--ranks 0" "--format xml" /no/such/file \
        "--hosts /no/such/file" "--hosts /dev/null"; do
        # shellcheck disable=SC2086
        run on_machine "$root/jobs/doctor" $words
        [ "$status" = 2 ]
        [[ $output == "doctor: "*": "* && ${#lines[@]} = 1 ]]
    done
    run on_machine "$root/jobs/doctor" --help
    [ "$status" = 0 ]
    [[ $output == Usage:*--ranks*--hosts*--only*--format*"Exit status:"* ]]
}

@test "the output of a job: what its messages mean" {
    local sample=$BATS_TEST_TMPDIR/out
    printf '%s\n' 'all is well' 'There are not enough slots available in the system' \
        'The application appears to have been direct launched using "srun", but OMPI was' \
        "not built with SLURM's PMI support" >"$sample"
    run "$jobs/doctor" "$sample"
    echo "$output"
    [ "$status" = 1 ]
    [ "$(grep -c ^FAIL <<<"$output")" = 2 ]
    [[ $output == *"FAIL  slots"*"$sample:2: There are not enough"*"> mpirun --map-by slot:OVERSUBSCRIBE"* ]]
    echo PASS >"$sample"
    run "$jobs/doctor" "$sample"
    [ "$status" = 0 ]
    # every row of the list is whole, and a pattern that grep takes
    while IFS='|' read -r check pattern meaning cure; do
        [[ $check == '#'* ]] && continue
        [[ " $("$jobs/doctor" --list | paste -sd' ') " == *" $check "* && -n $meaning && -n $cure ]]
        grep -E -- "$pattern" /dev/null || [ $? = 1 ]
    done <"$jobs/checks/messages"
}

# ---- this machine, really

# really VERDICT CHECK PATTERN COMMAND...
really() {
    run limited "${@:4}"
    echo "$output"
    # shellcheck disable=SC2053
    [[ $output == "$(printf '%-4s  %-13s' "$1" "$2")"*$3* ]]
}

@test "this machine: no false alarm, nothing left behind" {
    command -v mpirun >/dev/null || skip "there is no mpirun"
    cd "$BATS_TEST_TMPDIR"
    TMPDIR=$BATS_TEST_TMPDIR run limited "$jobs/doctor" --skip sharing,yield,shm,tmpdir
    echo "$output"
    [ "$status" = 0 ]
    [[ $output != *warn* && $output != *FAIL* ]]
    [ -z "$(find "$BATS_TEST_TMPDIR" -name 'doctor.*')" ]
}

@test "an ordinary user: no false alarm" {
    [ "$(id -u)" = 0 ] || return 0 # then the test above is one
    local open # to all users, which the checkout may not be
    open=$(mktemp -d)
    chmod 755 "$open"
    cp -r "$jobs" "$open"
    # shellcheck disable=SC2016
    run limited setpriv --reuid nobody --clear-groups env HOME=/tmp TMPDIR=/tmp \
        sh -c 'cd "$0" && jobs/doctor --skip sharing,yield,shm' "$open"
    rm -rf "$open"
    echo "$output"
    [ "$status" = 0 ]
    [[ $output != *warn* && $output != *FAIL* ]]
    [[ $output == *"ok    root "* ]]
}

on_its_core() { [ "$(ps -o args= -p "$loop")" = "sh -c while :; do :; done" ]; }
loop_is_busy() { ps -o pcpu= -p "$loop" | awk '{ exit !($1 > 60) }'; }
teardown() { [ -z "${loop:-}" ] || kill "$loop"; }

@test "this machine, with causes planted" {
    command -v mpirun.openmpi >/dev/null || skip "there is no Open MPI"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    unset OMPI_MCA_mpi_yield_when_idle # it is the cure of what is planted
    cd "$BATS_TEST_TMPDIR"
    really warn slots "99 ranks are wanted" "$jobs/doctor" --only slots --ranks 99
    really FAIL hwloc "HWLOC_SYNTHETIC" env HWLOC_SYNTHETIC="core:4 pu:1" "$jobs/doctor" --only hwloc
    really FAIL tmpdir "no directory" env TMPDIR=/no/such "$jobs/doctor" --only tmpdir
    really note cpus "1 of " taskset -c 0 "$jobs/doctor" --only cpus
    if [ "$(nproc)" -gt 1 ]; then
        # mpirun binds to a core; one that binds nothing keeps the mask
        really warn yield "2 ranks share 1 CPUs" env OMPI_MCA_hwloc_base_binding_policy=none \
            PRTE_MCA_hwloc_default_binding_policy=none taskset -c 0 "$jobs/doctor" --only yield
        really ok yield "2 CPUs for 2 ranks" "$jobs/doctor" --only yield
        # one thread more than CPUs is no alarm, two on one CPU of two is
        # shellcheck disable=SC2016
        printf '%s\n' '#!/bin/sh' '[ "$1" != --version ] || exec mpirun.openmpi --version' \
            'shift 2; exec mpirun.openmpi --bind-to core -n 1 "$@"' >mpirun
        chmod +x mpirun
        PATH=$PWD:$PATH OMP_NUM_THREADS=2 really warn binding "2 threads of a rank share one CPU" \
            "$jobs/doctor" --only binding
    fi
    # another program on the core that mpirun begins with; where more are busy, root's goes first
    nice -n -19 taskset -c 0 sh -c 'while :; do :; done' 2>/dev/null 3>&- &
    loop=$!
    if until_true on_its_core && [ "$(ps -o ni= -p "$loop")" = -19 ]; then
        until_true loop_is_busy
        really warn sharing "another program is busy" "$jobs/doctor" --only sharing
    fi
    kill "$loop"
    loop=
    if command -v mpiexec.mpich >/dev/null; then
        # shellcheck disable=SC2016
        printf '%s\n' '#!/bin/sh' 'exec mpiexec.mpich "$@"' >mpirun
        chmod +x mpirun
        PATH=$PWD:$PATH MPICC=mpicc.openmpi really FAIL mixed "each of 2 ranks is alone" \
            "$jobs/doctor" --only mixed
        PATH=$PWD:$PATH MPICC=mpicc.mpich really ok mixed "2 ranks that know each other, mpich" \
            "$jobs/doctor" --only mixed
    fi
    # half a CPU, in a control group of its own, where one can be made
    local group=/sys/fs/cgroup/cpu/lockstep-$$
    if mkdir "$group" 2>/dev/null; then
        echo 50000 >"$group/cpu.cfs_quota_us"
        # shellcheck disable=SC2016
        really note cpus "a quota of 50 %" sh -c 'echo $$ >"$0/tasks" && exec "$@"' "$group" \
            "$jobs/doctor" --only cpus
        rmdir "$group"
    fi
    # a small /dev/shm, in a mount namespace of its own
    if unshare -rm true 2>/dev/null; then
        # shellcheck disable=SC2016
        really warn shm "1 MB free of 1" unshare -rm sh -c \
            'mount -t tmpfs -o size=1m none /dev/shm && exec "$0" --only shm' "$jobs/doctor"
    fi
}
