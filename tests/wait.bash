# Waiting without a clock: for an event, or for the end of a command. Sourced by tests/harness and by
# bats files (load wait). No test is decided by how long something takes: the one limit here is what
# only a hang reaches, also on a machine that others keep busy, and then the test ends by name.

hang_secs=${LOCKSTEP_LIMIT:-600}

# until_true COMMAND...: until the command succeeds; fails, and says of what, if it never does.
until_true() {
    local tries
    for ((tries = hang_secs * 20; tries > 0; tries--)); do
        ! "$@" || return 0
        sleep 0.05
    done
    echo "still not true after $hang_secs s: $*" >&2
    return 1
}

# limited COMMAND...: its status; 124 if it hangs, and then all that it started is ended with it, found
# by a variable of the environment: launchers and shells put children in groups of their own.
limited() {
    local mark=${LOCKSTEP_MARK:-}/$BASHPID.$RANDOM$RANDOM began=$EPOCHSECONDS status=0
    LOCKSTEP_MARK=$mark timeout -k 5 "$hang_secs" "$@" || status=$?
    [ $((EPOCHSECONDS - began)) -ge "$hang_secs" ] || return "$status"
    end_marked "$mark"
    echo "(ended after $hang_secs s)" >&2
    return 124
}

end_marked() { # end_marked MARK
    local tries found
    for ((tries = 100; tries > 0; tries--)); do # who is killed may just have started another
        found=$(grep -lzsE "^LOCKSTEP_MARK=$1(/|\$)" /proc/[0-9]*/environ) || : # 2: one is gone
        [ -n "$found" ] || return 0
        found=${found//\/proc\//}
        # shellcheck disable=SC2086  # numbers
        kill -KILL ${found//\/environ/} 2>/dev/null || :
        sleep 0.1
    done
}
