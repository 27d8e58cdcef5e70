# shellcheck shell=bash
#
# json.bash - writes JSON where there may be no jq; sourced after outside.bash
#
#   json_text TEXT           the text as a JSON string, on one line
#   json_pairs KEY VALUE...  "KEY":VALUE,... ; numbers, true, false and null stay what they are
# shellcheck disable=SC2154

json_text() {
    local text
    plain "$1"
    text=${clean[0]//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text%"${text##*[! ]}"}"
}

json_pairs() {
    local all=''
    while [ $# -gt 1 ]; do
        if [[ $2 =~ ^((0|[1-9][0-9]*)(\.[0-9]+)?|true|false|null)$ ]]; then
            all+=",\"$1\":$2"
        else
            all+=",\"$1\":$(json_text "$2")"
        fi
        shift 2
    done
    echo "${all#,}"
}
