# Sourced by the scripts that download: retries a mirror that fails once.
tries() { # COMMAND…: runs it up to three times, a little later each time
  local pause
  for pause in 5 20 ""; do
    "$@" && return
    [[ -n $pause ]] || return 1
    echo "$(basename "$0"): failed, again in $pause s: $*" >&2
    sleep $pause
  done
}
