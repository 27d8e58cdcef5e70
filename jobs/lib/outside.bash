# shellcheck shell=bash
#
# outside.bash - the door: what comes from outside is checked here, once, before anything is done
# with it; sourced first by every script of jobs/ and tests/bench
#
#   (sourcing it)             numbers, order and messages are those of the C locale from then on
#   give_locale_back          the caller's locale again, for a program that takes this one's place
#   is_count TEXT             whether it is a number from 1 to 9999999, short enough for arithmetic
#   is_host TEXT              whether it can be the name or the IPv4 address of a host
#   take_environment          makes the numbers of the environment decimal; sets wrong_settings, a
#                             sentence for each that is none, and unsets that one
#   check_environment         the same; prints the first sentence and returns 1 if there is one
#   read_host_file FILE       sets host_names and host_slots, or ends by the script's fail()
#   plain TEXT...             sets clean, the texts as a terminal may have them
#   plain_lines               the same with the lines of stdin, to stdout
#   need_tools COMMAND...     ends with 77, and names those that are missing
# shellcheck disable=SC2034

# ---- The locale. awk, printf and sort read and write numbers by LC_NUMERIC: with a decimal comma
# 5.9 is read as 5, and written as a text that JSON does not know. The order is that of C for the
# same ranges and tables everywhere, the messages because scripts look for words in them. LC_ALL
# would win over all of these; what it says of characters stays, since names may have any.

locale_names=(LC_ALL LC_CTYPE LC_NUMERIC LC_COLLATE LC_MESSAGES)

take_locale() {
    local name
    caller_locale=()
    for name in "${locale_names[@]}"; do
        caller_locale+=("$name=${!name-}")
    done
    [ -z "${LC_ALL-}" ] || export LC_CTYPE=$LC_ALL
    unset LC_ALL
    export LC_NUMERIC=C LC_COLLATE=C LC_MESSAGES=C
} 2>/dev/null # bash complains of a locale that is not installed, once more than it has already

give_locale_back() {
    local setting
    for setting in "${caller_locale[@]}"; do
        if [ -n "${setting#*=}" ]; then export "${setting?}"; else unset "${setting%%=*}"; fi
    done
} 2>/dev/null

take_locale

# ---- Numbers and names

is_count() { [[ $1 =~ ^[1-9][0-9]{0,6}$ ]]; }

# A dash in front would be an option to ssh, a ; or $ a command to a shell on the way.
is_host() { [[ $1 == [A-Za-z0-9]* && $1 != *[!A-Za-z0-9._-]* ]]; }

# What the value of a variable has to be; fails for those that are no numbers. MAX_HET_JOB_COMPS of
# Slurm is 128. In a heterogeneous job there is one of each for each component.
limits_of() { # sets least and most, or form
    least=1 most=9999999 form=''
    case ${1%%_HET_GROUP_*} in
        SLURM_NTASKS | SLURM_NTASKS_PER_NODE | SLURM_CPUS_PER_TASK | SRUN_CPUS_PER_TASK | \
            SLURM_JOB_NUM_NODES | CELL_LIMIT | BENCH_ROUNDS | BENCH_RANKS) ;;
        SLURM_HET_SIZE) most=128 ;;
        SLURM_JOB_ID) most=4294967295 ;;
        SLURM_ARRAY_TASK_ID) least=0 ;;
        SLURM_JOB_END_TIME) least=0 most=99999999999 ;;
        SLURM_TASKS_PER_NODE | SLURM_JOB_CPUS_PER_NODE) form='8(x3),4' ;;
        OMP_NUM_THREADS) form='4, or 4,2 for nested regions' ;;
        *) return 1 ;;
    esac
}

# Whether a value is as limits_of has it; sets decimal, which the shell takes for what it says, as
# it does not with 08.
is_within_limits() {
    local count='0*[1-9][0-9]{0,6}'
    decimal=$1
    case $form in
        '')
            [[ $1 =~ ^0*([0-9]{1,11})$ ]] || return 1
            decimal=$((10#${BASH_REMATCH[1]}))
            [ "$decimal" -ge "$least" ] && [ "$decimal" -le "$most" ]
            ;;
        8*) [[ $1 =~ ^$count(\(x$count\))?(,$count(\(x$count\))?)*$ ]] ;;
        *) [[ $1 =~ ^\ *$count\ *(,\ *$count\ *)*$ ]] ;;
    esac
}

take_environment() {
    local name least most form decimal
    wrong_settings=()
    for name in $(compgen -e); do
        if [ -z "${!name}" ] || ! limits_of "$name"; then
            continue
        elif is_within_limits "${!name}"; then
            printf -v "$name" %s "$decimal"
        else
            plain "${!name}"
            wrong_settings+=("$name='${clean[0]}' is not ${form:-a number from $least to $most}")
            unset "$name"
        fi
    done
    [ ${#wrong_settings[@]} = 0 ]
}

check_environment() {
    take_environment && return
    echo "${0##*/}: ${wrong_settings[0]}: set it right, or unset it" >&2
    return 1
}

# ---- Hosts: lines of NAME, NAME SLOTS, NAME:SLOTS or NAME slots=N; lines of one name add up.

read_host_file() {
    local name count i _
    local -A place=()
    host_names=() host_slots=()
    [[ -r $1 && ! -d $1 ]] || fail "--hosts $1 cannot be read: name a file of hosts"
    while read -r name count _ || [ -n "$name" ]; do
        [[ $name != *'#'* ]] || count=''
        name=${name%%#*} name=${name%$'\r'}
        [[ $name != *:* ]] || count=${name#*:} name=${name%%:*}
        count=${count%%#*} count=${count%$'\r'} count=${count#slots=}
        [ -n "$name$count" ] || continue
        is_host "$name" ||
            fail "--hosts $1: '$name' is no name of a host: letters, digits, . _ - alone"
        [ -z "$count" ] || is_count "$count" ||
            fail "--hosts $1: '$count' of $name is no number of slots: write $name 4"
        i=${place[$name]:-${#host_names[@]}}
        place[$name]=$i host_names[i]=$name
        host_slots[i]=$((${host_slots[i]:-0} + ${count:-1}))
    done <"$1"
    [ ${#host_names[@]} -gt 0 ] || fail "--hosts $1 names no host: write one a line"
}

# ---- Text and tools

# Control characters of others could move the cursor, set the title, or hide a line; those above
# 127 have two bytes in UTF-8.
plain() {
    local LC_ALL=C text
    clean=()
    for text; do
        text=${text//[[:cntrl:]]/ }
        clean+=("${text//$'\302'[$'\200'-$'\237']/ }")
    done
}

plain_lines() {
    local line
    while IFS= read -r line; do
        plain "$line"
        echo "${clean[0]}"
    done
}

need_tools() {
    local name missing=()
    for name; do
        command -v "$name" >/dev/null || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return
    echo "${0##*/}: missing here: ${missing[*]}: install them, or put their directory into PATH" >&2
    exit 77
}
