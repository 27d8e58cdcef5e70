# shellcheck shell=bash
#
# timeout.bash - timeout for systems that have none, as macOS: a command that hangs has to be ended
# by hand there; sourced by doctor and the studies

if ! command -v timeout >/dev/null; then
    timeout() { # timeout [-k SECS] SECS COMMAND...
        [ "$1" != -k ] || shift 2
        "${@:2}"
    }
fi
