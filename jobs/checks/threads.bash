# shellcheck shell=bash
#
# threads.bash - the doctor's checks of threads: do they get cores, does the compiler know OpenMP?
# shellcheck disable=SC2154

# mpirun binds one or two ranks to a core each, with all their threads.
check_binding() {
    local row count cpus widest=0 tight=''
    run_probe
    [ -n "$rows" ] || { verdict skip "${no_probe:-no program of MPI runs here}" && return; }
    while read -r row; do
        count=$(field count "$row")
        IFS=';' read -ra cpus <<<"$(field threads "$row")"
        if [ "$count" -gt "$(count_cpus "${cpus[@]}")" ]; then
            tight=$count
        fi
        [ "$count" -le $widest ] || widest=$count
    done <<<"$rows"
    if [ -z "$tight" ]; then
        verdict ok "$widest thread$([ "$widest" = 1 ] || echo s) a rank, with a CPU for each"
    elif [ $((tight * $(grep -c . <<<"$rows"))) -gt $((cores * nodes)) ]; then
        verdict note "$tight threads a rank, more than there are cores for"
    else
        verdict warn "$tight threads of a rank share one CPU, while others are idle" \
            "the program is right, and no faster than with one thread" "$(binding_cure "$tight")"
    fi
}

binding_cure() {
    if $in_job; then
        echo "sbatch --cpus-per-task=$1 ..."
    elif [ "$family" = openmpi ]; then
        echo "mpirun --map-by slot:PE=$1 --bind-to core ...   or jobs/launch -t $1 ..."
    else
        echo "mpiexec -bind-to none ..."
    fi
}

# Two mpiruns both begin with core 0; another job may sit on the same cores.
check_sharing() {
    local list mine busy
    run_probe
    [ -n "$rows" ] || { verdict skip "${no_probe:-no program of MPI runs here}" && return; }
    mine=$(for list in "${granted[@]}"; do each_cpu "$list"; done)
    busy=$(ps -eo psr=,pcpu=,stat=,comm= 2>/dev/null |
        awk -v cpus=" $(paste -sd' ' <<<"$mine") " '
            $2 > 50 && $3 ~ /^R/ && index(cpus, " " $1 " ") { print $4 " on CPU " $1; exit }')
    # All ranks on all CPUs is no binding; some of a part twice is a wrong one.
    if [[ $(printf '%s\n' "${granted[@]}" | sort -u | wc -l) -gt 1 &&
        -n $(sort <<<"$mine" | uniq -d) && ${#granted[@]} -le $(sort -u <<<"$mine" | wc -l) ]]; then
        verdict warn "ranks are bound to CPUs that overlap: ${granted[*]}" \
            "two ranks take turns on one core" "jobs/launch --place balanced ..."
    elif [ -n "$busy" ]; then
        verdict warn "another program is busy: $busy" "your ranks share that core with it" \
            "taskset -c LIST mpirun --bind-to none ..., with cores that are free"
    else
        verdict ok "nobody else is busy on these CPUs"
    fi
}

check_openmp() {
    local said runtimes
    [ -n "$cc" ] || { verdict skip "there is no compiler" && return; }
    printf '%s\n' '#include <omp.h>' '#include <stdio.h>' 'int main(void) { int n = 0;' \
        '_Pragma("omp parallel reduction(+ : n)")' 'n += 1;' \
        'printf("%d %d\n", _OPENMP, n); return 0; }' >"$scratch/omp.c"
    if ! said=$(timeout 30 "$cc" -fopenmp -o "$scratch/omp" "$scratch/omp.c" 2>&1); then
        verdict warn "$cc does not build OpenMP: $(grep -m 1 -i error <<<"$said")" \
            "hybrid/ and local/data are left out" \
            "apt install gcc   or libomp-dev for clang; macOS: brew install libomp"
        return
    fi
    said=$(timeout 10 "$scratch/omp")
    # ldd may run what it looks at, which was run just now.
    runtimes=$(ldd "$scratch/omp" 2>/dev/null | grep -cE 'libgomp|libomp|libiomp')
    if [ "$runtimes" -gt 1 ]; then
        verdict warn "two OpenMP runtimes in one program" "each makes threads of its own" \
            "build all parts with one compiler"
    else
        verdict ok "OpenMP ${said% *}, ${said#* } thread$([ "${said#* }" = 1 ] || echo s) here"
    fi
}

# Settings of hwloc reach Open MPI too: it then binds on a machine that is not there.
check_hwloc() {
    local name headers='' library='' tools
    for name in HWLOC_SYNTHETIC HWLOC_XMLFILE HWLOC_FSROOT; do
        if [ -n "${!name}" ]; then
            verdict FAIL "$name=${!name}" \
                "hwloc, and through it mpirun, sees that machine instead of this one" "unset $name"
            return
        fi
    done
    printf '%s\n' '#include <hwloc.h>' '#include <stdio.h>' 'int main(void) {' \
        'printf("%x %x\n", HWLOC_API_VERSION, hwloc_get_api_version()); return 0; }' \
        >"$scratch/hwloc.c"
    if [ -n "$cc" ] &&
        timeout 30 "$cc" -o "$scratch/hwloc" "$scratch/hwloc.c" -lhwloc >/dev/null 2>&1; then
        read -r headers library < <(timeout 10 "$scratch/hwloc")
    fi
    tools=$({ lstopo --version || lstopo-no-graphics --version; } 2>/dev/null |
        grep -oE '[0-9]+\.[0-9.]+')
    # 20800 is 2.8.0
    if [ -z "$headers" ]; then
        verdict skip "there is no hwloc to build with: hybrid/ is left out"
    elif [ "${headers%????}" != "${library%????}" ]; then
        verdict FAIL \
            "hwloc's headers are of version ${headers%????}, its library of ${library%????}" \
            "programs that were built with the one do not run with the other" \
            "module load one of them alone, and make clean && make"
    elif [[ -n $tools && ${headers%????} != "${tools%%.*}" ]]; then
        verdict warn "hwloc's library is of version ${headers%????}, lstopo is $tools" \
            "a description that one writes the other cannot read" "module load one of them alone"
    else
        verdict ok "hwloc ${headers%????}, headers and library"
    fi
}
