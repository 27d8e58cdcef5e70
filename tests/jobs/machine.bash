# shellcheck shell=bash
#
# machine.bash - a pretend machine for the tests of jobs/: its PATH holds fakes and little else
#
# machine WORDS... makes one from these words, each later one on top of those before:
#
#   ompi4 ompi5 mpich intel strange     mpirun and mpiexec of this MPI (strange: no known one)
#   debian                              Open MPI 4 and MPICH side by side, plain names: Open MPI
#   second:ompi4                        Open MPI 4 in a later directory of PATH
#   srun:TYPES                          srun --mpi=list names TYPES (a,b); srun:old:TYPES on stderr
#   srun:dead                           srun without a cluster
#   links=ompi|ompi5|mpich|abi|cray|lost|none   what readelf and the loader find in every program (default ompi)
#   nets=none                           no network with IPv4
#   cpus=4 cores=4 of=4                 CPUs granted, cores of the machine, CPUs of the machine
#   root                                id -u is 0
#   NAME=value                          the environment (no blanks; _ in LOCKSTEP_LAUNCHER is one)
#
# on_machine COMMAND... runs there, with nothing of the caller's environment.

# A test makes thousands of fakes: here without a process for each, and executable in on_machine.
script() { # NAME LINES: one fake
    [ ! -L "$bin/$1" ] || rm "$bin/$1" # the real one
    printf '#!/bin/sh\n%s\n' "$2" >"$bin/$1"
}

real() { # NAME...: the real ones, where there are no fakes
    local name paths=()
    for name; do [ -e "$bin/$name" ] || paths+=("$(command -v "$name")"); done
    ln -s "${paths[@]}" "$bin"
}

mpi() { # WHAT IT SAYS, NAMES...
    local says=$1 name
    shift
    for name; do script "$name" "[ \"\$1\" = --version ] && echo '${says//NAME/$name}'"; done
}

machine() {
    local word cpus=4 cores='' of='' uid=1000 links=ompi found='' nets=eth0
    bin=$BATS_TEST_TMPDIR/machine variables=()
    rm -rf "$bin"
    mkdir "$bin"
    real bash env sh cat dirname grep head readlink sed sort timeout uname wc
    for word; do
        case $word in
            ompi4) mpi 'NAME (Open MPI) 4.1.6' mpirun mpiexec ;;
            ompi5) mpi 'NAME (Open MPI) 5.0.7' mpirun mpiexec ;;
            mpich) mpi 'HYDRA build details: Version: 4.2.0' mpirun mpiexec mpiexec.hydra ;;
            intel) mpi 'Intel(R) MPI Library for Linux* OS, Version 2021.9' mpirun mpiexec ;;
            strange) mpi 'mpirun 1.0' mpirun mpiexec ;;
            debian)
                mpi 'NAME (OpenRTE) 4.1.4' mpirun mpirun.openmpi mpiexec mpiexec.openmpi
                mpi 'HYDRA build details: Version: 4.0.2' mpirun.mpich mpiexec.mpich mpiexec.hydra
                ;;
            second:ompi4)
                mkdir "$bin/second"
                mpi 'NAME (Open MPI) 4.1.6' second/mpirun second/mpiexec
                ;;
            srun:dead) script srun "echo 'srun: fatal: Could not establish a configuration source' >&2
                exit 1" ;;
            srun:old:*) script srun "printf 'srun: %s\n' 'MPI types are...' ${word//[:,]/ } >&2" ;;
            srun:*) script srun "printf '\t%s\n' 'MPI plugin types are...' ${word//[:,]/ }" ;;
            cpus=* | cores=* | of=* | links=* | nets=*) local "${word?}" ;;
            root) uid=0 ;;
            LOCKSTEP_LAUNCHER=*) variables+=("LOCKSTEP_LAUNCHER=$(tr _ ' ' <<<"${word#*=}")") ;;
            [A-Z]*=*) variables+=("$word") ;;
            *) echo "machine: $word?" >&2 && return 1 ;;
        esac
    done
    of=${of:-$cpus} cores=${cores:-$of}
    script id "echo $uid"
    # As the real one: OMP_NUM_THREADS changes its answer.
    script nproc "[ \"\$1\" = --all ] && echo $of || echo \"\${OMP_NUM_THREADS:-$cpus}\""
    script lscpu "echo '# comment'; i=0; while [ \$i -lt $of ]; do echo \$((i % $cores)); i=\$((i + 1)); done"
    case $links in
        ompi) links='libmpi.so.40' ;;
        ompi5)
            ln -s libmpi.so.40.40.7 "$bin/libmpi.so.40"
            links='libmpi.so.40' found="$bin/libmpi.so.40 (0x00007f0000000000)"
            ;;
        mpich) links='libmpich.so.12' ;;
        abi) links='libmpi.so.12' ;;
        cray) links='libmpi_cray.so.12' ;;
        lost) links='libmpi.so.40' found='not found' ;;
        none) links='libc.so.6' ;;
    esac
    script readelf "echo ' 0x0000000000000001 (NEEDED)             Shared library: [$links]'"
    script ld.so "echo '$links => ${found:-/usr/lib/$links}'"
    script ip "[ $nets = none ] || echo '2: $nets inet 10.0.0.9/24'"
}

on_machine() {
    find "$bin" -type f -exec chmod +x {} +
    env -i PATH="$bin:$bin/second" HOME="$BATS_TEST_TMPDIR" "${variables[@]}" "$@"
}

program() { # LAYER/TOPIC/NAME...: something to launch in $root/build
    local path
    for path; do
        mkdir -p "$root/build/${path%/*}"
        printf '#!/bin/sh\n' >"$root/build/$path"
        chmod +x "$root/build/$path"
    done
}

# A tree of its own, so that no jobs/site.sh of the user and no build/ has a say.
tree() { # DIRECTORY
    root=$1
    mkdir -p "$root/jobs"
    cp -r "$BATS_TEST_DIRNAME"/../../jobs/{launch,bind,lib,*.sh} "$root/jobs/"
    rm -f "$root/jobs/site.sh"
}
